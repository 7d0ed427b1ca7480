"""Bands of several rasters as one mosaic: its own, other rasters of the same ground, and slopes and shades computed from heights.

Each layer keeps its own resolution, extent and projection and is sampled where the mosaic is read; where it has nothing its band has no
data. Slopes and shades are those of the heights' own pixels (Horn, 1981, Proc. IEEE 69, 14–47; as ``gdaldem`` computes them), with the
length that a pixel has at its latitude, and are sampled afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rasterio.windows import Window as RasterioWindow

from ..config import Derived, parted_bands
from ..core.errors import InputError
from .band_formulas import Bands, MadeBands, chosen_bands
from .bodies import require_same_body
from .grid import Grid, Window
from .mosaic import ArrayMosaic, Mosaic, Raw
from .sampling import sample_masked
from .validity import HUGE, Validity


def open_mosaic(path: str | Path, bands: Bands = None) -> Mosaic:
    """As :meth:`Mosaic.open`, and with bands of other rasters, as ``Config.with_derived`` gives them."""
    if bands is None or isinstance(bands, int):
        return Mosaic.open(path, bands)
    chosen, derived = parted_bands(bands)
    return LayeredMosaic(path, chosen, derived) if derived else Mosaic.open(path, chosen)


@dataclass(frozen=True)
class Layer:
    """A band of another raster, or what is computed from its heights. ``label`` tells it from all others."""

    label: str
    mosaic: Mosaic
    make: str

    @classmethod
    def of(cls, name: str, one: Derived) -> Layer:
        Mosaic.open(one.of, [one.band]).close()  # says which bands there are
        # A formula, so that stored numbers become what they stand for, and NaN is what has no data.
        heights = Mosaic.open(one.of, [f"b{one.band} * {one.metres_per_unit!r}"])
        file = Path(one.of).name
        if one.make == "values":
            return cls(f"{name}: {file}, b{one.band}", heights, one.make)
        how = ", {:g}°, {:g}°".format(*one.light) if one.make == "hillshade" else ""
        return cls(f"{name}: {one.make}({file}{how})", Terrain(heights, one), one.make)

    def read(self, whole: Grid, window: Window) -> np.ndarray:
        """(h, w) float32 on a window of the mosaic's grid, NaN where there is nothing."""
        own = self.mosaic.grid
        if (own.crs, own.affine, own.shape) == (whole.crs, whole.affine, whole.shape):
            pixels, missing = self.mosaic.read_masked(window)
        else:
            pixels, missing = sample_masked(self.mosaic, whole.window(window))
        if missing is not None:
            pixels[np.broadcast_to(missing, pixels.shape)] = np.nan
        band: np.ndarray = pixels[0]
        return band

    def reduced(self, grid: Grid) -> np.ndarray:
        """(h, w) float32 for the screen, on a small grid of the whole mosaic."""
        own = self.mosaic.grid
        factor = max(1.0, grid.resolution_m / own.resolution_m)
        small = own.resized((max(1, round(own.height / factor)), max(1, round(own.width / factor))))
        pixels, (rows, cols) = self.mosaic.reduced(small.shape)[0], np.indices(grid.shape)
        rows, cols = small.rowcol_of_lonlat(*grid.lonlat(rows, cols))
        on = small.holds(rows, cols)
        found = np.full(grid.shape, np.nan, np.float32)
        row, col = np.rint(rows[on]).astype(int), np.rint(cols[on]).astype(int)
        found[on] = pixels[np.clip(row, 0, small.height - 1), col % small.width if small.period_px else np.clip(col, 0, small.width - 1)]
        return found


class _Over(Mosaic):
    """What is read of other mosaics, on the grid of one of them; float32, NaN where there is no data."""

    def __init__(self, below: Mosaic):
        self.path, self._name, self.grid, self.block_shape = below.path, str(below.path), below.grid, below.block_shape
        self._below, self._made = below, None
        self._stored = self.dtype = np.dtype(np.float32)

    def described(self, band: int) -> str | None:
        return None

    @property
    def is_lossy(self) -> bool:
        return self._below.is_lossy

    def files(self) -> list[str]:
        return self._below.files()

    def close(self) -> None:
        self._below.close()


