"""A global or regional mosaic, opened lazily; only the windows asked for are read, across the seam if need be.

Arrays are (bands, rows, cols). What counts as data is decided in validity.py.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from ..core.errors import InputError, first_line
from ..core.files import stat_fingerprint
from ..core.machine import cores
from ..core.notices import notice
from .band_formulas import Bands, chosen_bands
from .band_statistics import Statistics, statistics
from .bodies import get_body
from .grid import Window
from .raster_files import explained, grid_of, opened
from .validity import HUGE, Validity, require_brightness, validity_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray

# Means with a special value of floats among them are at least so large.
MIXED = 1e30

# GDAL's threads don't live on in a forked worker, which would wait for them for ever.
_STARTED = os.getpid()


LARGE_PX = 2**22
"""Pixels of a raster from which on GDAL's threads are worth while."""
KEPT_OPEN = 128
"""Files of single craters that are kept open: those of a row of blocks."""


class Raw(NamedTuple):
    """Pixels (C, h, w) as they stand in the file, and a mask (1 or C, h, w) of what its own masks hide; None if it has none."""

    pixels: np.ndarray
    hidden: np.ndarray | None


class Mosaic:
    """One raster file. Cheap to open and to pickle; safe to share between threads and to carry into worker processes."""

    is_layered = False
    """Whether bands come from several rasters (layers.py)."""
    _classes: frozenset[int] = frozenset()
    """Of a mask: the least and the highest values above 0 that were read of it."""
    _idle: dict[int, list[Any]]  # rasterio has no types
    _pid: int | None = None
    """The file's handles that nobody uses at the moment, by GDAL's threads for each, and the process that opened them."""

    def __init__(self, path: str | Path, bands: Bands = None, *, labels: bool = False):
        self.path = Path(path)
        self._name = str(path)  # addresses such as https://… aren't paths
        with self._handle(1) as dataset, explained(self.path):  # a file that was cut off shows it here and there
            self._look(dataset, bands, labels)

    def _look(self, dataset: Any, bands: Bands, labels: bool) -> None:
        self.bands, made = chosen_bands(dataset, bands, self.path)
        self._read_bands = made.inputs if made else tuple(int(band) for band in self.bands)
        if not labels:
            require_brightness(dataset, self._read_bands, self.path)
        self.grid = grid_of(dataset.crs, dataset.transform, dataset.shape, self.path)
        self._stored = np.result_type(*(dataset.dtypes[band - 1] for band in self._read_bands))
        self.block_shape: tuple[int, int] = dataset.block_shapes[self._read_bands[0] - 1]  # rows, columns that are decoded together
        if self._stored.kind not in "uif":
            raise InputError(f"{self.path}: pixels of type {self._stored}", valid="integer or floating-point pixels")
        self._stored_validity = validity_of(dataset, self._read_bands, self._stored)
        self._made = made
        self.dtype: np.dtype = made.dtype if made else self._stored
        self.validity: Validity = made.validity if made else self._stored_validity

    @classmethod
    def open(cls, path: str | Path, bands: Bands = None, *, labels: bool = False) -> Mosaic:
        """Open a GeoTIFF, COG, VRT or anything else that GDAL reads, by its path or its address (``https://…``, ``s3://…``).

        ``bands``: None for all but alpha, a number for "exactly so many", or a list of 1-based numbers, which may repeat (``[1, 1, 1]``
        makes three of a grey one), names and formulas (``["b1", "b2", "b1 / b3"]``, see band_formulas.py). ``labels``: pixels are numbers
        that stand for something, so a palette only says how they are painted. A name that ends in ``.zarr`` is a Zarr store.
        """
        return open_zarr(path, bands) if is_zarr(path) else cls(path, bands, labels=labels)

    @property
    def count(self) -> int:
        return len(self.bands)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of each band: ``own``; ``values``, ``slope`` or ``hillshade`` of another raster; or ``made`` by a formula of those."""
        return ("own",) * self.count

    @property
    def nodata(self) -> int | float | None:
        """The declared value of the first band that has one; None if no pixel can be told by a value of its own."""
        return next((value for value in self.validity.nodata if value is not None), None)

    @property
    def fill(self) -> int | float:
        """What stands in arrays where there is no data: the declared value, else NaN for floats and 0 for integers."""
        if self.nodata is not None:
            return self.nodata
        return float("nan") if self.dtype.kind == "f" else 0

    def read(self, window: Window) -> np.ndarray:
        """Pixels (C, h, w) of a window, ``fill`` where there is no data; columns wrap around a global mosaic."""
        if self.validity.leaves_values:
            return self.read_raw(window).pixels
        return self.read_masked(window)[0]

    def read_masked(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """The same, and a mask (1 or C, h, w) of the pixels that are missing, those off the mosaic included; None if none are."""
        pixels, hidden = self.read_raw(window)
        missing = self.missing(pixels, hidden)
        if missing is not None and not self.validity.leaves_values:
            np.copyto(pixels, np.asarray(self.fill, self.dtype), where=missing)
        inside = self._rows_cols_inside(window)
        if inside is not None:
            missing = ~inside[None] if missing is None else missing | ~inside
        return pixels, missing

    def read_mask(self, window: Window) -> np.ndarray:
        """Where the first band is above 0, (h, w) bool; False where pixels are missing."""
        return self.above_zero(*self.read_masked(window))

    def above_zero(self, pixels: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
        """What a mask says of pixels (C, h, w) that were read of it, (h, w) bool. It is said if they hold several classes."""
        found = pixels[0] > 0 if missing is None else (pixels[0] > 0) & ~missing[0]
        highest = pixels[0].max(initial=0)
        if self.dtype.kind != "f" and highest > 0:
            self._remark_classes(pixels[0].max(keepdims=True) if highest == 1 and missing is None else pixels[0][found])
        return found

    def _remark_classes(self, values: np.ndarray) -> None:
        if values.size:
            self._classes = self._classes | {int(values.min()), int(values.max())}
        if len(self._classes) > 1:
            text = (
                f"the mask {self.path} holds {min(self._classes)} to {max(self._classes)}, and all above 0 count alike. Where only some "
                "are meant, write 1 there and 0 elsewhere (gdal_calc.py -A MASK --calc 'A==1' --outfile NEW; the same for others beside it)"
            )
            notice(text, once=f"classes in {self.path.parent}")

    def read_raw(self, window: Window) -> Raw:
        """Pixels of a window as they are; whatever lies off the mosaic is ``fill``."""
        if self._holds(window):
            return self._read(RasterioWindow(window.col, window.row, window.width, window.height))
        shape = (window.height, window.width)
        pixels = np.full((self.count, *shape), self.fill, dtype=self.dtype)
        masks = max(1, len(self.validity.masks))
        hidden = np.ones((masks, *shape), bool) if self.validity.hides else None
        first, last = max(window.row, 0), min(window.stop_row, self.grid.height)
        if first >= last:
            return Raw(pixels, hidden)
        rows = slice(first - window.row, last - window.row)
        for target, col, width in self._column_pieces(window):
            piece = self._read(RasterioWindow(col, first, width, last - first))
            pixels[:, rows, target : target + width] = piece.pixels
            if hidden is not None:
                hidden[:, rows, target : target + width] = piece.hidden
        return Raw(pixels, hidden)

    def missing(self, pixels: np.ndarray, hidden: np.ndarray | None = None, *, declared: bool = True) -> np.ndarray | None:
        """Mask (1 or C, h, w), True where pixels (C, h, w) are missing; None if none are. ``hidden``: the one of :meth:`read_raw`.

        Without it only values are looked at, which is all there is to see in a file without alpha and masks. With ``declared=False``
        nodata values count as data.
        """
        return self.validity.missing(pixels, hidden, declared=declared)

    def reduced(self, shape: tuple[int, int]) -> np.ndarray:
        """The whole mosaic at a smaller size, (C, h, w) float32 for the screen: means of pixels with data, NaN where there are none."""
        # Special values unknown to GDAL would spoil means of whole numbers; in floats they stand out whatever they are mixed with.
        average = self._stored.kind == "f" or self._stored_validity.low is None
        with self._handle() as dataset, explained(self.path):
            resampling = Resampling.average if average else Resampling.nearest
            rule = self._stored_validity
            pixels = _bands_of(dataset, self._read_bands, shape, resampling=resampling, masked=True)
            missing = rule.missing(pixels.data, rule.hidden(dataset, None, shape), declared=False)
        reduced = np.ma.filled(pixels.astype(np.float32), np.nan)
        reduced[np.abs(reduced) > MIXED] = np.nan
        if rule.together:  # a band of nothing but its value is data, unless the others are so, too
            for band, value in zip(reduced, rule.nodata, strict=True):
                band[np.isnan(band) & ~np.isnan(reduced).all(axis=0)] = value
        if missing is not None:
            reduced[np.broadcast_to(missing, reduced.shape)] = np.nan
        return self._made(reduced, np.isnan(reduced)) if self._made else reduced

    def statistics(self, remembered: Path | None = None) -> Statistics:
        """Mean and deviation per band of all pixels that hold data; ``remembered``: see band_statistics.py."""
        return statistics(self, remembered)

    def described(self, band: int) -> str | None:
        """What the file calls a band, if anything."""
        with self._handle() as dataset:
            return str(dataset.descriptions[band - 1] or "") or None

    @property
    def is_lossy(self) -> bool:
        """Whether its pixels were packed in a way that changes them."""
        with self._handle() as dataset:
            packing = str(dataset.compression.value if dataset.compression else "").lower()
            return dataset.driver in ("JPEG", "JP2OpenJPEG") or packing == "jpeg"

    def files(self) -> list[str]:
        """Every file that the pixels come from: the one named, sources of a VRT, masks and descriptions beside it."""
        with self._handle() as dataset:
            return [self._name, *dataset.files]

    def close(self) -> None:
        for handles in self._idle.values() if self._pid == os.getpid() else ():
            while handles:
                handles.pop().close()

    def __enter__(self) -> Mosaic:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Mosaic({str(self.path)!r}, {self.count} × {self.grid.height} × {self.grid.width} {self.dtype})"

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_idle": {}, "_pid": None}

    @contextmanager
    def _handle(self, threads: int | None = None) -> Iterator[Any]:
        """A handle that no other thread uses meanwhile, so that threads read and unpack at the same time. ``threads``: GDAL's for one
        window; None: as many as there are cores where that is worth while."""
        if threads is None:
            threads = cores() if os.getpid() == _STARTED and self.grid.height * self.grid.width >= LARGE_PX else 1
        # A forked worker shares the file offset with its parent, so it opens its own.
        if self._pid != os.getpid():
            self._idle, self._pid = {}, os.getpid()
        idle = self._idle.setdefault(threads, [])
        try:
            dataset = idle.pop()
        except IndexError:
            dataset = opened(self._name, threads)
        try:
            yield dataset
        finally:
            idle.append(dataset)

    def _read(self, piece: RasterioWindow) -> Raw:
        with self._handle() as dataset, explained(self.path, f" at row {piece.row_off}, column {piece.col_off}"):
            pixels = _bands_of(dataset, self._read_bands, window=piece, out_dtype=self._stored)
            hidden = self._stored_validity.hidden(dataset, piece, pixels.shape[1:])
        return Raw(self._made(pixels, self._stored_validity.missing(pixels, hidden)), None) if self._made else Raw(pixels, hidden)

    def _holds(self, window: Window) -> bool:
        return 0 <= window.row < window.stop_row <= self.grid.height and 0 <= window.col < window.stop_col <= self.grid.width

    def _rows_cols_inside(self, window: Window) -> np.ndarray | None:
        """Mask (h, w) of a window's pixels that lie on the mosaic; None if all do."""
        if self._holds(window) or (self.grid.period_px and window.row >= 0 and window.stop_row <= self.grid.height):
            return None
        rows, cols = np.arange(window.row, window.stop_row), np.arange(window.col, window.stop_col)
        on = (rows >= 0) & (rows < self.grid.height)
        inside = np.broadcast_to(on[:, None], (window.height, window.width))
        return inside if self.grid.period_px else inside & (cols >= 0) & (cols < self.grid.width)

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


