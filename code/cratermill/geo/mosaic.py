"""A global or regional mosaic, opened lazily; only the windows asked for are read, across the seam if need be.

Arrays are (bands, rows, cols). A pixel is missing where all bands hold the declared nodata value or a band isn't finite.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.windows import Window as RasterioWindow

from ..core.errors import InputError
from ..core.machine import cores
from .bodies import as_crs
from .grid import Grid, Window

# GDAL would keep 5 % of the machine's memory as decoded blocks, in every worker. It reads this once, at the first raster; rasterio.Env is
# no way to set it, since there the number is one of bytes and holds for all threads until any of them leaves its Env.
os.environ.setdefault("GDAL_CACHEMAX", "128")


def _share_heaps(most: int = 2) -> None:
    """Let threads share heaps, where glibc would give each its own and keep what it frees: threads of readers and writers come and go."""
    arena_max = -8  # M_ARENA_MAX of malloc.h
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(arena_max, most)


_share_heaps()


# GDAL's threads don't live on in a forked worker, which would wait for them for ever.
_STARTED = os.getpid()


class Statistics(NamedTuple):
    """Per band: mean, standard deviation, and the number of pixels looked at, missing ones left out; (C,) each."""

    mean: np.ndarray
    std: np.ndarray
    count: np.ndarray


class Mosaic:
    """One raster file. Cheap to open and to pickle; safe to share between threads and to carry into worker processes."""

    def __init__(self, path: str | Path, bands: int | Sequence[int] | None = None):
        self.path = Path(path)
        self._lock, self._dataset, self._pid = threading.Lock(), None, None
        dataset = self._handle()
        self.bands = _chosen_bands(dataset, bands, self.path)
        self.grid = _grid_of(dataset, self.path)
        self.dtype = np.result_type(*(dataset.dtypes[band - 1] for band in self.bands))
        self.block_shape: tuple[int, int] = dataset.block_shapes[self.bands[0] - 1]  # rows, columns that are decoded together
        if self.dtype.kind not in "uif":
            raise InputError(f"{self.path}: pixels of type {self.dtype}", valid="integer or floating-point pixels")
        self.nodata = _usable_nodata(dataset.nodatavals[self.bands[0] - 1], self.dtype)

    @classmethod
    def open(cls, path: str | Path, bands: int | Sequence[int] | None = None) -> Mosaic:
        """Open a GeoTIFF, COG, VRT or anything else that GDAL reads.

        ``bands``: None for all, a number for "exactly so many", or 1-based band numbers, which may repeat (``[1, 1, 1]`` makes three of
        a grey one).
        """
        return cls(path, bands)

    @property
    def count(self) -> int:
        return len(self.bands)

    @property
    def fill(self) -> int | float:
        """What stands for "no data" in arrays: the declared value, else NaN for floats and 0 for integers."""
        if self.nodata is not None:
            return self.nodata
        return float("nan") if self.dtype.kind == "f" else 0

    def read(self, window: Window) -> np.ndarray:
        """Pixels (C, h, w) of a window; columns wrap around a global mosaic, whatever lies outside otherwise is ``fill``."""
        if 0 <= window.row < window.stop_row <= self.grid.height and 0 <= window.col < window.stop_col <= self.grid.width:
            return self._read(RasterioWindow(window.col, window.row, window.width, window.height))
        pixels = np.full((self.count, window.height, window.width), self.fill, dtype=self.dtype)
        first, last = max(window.row, 0), min(window.stop_row, self.grid.height)
        if first >= last:
            return pixels
        for target, col, width in self._column_pieces(window):
            piece = RasterioWindow(col, first, width, last - first)
            pixels[:, first - window.row : last - window.row, target : target + width] = self._read(piece)
        return pixels

    def missing(self, pixels: np.ndarray, *, declared: bool = True) -> np.ndarray | None:
        """Mask (1, h, w) or (C, h, w), True where pixels (C, h, w) are missing; None if none are.

        With ``declared=False`` the nodata value counts as data, and only what isn't finite is missing.
        """
        missing = None
        if declared and self.nodata is not None and not np.isnan(self.nodata):
            missing = np.all(pixels == self.nodata, axis=0, keepdims=True)
        if pixels.dtype.kind == "f":
            infinite = ~np.isfinite(pixels)
            missing = infinite if missing is None else missing | infinite
        return missing if missing is not None and missing.any() else None

    def statistics(self, max_pixels: int = 2_000_000) -> Statistics:
        """Mean and deviation per band from evenly spaced pixels (overviews, if the file has them), missing ones left out."""
        step = max(1.0, (self.grid.height * self.grid.width / max_pixels) ** 0.5)
        shape = (self.count, max(1, round(self.grid.height / step)), max(1, round(self.grid.width / step)))
        pixels = self._read(None, shape)
        missing = self.missing(pixels)
        valid = np.broadcast_to(True if missing is None else ~missing, pixels.shape)
        if not valid.any(axis=(1, 2)).all():
            raise InputError(f"{self.path}: no pixel holds data", valid="a mosaic with pixels that differ from its nodata value")
        values = [band[mask].astype(np.float64) for band, mask in zip(pixels, valid, strict=True)]
        return Statistics(*(np.array([function(value) for value in values]) for function in (np.mean, np.std, np.size)))

    def xarray(self, chunk_px: int = 2048):
        """The chosen bands as a lazily chunked DataArray (band, y, x) with CRS, for block-wise work with dask."""
        import rioxarray

        array = rioxarray.open_rasterio(self.path, chunks={"band": -1, "y": chunk_px, "x": chunk_px}, lock=threading.Lock())
        return array.isel(band=[band - 1 for band in self.bands])

    def close(self) -> None:
        if self._dataset is not None and self._pid == os.getpid():
            self._dataset.close()
        self._dataset = None

    def __enter__(self) -> Mosaic:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Mosaic({str(self.path)!r}, {self.count} × {self.grid.height} × {self.grid.width} {self.dtype})"

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_lock": None, "_dataset": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _handle(self):
        # A forked worker shares the file offset with its parent, so it opens its own.
        if self._dataset is None or self._pid != os.getpid():
            self._dataset, self._pid = _open(self.path, cores() if os.getpid() == _STARTED else 1), os.getpid()
        return self._dataset

    def _read(self, piece: RasterioWindow | None, shape: tuple[int, int, int] | None = None) -> np.ndarray:
        with self._lock:
            try:
                return self._handle().read(list(self.bands), window=piece, out_shape=shape, out_dtype=self.dtype)
            except rasterio.errors.RasterioError as error:
                where = "" if piece is None else f" at row {piece.row_off}, column {piece.col_off}"
                raise InputError(
                    f"{self.path} can't be read{where}: {_cause(error)}",
                    valid="a complete raster file",
                    next_step="the file is probably truncated or damaged: copy or download it again",
                ) from error

    def _column_pieces(self, window: Window):
        """(offset in the window, first column in the file, number of columns) of the parts that exist."""
        period = self.grid.period_px
        if period is None:
            first, last = max(window.col, 0), min(window.stop_col, self.grid.width)
            if first < last:
                yield first - window.col, first, last - first
            return
        at = 0
        while at < window.width:
            col = (window.col + at) % period
            width = min(window.width - at, period - col)
            yield at, col, width
            at += width


def _open(path: Path, threads: int):
    """Compressed blocks of one window are unpacked by so many threads."""
    try:
        with rasterio.Env(GDAL_NUM_THREADS=threads):
            return rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise InputError(
            f"{path} can't be opened: {_cause(error)}",
            valid="a raster file that GDAL reads (GeoTIFF, COG, VRT, …)",
            next_step="check the path" if not path.exists() else "the file is probably truncated or damaged: copy or download it again",
        ) from error


def _chosen_bands(dataset, bands: int | Sequence[int] | None, path: Path) -> tuple[int, ...]:
    if bands is None:
        return tuple(dataset.indexes)
    if isinstance(bands, int):
        if dataset.count != bands:
            raise InputError(
                f"{path} has {dataset.count} band(s), {bands} wanted", valid=f"a mosaic of {bands} band(s), or a list of band numbers"
            )
        return tuple(dataset.indexes)
    chosen = tuple(int(band) for band in bands)
    if not chosen or any(band not in dataset.indexes for band in chosen):
        raise InputError(f"{path} has {dataset.count} band(s), {list(chosen)} wanted", valid=f"band numbers from 1 to {dataset.count}")
    return chosen


def _grid_of(dataset, path: Path) -> Grid:
    if dataset.crs is None:
        step = f'gdal_edit.py -a_srs "+proj=eqc +R=2439400 +units=m" "{path}" (with the right projection and radius) writes it'
        raise InputError(f"{path} has no CRS, so neither its body nor its radius is known", valid="a georeferenced mosaic", next_step=step)
    if dataset.transform.is_identity:
        raise InputError(f"{path} has no geotransform", valid="a georeferenced mosaic", next_step="gdal_edit.py -a_ullr writes its extent")
    try:
        grid = Grid(as_crs(dataset.crs), dataset.transform, dataset.shape)
        if not grid.is_north_up:
            raise InputError("the raster is rotated or sheared", valid="a north-up raster", next_step="gdalwarp SRC DST makes one")
        return grid
    except InputError as error:
        raise InputError(f"{path}: {error.given}", valid=error.valid, next_step=error.next_step) from error


def _usable_nodata(nodata: float | None, dtype: np.dtype) -> int | float | None:
    # A declared value that the type can't hold (−9999 in a uint8 file) flags nothing.
    if nodata is None or dtype.kind == "f":
        return nodata
    limits = np.iinfo(dtype)
    return int(nodata) if np.isfinite(nodata) and float(nodata).is_integer() and limits.min <= nodata <= limits.max else None


def _cause(error: Exception) -> str:
    return str(error.__cause__ or error).strip().splitlines()[0]
