"""Recipes of augmentation: which changes an image may get, within which ranges. A file of ``configs/augment/`` each, named in rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, StrictBool, field_validator, model_validator

from ..core.errors import InputError, nearest
from ..core.models import Strict, checked, read_keys
from ..core.paths import find_root

# Changes of imgaug.augmenters that keep pixels where they are (masks don't follow) and take any number of bands.
CHANGES = (
    "Add",
    "AddElementwise",
    "AdditiveGaussianNoise",
    "AdditivePoissonNoise",
    "AverageBlur",
    "CoarseDropout",
    "Dropout",
    "GammaContrast",
    "GaussianBlur",
    "Invert",
    "JpegCompression",
    "LinearContrast",
    "LogContrast",
    "MedianBlur",
    "MotionBlur",
    "Multiply",
    "MultiplyElementwise",
    "SaltAndPepper",
    "Sharpen",
    "SigmoidContrast",
)
# Those that whole batches can be given on a device, with the arguments that can be given there and imgaug's defaults.
ON_DEVICE: dict[str, dict[str, Any]] = {
    "Add": {"value": (-20, 20)},
    "AdditiveGaussianNoise": {"loc": 0, "scale": (0, 15)},
    "GammaContrast": {"gamma": (0.7, 1.7)},
    "GaussianBlur": {"sigma": (0, 3)},
    "Invert": {"p": 1},
    "LinearContrast": {"alpha": (0.6, 1.4)},
    "LogContrast": {"gain": (0.4, 1.6)},
    "Multiply": {"mul": (0.8, 1.2)},
    "SigmoidContrast": {"gain": (5, 6), "cutoff": (0.3, 0.6)},
}
NOT_OURS = ("seed", "name", "random_state", "deterministic")
Range = tuple[float, float]


class Recipe(Strict):
    """A recipe with its content, so that a plan holds what its rows are trained with."""

    name: str
    changes: dict[str, dict[str, StrictBool | int | float | Range]] = Field(
        min_length=1, description="changes by their names in imgaug.augmenters, and of each its arguments: a number, or [smallest, largest]"
    )
    some_of: tuple[int, int] = Field((0, 2), description="how many of the changes an image gets, at least and at most; in any order")
    moves: bool = Field(True, description="also the flips and turns of img_augment True")

    @field_validator("changes")
    @classmethod
    def _known(cls, changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        from .augment import arguments_of

        for name, arguments in changes.items():
            if name not in CHANGES:
                raise ValueError(f"no change is called {name}; valid: {nearest(name, CHANGES)}")
            known = [argument for argument in arguments_of(name) if argument not in NOT_OURS]
            for argument, value in arguments.items():
                if argument not in known:
                    raise ValueError(f"{name} takes no {argument}; valid: {nearest(argument, known)}")
                if isinstance(value, tuple) and value[0] > value[1]:
                    raise ValueError(f"{name}.{argument} = {list(value)}: the smaller number comes first")
        return changes

    @model_validator(mode="after")
    def _enough(self) -> Recipe:
        least, most = self.some_of
        if not 0 <= least <= most <= len(self.changes):
            raise ValueError(f"some_of = [{least}, {most}]: two numbers from 0 to {len(self.changes)}, the smaller first")
        return self


def require_on_device(wanted: bool | Recipe) -> None:
    """Raise ``InputError`` where a row's img_augment has changes that only loader workers can make."""
    if isinstance(wanted, bool):
        return
    beyond = []
    for name, arguments in wanted.changes.items():
        beyond += [f"{name}.{one}" for one in arguments if one not in ON_DEVICE[name]] if name in ON_DEVICE else [name]
    if beyond:
        raise InputError(
            f"trainer.augment_on is device, but there the recipe '{wanted.name}' can't have {', '.join(beyond)}",
            valid="; ".join(f"{name} ({', '.join(arguments)})" for name, arguments in ON_DEVICE.items()),
            next_step="leave them out of the recipe, or give trainer.augment_on: workers",
        )


def recipe_folder(table: Path) -> Path:
    """Where the recipes of a table's rows lie."""
    return find_root(table) / "configs" / "augment"


def recipe_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_recipe(folder: Path, name: str) -> Recipe:
    """Raises ``InputError`` for a name without a file, and for a file that can't be used."""
    if name not in recipe_names(folder):
        valid = ", ".join(["True, False", nearest(name, recipe_names(folder))]).removesuffix(", ")
        raise InputError(f"there is no recipe '{name}' in {folder}", valid=valid, next_step="write the file, or correct img_augment")
    path = folder / f"{name}.yaml"
    return checked(Recipe, {"name": name, **read_keys(path, "the recipe ")}, f"the recipe {path}", valid="changes, some_of, moves")