def _bands_of(dataset: Any, bands: Sequence[int], shape: tuple[int, int] | None = None, **how: Any) -> Any:
    """Bands (C, h, w) of a file, masked where ``how`` says so; those of several types, such as a VRT of an image and heights, one by one,
    since rasterio refuses them."""
    if len({dataset.dtypes[band - 1] for band in bands}) == 1:
        return dataset.read(list(bands), out_shape=shape and (len(bands), *shape), **how)
    stack = np.ma.stack if how.get("masked") else np.stack
    return stack([dataset.read(band, out_shape=shape, **how) for band in bands])


class ArrayMosaic(Mosaic):
    """A DataArray (band, y, x) or (y, x) with a CRS, read as a file is: NaN and its nodata value are missing pixels.

    ``store``: the Zarr store that it comes from.
    """

    def __init__(self, array: xarray.DataArray, bands: Bands = None, store: str | None = None):
        self._name = store or str(array.name or "the array")
        self.path, self._store = Path(self._name), store
        self._array = _three_axes(array)
        called = self._array["band"].values.tolist()
        facade = SimpleNamespace(indexes=range(1, len(called) + 1), count=len(called), colorinterp=[None] * len(called))
        facade.scales, facade.offsets = [1.0] * len(called), [0.0] * len(called)
        facade.descriptions = [one if isinstance(one, str) else None for one in called]
        chosen, made = chosen_bands(facade, bands, self.path)
        self._read_bands = made.inputs if made else tuple(int(band) for band in chosen)
        self.bands = chosen if made else tuple(_plain_name(called[int(band) - 1]) for band in chosen)
        self.grid = grid_of(self._array.rio.crs, self._array.rio.transform(), self._array.shape[1:], self.path)
        self._stored = np.dtype(self._array.dtype)
        if self._stored.kind not in "uif":
            raise InputError(f"an array of {self._stored}", valid="integer or floating-point pixels")
        chunks = self._array.encoding.get("preferred_chunks", {})
        self.block_shape = (chunks.get("y", 512), chunks.get("x", 512))
        nodata = self._array.rio.nodata
        known = nodata is not None and bool(np.isfinite(nodata))
        low, high = (-HUGE, HUGE) if self._stored.kind == "f" else (None, None)
        inputs = len(self._read_bands)
        together = inputs > 1 and self._stored == np.uint8
        self._stored_validity = Validity(((nodata if known else None),) * inputs, together, low, high)
        self._made = made
        self.dtype = made.dtype if made else self._stored
        self.validity = made.validity if made else self._stored_validity

    def described(self, band: int) -> str | None:
        return None

    def files(self) -> list[str]:
        if self._store is None:
            return []
        return [str(file) for file in Path(self._store).rglob("*") if file.is_file()] or [self._store]

    def reduced(self, shape: tuple[int, int]) -> np.ndarray:
        """Means of what falls into each pixel of the smaller array, row by row of it."""
        edges = [np.linspace(0, whole, parts + 1).astype(int) for whole, parts in zip(self.grid.shape, shape, strict=True)]
        reduced = np.full((self.count, *shape), np.nan, np.float32)
        for number, (top, bottom) in enumerate(pairwise(edges[0])):
            pixels, missing = self.read_masked(Window(top, 0, max(bottom - top, 1), self.grid.width))
            there = np.ones(pixels.shape, bool) if missing is None else np.broadcast_to(~missing, pixels.shape)
            sums = np.add.reduceat(np.where(there, pixels, 0).sum(1, dtype=np.float64), edges[1][:-1], axis=1)
            counts = np.add.reduceat(there.sum(1), edges[1][:-1], axis=1)
            np.divide(sums, counts, out=reduced[:, number], where=counts > 0, casting="same_kind")
        return reduced

    def _read(self, piece: RasterioWindow) -> Raw:
        rows, cols = (slice(int(off), int(off + size)) for off, size in ((piece.row_off, piece.height), (piece.col_off, piece.width)))
        pixels = np.array(self._array[[band - 1 for band in self._read_bands], rows, cols])
        return Raw(self._made(pixels, self._stored_validity.missing(pixels)), None) if self._made else Raw(pixels, None)


