"""Cloud-optimised GeoTIFFs, written whole or not at all: from an array, or block by block for rasters larger than memory."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterioWindow

from ..core.errors import InputError, WorkError
from ..core.files import atomic_path
from .grid import Grid, Window
from .overviews import PACKED, filled_blocks, with_overviews

BLOCK_PX = 512
# Rasters up to this size are put together in memory, larger ones in a temporary file beside the target.
MEMORY_BYTES = 96 * 2**20
# That file is packed where pixels have so many bytes: the rasters of a map of ejecta take a tenth of the room then, and no more time. A
# probability in one byte would take half of it, and half as much time again.
PACKED_FROM = 4

Blocks = Iterable[tuple[Window, np.ndarray]]


def write_cog(
    path: str | Path,
    data: np.ndarray | Blocks,
    grid: Grid,
    *,
    window: Window | None = None,
    nodata: float | None = None,
    fill: float | None = None,
    dtype: str | np.dtype | None = None,
    bands: int | None = None,
    colormap: Mapping[int, tuple[int, ...]] | None = None,
    names: Iterable[str] = (),
    tags: Mapping[str, object] | None = None,
    overviews: bool = True,
    resampling: str = "nearest",
) -> Path:
    """Write a raster of ``grid``, or of a window of it, as COG; returns the path.

    ``data``: an array (h, w) or (bands, h, w), or (window of ``grid``, array) pairs in any order, later ones over earlier ones; what none
    covers holds ``fill`` (default: nodata, else 0). ``dtype`` and ``bands`` are needed only if there may be no pair at all. ``names`` of
    bands, ``colormap`` (value → RGB or RGBA) and ``tags`` go into the file. Four uint8 bands are RGBA. ``resampling`` of overviews: see
    overviews.py.
    WorkError if the disk is full or the folder can't be written: then nothing is left behind, and an older file stays as it was.
    """
    path = Path(path)
    place = window or Window(0, 0, *grid.shape)
    blocks, dtype, bands = _as_blocks(data, place, dtype, bands)
    profile = {"crs": grid.crs.to_wkt("WKT2_2019"), "transform": grid.window(place).affine, "width": place.width, "height": place.height}
    profile |= {"count": bands, "dtype": dtype, "nodata": nodata}
    if fill is None:
        fill = 0 if nodata is None else nodata
    with _explained(path), atomic_path(path) as temporary, _scratch(temporary, profile) as dataset:
        _write_blocks(dataset, blocks, place, fill, nodata)
        _describe(dataset, colormap, names, tags)
        dataset.close()
        _to_cog(dataset.name, temporary, resampling if overviews else None, _packing(dtype))
    return path


def _as_blocks(data, place: Window, dtype, bands: int | None) -> tuple[Iterator[tuple[Window, np.ndarray]], np.dtype, int]:
    if isinstance(data, np.ndarray):
        if data.ndim not in (2, 3) or data.shape[-2:] != (place.height, place.width):
            raise InputError(f"array of shape {data.shape}", valid=f"({place.height}, {place.width}), or bands before that")
        data = [(place, data)]
    blocks = iter(data)
    first = next(blocks, None)
    if first is not None:
        blocks = chain([first], blocks)
        array = np.asarray(first[1])
        dtype, bands = dtype or _storable(array.dtype), bands or (array.shape[0] if array.ndim == 3 else 1)
    if dtype is None:
        raise InputError("no block to write", valid="at least one block, or dtype= of an empty raster")
    return blocks, np.dtype(dtype), bands or 1


def _storable(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


@contextlib.contextmanager
def _scratch(target: Path, profile: dict):
    """A writable dataset in memory or beside the target; its name stays readable until the context ends."""
    # Band by band: in pixel-interleaved files GDAL fills the unwritten rest of a block with nodata in the first band, with 0 in others.
    options = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "band"}
    options |= {"SPARSE_OK": True, "BIGTIFF": "IF_SAFER"}
    if profile["count"] == 4 and profile["dtype"] == np.uint8:
        options |= {"photometric": "RGB", "alpha": "YES"}
    elif profile["count"] == 3 and profile["dtype"] == np.uint8:
        options |= {"photometric": "RGB"}
    if profile["width"] * profile["height"] * profile["count"] * profile["dtype"].itemsize <= MEMORY_BYTES:
        with MemoryFile(ext=".tif") as memory, memory.open(**profile, **options) as dataset:
            yield dataset
        return
    scratch = target.with_name(f"{target.name}.scratch.tif")
    if profile["count"] * profile["dtype"].itemsize >= PACKED_FROM:
        options |= PACKED
    try:
        with rasterio.open(scratch, "w", **profile, **options) as dataset:
            yield dataset
    finally:
        scratch.unlink(missing_ok=True)


def _write_blocks(dataset, blocks: Blocks, place: Window, fill: float, nodata: float | None) -> None:
    # Blocks that are never written read as nodata, or 0 if there is none; any other filling has to be written.
    default = 0 if nodata is None else nodata
    if not np.array_equal(fill, default, equal_nan=True):
        for _, tile in dataset.block_windows(1):
            shape = (dataset.count, int(tile.height), int(tile.width))
            dataset.write(np.full(shape, fill, dtype=dataset.dtypes[0]), window=tile)
    for window, array in blocks:
        row, col = window.row - place.row, window.col - place.col
        if row < 0 or col < 0 or row + window.height > place.height or col + window.width > place.width:
            raise InputError(f"block {window} outside the raster", valid=f"windows inside {place}")
        array = np.asarray(array)
        array = array.reshape(-1, *array.shape[-2:]).astype(dataset.dtypes[0], copy=False)
        if array.shape != (dataset.count, window.height, window.width):
            raise InputError(f"block of shape {array.shape} for {window}", valid=f"{(dataset.count, window.height, window.width)}")
        dataset.write(array, window=RasterioWindow(col, row, window.width, window.height))


def _describe(dataset, colormap, names: Iterable[str], tags) -> None:
    if colormap:
        dataset.write_colormap(1, dict(colormap))
    for number, name in enumerate(names, start=1):
        dataset.set_band_description(number, name)
    if dataset.count == 4 and dataset.dtypes[0] == "uint8":
        dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    if tags:
        dataset.update_tags(**{key: str(value) for key, value in tags.items()})


def _packing(dtype: np.dtype) -> dict[str, object]:
    """The quickest compression. Fractions are mostly noise: slower levels gain little, and differences of whole words are packed and
    unpacked in two thirds of the time of the predictor for floats, for a tenth more space."""
    return {"COMPRESS": "DEFLATE", "LEVEL": 1} | ({"PREDICTOR": "STANDARD"} if dtype.kind == "f" else {})


def _to_cog(scratch: str, target: Path, method: str | None, options: dict[str, object]) -> None:
    """``method`` of overviews; None: make none."""
    options |= {"driver": "COG", "BLOCKSIZE": BLOCK_PX, "BIGTIFF": "IF_SAFER", "SPARSE_OK": True, "NUM_THREADS": "ALL_CPUS"}
    with with_overviews(scratch, method) if method else contextlib.nullcontext(scratch) as source:
        _copy(source, target, in_memory=scratch.startswith("/vsimem/"), options=options | {"OVERVIEWS": "AUTO" if method else "NONE"})


def _copy(source: str, target: Path, in_memory: bool, options: dict[str, object]) -> None:
    # GDAL reports some failed writes to a full disk only on closing, where nobody hears them. What is small is written to memory first:
    # Python's own write and fsync are sure to raise. What isn't is read back.
    if not in_memory:
        rasterio.shutil.copy(source, target, **options)
        _require_whole(target)
        return
    with MemoryFile(ext=".tif") as memory:
        rasterio.shutil.copy(source, memory.name, **options)
        _save(memory, target)


def _require_whole(path: Path) -> None:
    """Raise an error of rasterio or of the system unless every block of a file can be read and lies on the disk."""
    with rasterio.open(path) as dataset:
        for window in filled_blocks(dataset):
            dataset.read(window=window)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _save(memory: MemoryFile, target: Path) -> None:
    memory.seek(0)
    with target.open("wb") as file:
        while chunk := memory.read(16 * 2**20):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _explained(path: Path):
    try:
        yield
    except (OSError, rasterio.errors.RasterioError) as error:
        cause = getattr(error, "strerror", None) or str(error.__cause__ or error).strip().splitlines()[0]
        step = "make room or choose another folder, then rerun"
        raise WorkError(f"{path} can't be written: {cause} ({_free_space(path)})", next_step=step) from error


def _free_space(path: Path) -> str:
    folder = next((folder for folder in path.parents if folder.exists()), Path())
    return f"{shutil.disk_usage(folder).free / 2**20:.0f} MB free"
