"""Bands of a mosaic by number, name or formula: ``[b1, b2, "b1 / b3"]``.

Bands are called ``b1``, ``b2``, … and by the names that stand in the file. As soon as one of the list is a formula all are float32,
computed in float64 from the file's own pixels before anything is resampled, a band's scale and offset applied where the file has them
(``gdalinfo`` shows "Offset: …, Scale: …"): ratios of stored numbers mean nothing. A pixel of a formula has no data (NaN) where a band
that it uses has none, declared nodata values included, and where there is no finite result, as in a division by zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError, nearest
from ..core.formulas import NUMBER, Formula, parse_formula
from .validity import HUGE, Validity, alpha_bands

Bands = int | Sequence[int | str] | None
"""All but alpha, "exactly so many", or a list."""


@dataclass(frozen=True)
class MadeBands:
    """How bands are made: each a copy of an input (its place among ``inputs``), or a formula of some."""

    inputs: tuple[int, ...]
    names: tuple[str, ...]
    """Of the inputs, as formulas call them."""
    recipes: tuple[int | Formula, ...]
    scales: tuple[tuple[float, float], ...]
    """Scale and offset of the inputs: what formulas see is stored numbers · scale + offset."""
    dtype = np.dtype(np.float32)

    @property
    def validity(self) -> Validity:
        return Validity((None,) * len(self.recipes), low=-HUGE, high=HUGE)

    def __call__(self, pixels: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
        """Inputs (I, h, w), and a mask (1 or I, h, w) of what they lack, as bands (C, h, w), NaN where there is no data."""
        gone = None if missing is None else np.broadcast_to(missing, pixels.shape)
        made = np.empty((len(self.recipes), *pixels.shape[1:]), self.dtype)
        values = {name: _scaled(*given) for name, *given in zip(self.names, pixels, self.scales, strict=True)}
        for band, recipe in zip(made, self.recipes, strict=True):
            used = [recipe] if isinstance(recipe, int) else [self.names.index(name) for name in recipe.names]
            with np.errstate(over="ignore"):  # what float32 can't hold is inf, and no data
                band[...] = pixels[recipe] if isinstance(recipe, int) else recipe(values)
            band[~(np.abs(band) < HUGE)] = np.nan
            if gone is not None:
                band[gone[used].any(axis=0)] = np.nan
        return made


def chosen_bands(dataset: Any, bands: Bands, path: Path) -> tuple[tuple[int | str, ...], MadeBands | None]:
    """The bands wanted of a file opened by rasterio, and how they are made where one of them is a formula.

    Raises ``InputError`` for bands that the file doesn't have.
    """
    alpha = alpha_bands(dataset)
    usual = tuple(band for band in dataset.indexes if band not in alpha)
    has = f"{path} has {len(usual)} band(s)" + (" besides alpha" if alpha else "")
    if bands is None and usual:
        return usual, None
    if bands is None or isinstance(bands, int):
        if len(usual) != bands:
            raise InputError(f"{has}, {bands or 'some'} wanted", valid=f"a mosaic of {bands or 1} band(s), or a list of band numbers")
        return usual, None
    called = _names(dataset)
    chosen = [_recipe(band, called, f"bands of {path}") for band in bands]
    if not chosen or any(isinstance(band, int) and band not in dataset.indexes for band in chosen):
        raise InputError(f"{has}, {list(bands)} wanted", valid=f"band numbers from 1 to {dataset.count}")
    numbers = [band for band in chosen if isinstance(band, int)]
    if len(numbers) == len(chosen):
        return tuple(numbers), None
    names = {name: called[name] for band in chosen if isinstance(band, Formula) for name in band.names}
    names |= {f"b{number}": number for number in numbers if number not in names.values()}
    inputs = tuple(names.values())
    recipes = tuple(inputs.index(band) if isinstance(band, int) else band for band in chosen)
    labels = tuple(band if isinstance(band, int) else band.text for band in chosen)
    return labels, MadeBands(inputs, tuple(names), recipes, tuple((dataset.scales[band - 1], dataset.offsets[band - 1]) for band in inputs))


def _scaled(pixels: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    return pixels if scale == (1.0, 0.0) else np.multiply(pixels, scale[0], dtype=np.float64) + scale[1]


def _names(dataset: Any) -> dict[str, int]:
    """What formulas may call the bands."""
    described = {text.strip(): number for number, text in zip(dataset.indexes, dataset.descriptions, strict=True) if text}
    return {name: number for name, number in described.items() if name.isidentifier()} | {
        f"b{number}": number for number in dataset.indexes
    }


def _recipe(band: int | str, called: dict[str, int], what: str) -> int | Formula:
    if not isinstance(band, str):
        return int(band)
    text = band.strip()
    if text.isidentifier() and text not in called:
        raise InputError(f"{what}: there is no {text}", valid=f"nearest valid: {nearest(text, list(called))}, or a formula of these")
    return called[text] if text in called else parse_formula(text, list(called), what, NUMBER)
