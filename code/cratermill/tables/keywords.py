"""Keyword columns (``LS_focal_alpha``, ``LR_StepLR_gamma``, ``MDL_Unet++_encoder_name``): which exist, and what their cells may hold.

What a keyword may be is read off the signature of what it is given to, so that a new release of a library brings its
new keywords along.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_args

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
    """One argument: whether it must be given, and how its cell is read (raises pydantic's ``cell`` error)."""

    required: bool
    read: Callable[[Any], Any]


def is_keyword(column: str) -> bool:
    """Whether a column name has the form of a keyword column (LR_Warmup_milestone is a field of its own)."""
    return column.split("_")[0] in PREFIXES and column.count("_") >= 2 and not column.startswith("LR_Warmup_")


@cache
def known(prefix: str) -> dict[str, dict[str, Keyword]]:
    """The keywords of every loss (LS), scheduler (LR), optimiser (OPT) or segmentation model (MDL)."""
    if prefix == "MDL":
        from ..networks.segmenter import architectures

        callables: dict[str, Callable[..., Any]] = dict(architectures())
    else:
        entries = {"LS": registry.LOSSES, "LR": registry.SCHEDULERS, "OPT": registry.OPTIMIZERS}[prefix]
        callables = {name: entry.load() for name, entry in entries.items()}
    return {name: _keywords(function, OURS[prefix]) for name, function in callables.items()}


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
    return {p.name: Keyword(p.default is p.empty, _reader(p)) for p in named}


def _reader(parameter: inspect.Parameter) -> Callable[[Any], Any]:
    """How to read a cell, from the argument's name, annotation and default."""
    read = _reader_of_kind(parameter)
    return partial(_from_one, read=read) if parameter.name in FROM_ONE else read


def _from_one(value: Any, read: Callable[[Any], Any]) -> Any:
    found = read(value)
    if found < 1:
        raise refused("is below 1", "a number from 1, like 10")
    return found


def _reader_of_kind(parameter: inspect.Parameter) -> Callable[[Any], Any]:
    annotation = parameter.annotation
    choices = [arg for arg in get_args(annotation) if isinstance(arg, int | str)]
    if choices:
        return partial(_choice, choices=choices)
    text = str(annotation) if not isinstance(annotation, type) else annotation.__name__
    kinds = set(re.findall(r"\b(bool|int|float|str|tuple|list|dict|Sequence|Iterable|List|Tuple|Tensor)\b", text))
    default = parameter.default
    if isinstance(default, str) and len(kinds) > 1:
        return literal  # a name, or what it stands for
    if isinstance(default, tuple | list) or kinds & {"Sequence", "Iterable", "list", "tuple", "List", "Tuple"}:
        return numbers
    if "str" in kinds and len(kinds) > 1:
        return literal
    for kind, read in (("float", number), ("int", integer), ("bool", flag), ("str", _text), ("Tensor", number)):
        if kind in kinds or (not kinds and type(default).__name__ == kind):
            return read
    return literal


def _choice(value: Any, choices: list[Any]) -> Any:
    read = literal(value)
    if read not in choices:
        raise refused("is none of the choices", ", ".join(str(choice) for choice in choices))
    return read


def _text(value: Any) -> str:
    return str(value).strip()