def _plain_name(band: Any) -> int | str:
    return band if isinstance(band, str) else int(band)


def open_zarr(path: str | Path, bands: Bands = None) -> ArrayMosaic:
    """The one raster of a Zarr store, or the one called ``mosaic``; addresses are read through fsspec."""
    import rioxarray  # noqa: F401  # registers .rio
    import xarray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of stores without consolidated metadata, as ours are
            store = xarray.open_zarr(str(path), chunks=None, consolidated=None, mask_and_scale=False, decode_coords="all")
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(f"{path} can't be opened: {first_line(error)}", valid="a Zarr store", next_step="check the path") from error
    names = [name for name, one in store.data_vars.items() if one.ndim in (2, 3)]
    chosen = "mosaic" if "mosaic" in names else names[0] if len(names) == 1 else None
    if chosen is None:
        raise InputError(f"{path} holds {len(names)} rasters: {', '.join(map(str, names))}", valid="one, or one called mosaic")
    return ArrayMosaic(store[chosen], bands, str(path))


def is_zarr(path: str | Path) -> bool:
    return str(path).rstrip("/").endswith(".zarr")


def _three_axes(array: Any) -> Any:
    import rioxarray  # noqa: F401  # registers .rio

    if array.ndim == 2:
        array = array.expand_dims(band=[1])
    dims = (array.rio.y_dim, array.rio.x_dim) if array.rio.crs is not None and array.ndim == 3 else None
    if dims is None or array.dims[1:] != dims:
        raise InputError(
            f"an array with axes {array.dims}" + ("" if array.rio.crs is not None else " and no CRS"),
            valid="(band, y, x) or (y, x), with a CRS",
            next_step="array.rio.write_crs(…) gives it one; cratermill.open_mosaic opens files that way",
        )
    return (
        array
        if "band" in array.coords and array.dims[0] == "band"
        else array.rename({array.dims[0]: "band"}).assign_coords(band=np.arange(1, array.shape[0] + 1))
    )


def require_body(mosaic: Mosaic, name: str) -> None:
    """Raise InputError unless a mosaic lies on the body of this name; radii may differ by a hundredth, as definitions do."""
    body, own = get_body(name), mosaic.grid.body
    if abs(body.semi_major_m / own.semi_major_m - 1) > 0.01:
        raise InputError(
            f"the mosaic {mosaic.path} has R = {own.semi_major_m:.0f} m, but the config says {name}, {body.semi_major_m:.0f} m",
            next_step="name the right body, or leave 'body' out: the mosaic's ellipsoid is trusted",
        )


def kept_open(path: Path, bands: tuple[int, ...] | None = None, *, labels: bool = False) -> Mosaic:
    """A file that is kept open for the next blocks, since opening takes longer than reading one; the last few are kept until
    :func:`close_kept`."""
    return _kept(path, bands, labels, tuple(stat_fingerprint(path)))


@lru_cache(maxsize=KEPT_OPEN)
def _kept(path: Path, bands: tuple[int, ...] | None, labels: bool, mark: tuple) -> Mosaic:
    # A file dropped from the cache closes itself when nobody holds it any more; another of the same name has another mark.
    return Mosaic.open(path, bands, labels=labels)


def close_kept() -> None:
    _kept.cache_clear()
