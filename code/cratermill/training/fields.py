"""Field types of the hyper-parameter tables: the text of a CSV cell, or a plain value from a plan, becomes a plain value.

Nothing is guessed and nothing is executed: a cell that is no clean number, flag or list is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ..core.errors import InputError, nearest
from ..samples.recipe import Recipe, read_recipe

_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def refused(reason: str, valid: str) -> PydanticCustomError:
    """The error that validators raise: why, and what would have been right."""
    return PydanticCustomError("cell", "{reason}", {"reason": reason, "valid": valid})


def flag(value: Any) -> bool:
    """True or False, in any case (spreadsheets write TRUE); 0, 1, yes and no are refused."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "false"):
        return text == "true"
    raise refused("is neither True nor False", "True, False")


def integer(value: Any) -> int:
    """A whole number; ``10.0`` counts as 10, since pandas writes a column with blanks that way."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        whole, _, zeros = value.strip().partition(".")
        if len(zeros) == 3 and int(whole):  # as spreadsheets part thousands
            raise refused("may be a thousand", f"{whole}000 or {whole}")
        return int(whole)
    raise refused("is no whole number", "a whole number, like 20")


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if str(value).strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise refused("is no finite number", "a number, like 0.001; a cell is left blank where no value is meant")
    raise refused("is no number", "a number, like 0.001")


def _items(value: Any) -> list[Any]:
    """The items of ``[1, 2, 3]``, ``(2,5)``, ``7`` or of a list."""
    if isinstance(value, list | tuple):
        return list(value)
    text = str(value).strip()
    if text[:1] in "[(" and text[:1] + text[-1:] in ("[]", "()"):
        text = text[1:-1].strip().removesuffix(",")
    return [item.strip() for item in text.split(",")] if text else []


def integers(value: Any) -> list[int]:
    """A list of different whole numbers of at least 0, such as split codes."""
    try:
        items = [integer(item) for item in _items(value)]
    except PydanticCustomError as error:
        raise refused("is no list of whole numbers", "a list, like [0] or [1, 2, 3]") from error
    if not items or min(items) < 0 or len(set(items)) < len(items):
        raise refused("is empty, has a negative number, or one twice", "a list, like [0] or [1, 2, 3]")
    return items


def numbers(value: Any) -> list[float]:
    """A list of numbers; whole ones stay whole."""
    try:
        return [integer(item) if _is_whole(item) else number(item) for item in _items(value)]
    except PydanticCustomError as error:
        raise refused("is no list of numbers", "a list, like (0.9, 0.999)") from error


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or bool(re.fullmatch(r"[+-]?\d+", str(value).strip()))


def bounds(value: Any) -> list[float]:
    """Two numbers, the first at least 0 and below the second, such as ``(2,5)``."""
    valid = "two numbers, the smaller first, like (2,5)"
    try:
        items = [number(item) for item in _items(value)]
    except PydanticCustomError as error:
        raise refused("is no pair of numbers", valid) from error
    if len(items) != 2 or not 0 <= items[0] < items[1]:
        raise refused("is no pair of rising numbers", valid)
    return items


def literal(value: Any) -> Any:
    """A keyword value whose type isn't known: a flag, a number, a list of numbers, or else text."""
    if not isinstance(value, str):
        return value
    for read in (flag, integer, number):
        try:
            return read(value)
        except PydanticCustomError:
            continue
    return numbers(value) if value.strip()[:1] in ("[", "(") else value.strip()


@dataclass(frozen=True)
class OneOf:
    """Marks a column whose valid values are the names of a registry; they are asked for each time, since packages may add some."""

    names: Callable[[], Iterable[str]]

    def check(self, value: Any) -> str:
        names = list(self.names())
        if value not in names:
            raise refused("is none of the choices", nearest(str(value), names))
        return str(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))


def augmentation(value: Any, info: ValidationInfo) -> bool | Recipe:
    """True, False, a recipe's content, or its name; names are looked up in the folder that the table's reader tells."""
    if isinstance(value, bool | Recipe):
        return value
    if isinstance(value, dict):
        return Recipe.model_validate(value)
    if str(value).strip().lower() in ("true", "false"):
        return flag(value)
    folder = (info.context or {}).get("recipes")
    if folder is None:
        raise refused("is neither True nor False", "True, False, or a recipe of configs/augment")
    try:
        return read_recipe(folder, str(value).strip())
    except InputError as error:
        raise refused(error.given, error.valid or "True, False") from error


Augmentation = Annotated[bool | Recipe, BeforeValidator(augmentation)]
Flag = Annotated[bool, BeforeValidator(flag)]
Integer = Annotated[int, BeforeValidator(integer)]
Number = Annotated[float, BeforeValidator(number)]
Integers = Annotated[list[int], BeforeValidator(integers)]
Bounds = Annotated[list[float], BeforeValidator(bounds)]
