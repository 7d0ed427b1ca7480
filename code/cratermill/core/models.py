"""Models of what users write: strict, frozen, and refused in one way, with the place, what was given and what is valid."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError, nearest, of_pydantic
from .yaml_files import read_yaml_file

Model = TypeVar("Model", bound=BaseModel)
MOST_PROBLEMS = 30
"""Problems of one text that are listed; the others are counted."""


class Strict(BaseModel):
    """A part of what a user writes: unknown keys are refused, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def checked(
    model: type[Model],
    given: Any,
    what: str,
    *,
    inside: str = "",
    valid: str | None = None,
    next_step: str = "correct these keys and run again",
) -> Model:
    """The model of plain values; ``InputError`` says of ``what`` (a file, options) which keys below ``inside`` are wrong."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InputError(f"{what} can't be used:\n{explain(error, model, inside)}", valid=valid, next_step=next_step) from error


def refuse_idle(model: BaseModel, obeyed: Iterable[str], what: str) -> None:
    """``ValueError`` where keys were given that do nothing for ``what``; for validators of models whose keys depend on each other."""
    known = list(obeyed)
    if idle := [name for name in type(model).model_fields if name in model.model_fields_set and name not in known]:
        raise ValueError(f"{', '.join(idle)}: no key of {what}; valid: {', '.join(known)}")


def read_keys(path: Path, what: str = "", next_step: str = "correct the file") -> dict[str, Any]:
    """The keys and values of a YAML file, an empty one has none; ``InputError`` where it can't be read or holds something else."""
    import yaml

    try:
        content = read_yaml_file(path)
    except OSError as error:
        raise InputError(f"can't read {what}{path}: {error.strerror}", next_step=next_step) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{what}{path} is not valid YAML: {error}", next_step=next_step) from error
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{what}{path} holds no keys", valid="keys and their values", next_step=next_step)
    return content or {}


def explain(error: ValidationError, model: type[BaseModel], inside: str = "") -> str:
    """One line per problem of a pydantic model: where, what was given, and for an unknown key the nearest valid ones."""
    problems = error.errors(include_url=False)
    lines = [
        _line(problem, model, (inside + ".".join(str(part) for part in problem["loc"])).rstrip(".")) for problem in problems[:MOST_PROBLEMS]
    ]
    more = [f"… and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
    return "\n".join(f"  {line}" for line in dict.fromkeys([*lines, *more]))


def _line(problem: Any, model: type[BaseModel], where: str) -> str:
    location, message = problem["loc"], of_pydantic(problem)
    if problem["type"] == "extra_forbidden":
        keys = _keys_at(model, location[:-1])
        valid = f"nearest valid: {nearest(str(location[-1]), keys)}" if keys else "none is taken here"
        return f"{where}: unknown key; {valid}"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if isinstance(problem["input"], dict):  # the whole part would hide the one key that is wrong
        return f"{where}: {message}" if where else message
    return f"{where} = {problem['input']!r}: {message}"


def _keys_at(model: type[BaseModel], location: tuple) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is None:
            continue  # a dict key or list index: the model stays the same until a field names another
        model = next(iter(models_in(field.annotation)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in models_in(part)]