class Terrain(_Over):
    """Slope in degrees, or the share of light (0 to 1) that the ground reflects, of the heights of a cylindrical raster in metres."""

    def __init__(self, heights: Mosaic, what: Derived):
        super().__init__(heights)
        if self.grid.columns_per_turn is None or not self.grid.is_north_up:
            raise InputError(
                f"{heights.path}: slopes and shades of another projection",
                valid="heights of a geographic or equidistant cylindrical raster",
                next_step="gdalwarp SRC DST with such a CRS makes one",
            )
        self.what, self.bands = what, (what.make,)
        self.validity = self._stored_validity = Validity((None,), low=-HUGE, high=HUGE)

    def reduced(self, shape: tuple[int, int]) -> np.ndarray:
        heights = np.pad(self._below.reduced(shape)[0], 1, constant_values=np.nan)
        if self.grid.period_px:
            heights[:, 0], heights[:, -1] = heights[:, -2], heights[:, 1]
        return self._of(heights, self.grid.resized(shape))[None]

    def _read(self, piece: RasterioWindow) -> Raw:
        row, col, height, width = (int(one) for one in (piece.row_off, piece.col_off, piece.height, piece.width))
        around = self._below.read(Window(row - 1, col - 1, height + 2, width + 2))[0]
        return Raw(self._of(around, self.grid.window(Window(row, col, height, width)))[None], None)

    def _of(self, heights: np.ndarray, grid: Grid) -> np.ndarray:
        """(h, w) float32 of heights (h + 2, w + 2) on a grid and a pixel around it."""
        _, lat = grid.lonlat(np.arange(grid.height), np.zeros(grid.height))
        assert grid.columns_per_turn is not None
        step = 2 * np.pi * grid.body.semi_major_m / grid.columns_per_turn * np.cos(np.radians(lat))
        east, north = gradient(heights.astype(np.float64), np.maximum(step, 1e-3)[:, None], grid.resolution_m)
        if self.what.make == "slope":
            return np.degrees(np.arctan(np.hypot(east, north))).astype(np.float32)
        azimuth, altitude = np.radians(self.what.light)
        towards = np.sin(altitude) - np.cos(altitude) * (np.sin(azimuth) * east + np.cos(azimuth) * north)
        return np.maximum(towards / np.sqrt(1 + east**2 + north**2), 0).astype(np.float32)


