"""Keyword columns (``LS_focal_alpha``, ``LR_StepLR_gamma``, ``MDL_Unet++_encoder_name``): which exist, and what their cells may hold.

What a keyword may be is read off the signature of what it is given to, so that a new release of a library brings its
new keywords along.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any, get_args

from ..core.files import fingerprint
from ..core.remembered import remembered
from ..training import registry
from ..training.fields import flag, integer, literal, number, numbers, refused

PREFIXES = ("LS", "LR", "OPT", "MDL")
OURS = {
    # Arguments that the program sets itself, or that make no sense for one logit.
    "LS": {"mode", "classes", "from_logits", "ignore_index", "class_weights", "weight", "reduction"},
    "LR": {"optimizer", "last_epoch", "verbose"},
    "OPT": {"params", "lr", "foreach", "maximize", "capturable", "differentiable", "fused", "adamw_lr", "verbose"},
    "MDL": {"in_channels", "classes", "encoder_weights", "activation", "aux_params"},
}

FROM_ONE = ("step_size", "T_0", "T_max", "T_mult")
"""Numbers of epochs, and what multiplies them: schedulers divide by them, some only after the first epoch."""


@dataclass(frozen=True)
class Keyword:
    """One argument: whether it must be given, and of which kind its cell is."""

    required: bool
    kind: str
    choices: tuple[Any, ...] = ()
    from_one: bool = False

    def read(self, value: Any) -> Any:
        """The cell as a plain value; raises pydantic's ``cell`` error."""
        found = _choice(value, self.choices) if self.kind == "choice" else READERS[self.kind](value)
        if self.from_one and found < 1:
            raise refused("is below 1", "a number from 1, like 10")
        return found


def is_keyword(column: str) -> bool:
    """Whether a column name has the form of a keyword column (LR_Warmup_milestone is a field of its own)."""
    return column.split("_")[0] in PREFIXES and column.count("_") >= 2 and not column.startswith("LR_Warmup_")


@cache
def known(prefix: str) -> dict[str, dict[str, Keyword]]:
    """The keywords of every loss (LS), scheduler (LR), optimiser (OPT) or segmentation model (MDL)."""
    packages = ("torch", "timm", "segmentation-models-pytorch", *(("terratorch",) if prefix == "MDL" else ()))
    modules = (__name__, "cratermill.training.registry", "cratermill.networks.segmenter")
    # What is registered from outside counts, too.
    kept = f"keywords-{prefix}-{fingerprint(sorted(_entries(prefix)))[:8]}" if prefix != "MDL" else "keywords-MDL"
    found = remembered(kept, packages, modules, lambda: _described(prefix))
    return {
        name: {keyword: Keyword(required, kind, tuple(choices), from_one) for keyword, (required, kind, choices, from_one) in one.items()}
        for name, one in found.items()
    }


def _entries(prefix: str) -> Mapping[str, registry.Entry]:
    return {"LS": registry.LOSSES, "LR": registry.SCHEDULERS, "OPT": registry.OPTIMIZERS}[prefix]


def _described(prefix: str) -> dict[str, dict[str, list[Any]]]:
    """The same as plain values, read off the libraries."""
    if prefix == "MDL":
        from ..networks.backbone import DECODERS
        from ..networks.segmenter import architectures, keyword_signatures

        callables: dict[str, Callable[..., Any]] = dict(architectures()) | keyword_signatures(DECODERS)
    else:
        callables = {name: entry.load() for name, entry in _entries(prefix).items()}
    keywords = {name: _keywords(function, OURS[prefix]) for name, function in callables.items()}
    return {name: {key: list(astuple(one)) for key, one in found.items()} for name, found in keywords.items()}


def build() -> None:
    """Keep what rows are checked by, of keywords and of networks; for the installation."""
    from ..networks.listing import build as build_listings

    for prefix in PREFIXES:
        known(prefix)
    build_listings()


def column_names(prefix: str) -> list[str]:
    return [f"{prefix}_{name}_{keyword}" for name, keywords in known(prefix).items() for keyword in keywords]


def find(column: str) -> Keyword | None:
    """The keyword behind a column name, or None."""
    prefix = column.split("_")[0]
    for name, keywords in known(prefix).items():
        start = f"{prefix}_{name}_"
        if column.startswith(start):
            return keywords.get(column.removeprefix(start))
    return None


def missing(prefix: str, name: str, given: dict[str, Any]) -> list[str]:
    """Columns of arguments without a default that a row leaves blank."""
    return [f"{prefix}_{name}_{k}" for k, keyword in known(prefix)[name].items() if keyword.required and k not in given]


def _keywords(function: Callable, ours: set[str]) -> dict[str, Keyword]:
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ours]
    return {p.name: _keyword(p) for p in named}


def _keyword(parameter: inspect.Parameter) -> Keyword:
    """How a cell is read, from the argument's name, annotation and default."""
    choices = tuple(arg for arg in get_args(parameter.annotation) if isinstance(arg, int | str))
    kind = "choice" if choices else _kind(parameter)
    return Keyword(parameter.default is parameter.empty, kind, choices, parameter.name in FROM_ONE)


def _kind(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    text = str(annotation) if not isinstance(annotation, type) else annotation.__name__
    kinds = set(re.findall(r"\b(bool|int|float|str|tuple|list|dict|Sequence|Iterable|List|Tuple|Tensor)\b", text))
    default = parameter.default
    if isinstance(default, str) and len(kinds) > 1:
        return "literal"  # a name, or what it stands for
    if isinstance(default, tuple | list) or kinds & {"Sequence", "Iterable", "list", "tuple", "List", "Tuple"}:
        return "numbers"
    if "str" in kinds and len(kinds) > 1:
        return "literal"
    for kind in ("float", "int", "bool", "str", "Tensor"):
        if kind in kinds or (not kinds and type(default).__name__ == kind):
            return kind
    return "literal"


def _choice(value: Any, choices: tuple[Any, ...]) -> Any:
    read = literal(value)
    if read not in choices:
        raise refused("is none of the choices", ", ".join(str(choice) for choice in choices))
    return read


def _text(value: Any) -> str:
    return str(value).strip()


READERS: dict[str, Callable[[Any], Any]] = {
    "float": number,
    "int": integer,
    "bool": flag,
    "str": _text,
    "Tensor": number,
    "numbers": numbers,
    "literal": literal,
}