def gradient(heights: np.ndarray, east_m: np.ndarray | float, north_m: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Rise towards the east and the north (h, w) of heights (h + 2, w + 2) in rows from the north; a missing neighbour (NaN) is taken to be
    as high as the pixel itself."""
    middle = heights[1:-1, 1:-1]

    def at(row: int, col: int) -> np.ndarray:
        found = heights[1 + row : 1 + row + middle.shape[0], 1 + col : 1 + col + middle.shape[1]]
        return np.where(np.isnan(found), middle, found)

    east = sum(weight * (at(row, 1) - at(row, -1)) for row, weight in ((-1, 1), (0, 2), (1, 1)))
    north = sum(weight * (at(-1, col) - at(1, col)) for col, weight in ((-1, 1), (0, 2), (1, 1)))
    return east / (8 * east_m), north / (8 * north_m)


class LayeredMosaic(_Over):
    """A mosaic whose bands come from several rasters."""

    is_layered = True

    def __init__(self, path: str | Path, bands: Sequence[int | str], derived: dict[str, Derived]):
        base = Mosaic.open(path)
        super().__init__(base)
        self._layers = {number: Layer.of(name, one) for number, (name, one) in enumerate(derived.items(), max(base._read_bands) + 1)}
        for one in self._layers.values():
            require_same_body(self.grid.body, one.mosaic.grid.body, str(one.mosaic.path))
        self.bands, made = chosen_bands(self._facade(list(derived)), bands, self.path)
        if made is None:
            numbers = tuple(dict.fromkeys(int(band) for band in self.bands))
            recipes = tuple(numbers.index(int(band)) for band in self.bands)
            made = MadeBands(numbers, tuple(f"b{number}" for number in numbers), recipes, ((1.0, 0.0),) * len(numbers))
        self._made, self._read_bands, self.validity = made, made.inputs, made.validity
        self._stored_validity = made.validity
        self.bands = tuple(self._label(band, names) for band, names in zip(self.bands, self._used(), strict=True))

    @property
    def kinds(self) -> tuple[str, ...]:
        found = zip(self._made.recipes if self._made else (), self._used(), strict=True)
        made = ((recipe, [self._layers[number].make for number in inputs if number in self._layers]) for recipe, inputs in found)
        return tuple("own" if not of else of[0] if isinstance(recipe, int) else "made" for recipe, of in made)

    def _facade(self, names: list[str]) -> Any:
        """What bands are chosen of, as a file would show it."""
        own = self._below._read_bands
        count = max(self._layers)
        facade = SimpleNamespace(indexes=[*own, *self._layers], count=count, colorinterp=[None] * count)
        facade.descriptions = [*(self._below.described(band) for band in own), *names]
        facade.scales, facade.offsets = [1.0] * count, [0.0] * count
        if not isinstance(self._below, ArrayMosaic):
            with self._below._handle() as dataset:
                facade.scales[: dataset.count], facade.offsets[: dataset.count] = dataset.scales, dataset.offsets
        return facade

    def _used(self) -> list[list[int]]:
        """Of each band: the inputs that it is made of."""
        made = self._made
        assert made is not None
        called = dict(zip(made.names, made.inputs, strict=True))
        return [[made.inputs[recipe]] if isinstance(recipe, int) else [called[name] for name in recipe.names] for recipe in made.recipes]

    def _label(self, band: int | str, inputs: list[int]) -> int | str:
        labels = [self._layers[number].label for number in inputs if number in self._layers]
        return band if not labels else labels[0] if isinstance(band, int) else f"{band} ({'; '.join(labels)})"

    def files(self) -> list[str]:
        return [*self._below.files(), *(file for layer in self._layers.values() for file in layer.mosaic.files())]

    def close(self) -> None:
        super().close()
        for layer in self._layers.values():
            layer.mosaic.close()

    def reduced(self, shape: tuple[int, int]) -> np.ndarray:
        small = self.grid.resized(shape)
        return self._joined(shape, lambda: self._below.reduced(shape), lambda layer: layer.reduced(small))

    def _read(self, piece: RasterioWindow) -> Raw:
        window = Window(*(int(one) for one in (piece.row_off, piece.col_off, piece.height, piece.width)))

        def own() -> np.ndarray:
            pixels, missing = self._below.read_masked(window)
            pixels = pixels.astype(np.float64)
            if missing is not None:
                pixels[np.broadcast_to(missing, pixels.shape)] = np.nan
            return pixels

        return Raw(self._joined((window.height, window.width), own, lambda layer: layer.read(self.grid, window)), None)

    def _joined(self, shape: tuple[int, int], own: Any, of_layer: Any) -> np.ndarray:
        """The bands (C, h, w) of the mosaic's own (from ``own()``) and of those that layers give."""
        assert self._made is not None
        inputs = np.empty((len(self._made.inputs), *shape))
        pixels = own() if any(number not in self._layers for number in self._made.inputs) else None
        for number, target in zip(self._made.inputs, inputs, strict=True):
            if number in self._layers:
                target[...] = of_layer(self._layers[number])
            elif pixels is not None:
                target[...] = pixels[self._below._read_bands.index(number)]
        return self._made(inputs, np.isnan(inputs))
