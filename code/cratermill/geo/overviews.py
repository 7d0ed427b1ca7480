"""Overviews of a raster, made only where it holds something: GDAL's own way looks at every pixel of a planet that is mostly empty.

That costs .3 to 1.4 s of CPU time more per raster of 11520 × 23040 pixels (docs/benchmarks.md); at half that size there is no difference.

Levels halve the size, rounding up, until both sides fit in one block. Each is a sparse GeoTIFF of its own; a VRT joins them to the raster.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterioWindow

from ..core.files import fingerprint, stat_fingerprint
from ..core.machine import cores
from ..core.prefetch import prefetched
from ..core.remembered import folders

METHODS = ("nearest", "average")
LARGE_PX = 2**24
"""Pixels from which a raster without overviews is slow to look at."""
FACTORS = (4, 8, 16, 32, 64)
PACKED = {"COMPRESS": "ZSTD", "ZSTD_LEVEL": 1}
"""How temporary rasters are packed. A block that is written again may leave a hole as large as it was; windows that hold whole blocks, as
composites write them, leave none."""
MOST_KEPT = 8
"""Rasters whose overviews the user's cache holds; the oldest make room."""


@contextlib.contextmanager
def with_overviews(source: str, method: str) -> Iterator[str]:
    """Give the name of a raster that has the pixels of the tiled GeoTIFF ``source``, and overviews; it is gone afterwards.

    ``average`` leaves out missing pixels (nodata, NaN; colours where an RGBA picture is transparent), ``nearest`` takes every second pixel.
    Levels are made in memory if the source lies there, else beside it, and packed if it is.
    """
    assert method in METHODS, method
    with ExitStack() as stack:
        levels: list[str] = []
        finer = source
        while (coarser := _next_level(finer, len(levels), source, method, stack)) is not None:
            levels.append(coarser)
            finer = coarser
        yield _joined(source, levels, stack) if levels else source


def with_kept_overviews(path: Path, method: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """A large raster without overviews as a VRT that has some, made once and kept in the user's cache; ``path`` itself where it has its
    own, is small, or the cache can't be written. The raster isn't touched."""
    with rasterio.open(path) as dataset:
        if dataset.overviews(1) or dataset.width * dataset.height < LARGE_PX:
            return path
    home = folders()[-1] / "overviews"
    kept = home / f"{fingerprint([str(path.resolve()), stat_fingerprint(path), method, FACTORS])[:20]}" / "raster.vrt"
    if kept.exists():
        return kept
    say(f"{path.name} has no overviews: they are made once and kept in {home}")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".making-") as folder:
            _make_overviews(path, Path(folder) / kept.name, method)
            Path(folder).rename(kept.parent)
            Path(folder).mkdir()  # for its end
        for old in sorted(home.glob("[!.]*"), key=lambda one: one.stat().st_mtime)[:-MOST_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, rasterio.errors.RasterioError):
        return kept if kept.exists() else path  # another viewer may have been quicker
    return kept


def _make_overviews(path: Path, vrt: Path, method: str) -> None:
    rasterio.shutil.copy(str(path.resolve()), str(vrt), driver="VRT", strict=False)
    # LZW takes twice the time of all of it; cores() threads read and pack beside each other.
    packed = {"COMPRESS_OVERVIEW": "ZSTD", "ZSTD_LEVEL_OVERVIEW": 1, "GDAL_NUM_THREADS": cores()}
    with rasterio.Env(**packed), rasterio.open(vrt, "r+") as dataset:
        dataset.build_overviews(list(FACTORS), Resampling[method])


def filled_blocks(dataset) -> Iterator[RasterioWindow]:
    """The blocks of a GeoTIFF, opened for reading, that were ever written with anything but nodata (or 0 if there is none)."""
    height, width = dataset.block_shapes[0]
    for (row, col), window in dataset.block_windows(1):
        name = f"BLOCK_OFFSET_{col}_{row}"
        if any(dataset.get_tag_item(name, dm="TIFF", bidx=band) for band in dataset.indexes):
            yield RasterioWindow(col * width, row * height, window.width, window.height)


def _next_level(finer: str, number: int, source: str, method: str, stack: ExitStack) -> str | None:
    with rasterio.open(finer) as parent:
        side = parent.block_shapes[0][0]
        if max(parent.shape) <= side:
            return None
        name = _scratch_name(source, number, stack)
        halved = partial(_halved, method=method, nodata=parent.nodata, rgba=_is_rgba(parent))
        with rasterio.open(name, "w", **_profile(parent)) as level, ThreadPoolExecutor(cores()) as pool:
            windows = _halves(parent, side)
            read = (parent.read(window=_doubled(window, parent)) for window in windows)
            for window, pixels in zip(windows, prefetched(pool, halved, read, 2 * cores()), strict=True):
                level.write(pixels, window=window)
    return name


def _scratch_name(source: str, number: int, stack: ExitStack) -> str:
    if source.startswith("/vsimem/"):
        return stack.enter_context(MemoryFile(ext=".tif")).name
    path = Path(f"{source}.level{number}.tif")
    stack.callback(path.unlink, missing_ok=True)
    return str(path)


def _profile(parent) -> dict:
    keep = {
        key: parent.profile[key] for key in ("driver", "dtype", "nodata", "count", "crs", "tiled", "blockxsize", "blockysize", "interleave")
    }
    shape = {"height": -(-parent.height // 2), "width": -(-parent.width // 2)}
    photometric = {"photometric": "RGB", "alpha": "YES"} if _is_rgba(parent) else {}
    packed = PACKED if parent.compression else {}
    return keep | shape | photometric | packed | {"transform": parent.transform @ Affine.scale(2), "SPARSE_OK": True, "BIGTIFF": "IF_SAFER"}


def _is_rgba(dataset) -> bool:
    return dataset.count == 4 and dataset.colorinterp[3].name == "alpha"


def _halves(parent, side: int) -> list[RasterioWindow]:
    """The blocks of the next level that lie over blocks with something in them."""
    height, width = -(-parent.height // 2), -(-parent.width // 2)
    corners = sorted({(window.row_off // (2 * side) * side, window.col_off // (2 * side) * side) for window in filled_blocks(parent)})
    return [RasterioWindow(col, row, min(side, width - col), min(side, height - row)) for row, col in corners]


def _doubled(window: RasterioWindow, parent) -> RasterioWindow:
    row, col = 2 * window.row_off, 2 * window.col_off
    return RasterioWindow(col, row, min(2 * window.width, parent.width - col), min(2 * window.height, parent.height - row))


def _halved(pixels: np.ndarray, method: str, nodata: float | None, rgba: bool) -> np.ndarray:
    """Pixels (C, h, w) at half the size, rounded up."""
    if method == "nearest":
        return pixels[:, ::2, ::2]
    if pixels.shape[1] % 2 or pixels.shape[2] % 2:
        # An odd last row or column stands for itself.
        pixels = np.pad(pixels, ((0, 0), (0, pixels.shape[1] % 2), (0, pixels.shape[2] % 2)), mode="edge")
    if rgba:
        return np.concatenate([_means(pixels[:3], pixels[3] > 0, 0), _means(pixels[3:], None, 0)])
    empty = 0 if nodata is None else nodata
    return np.concatenate([_means(band[None], _present(band, nodata), empty) for band in pixels])


def _present(values: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Where pixels (h, w) count; None: everywhere."""
    present = np.isfinite(values) if values.dtype.kind == "f" else None
    if nodata is not None and not np.isnan(nodata):
        present = (values != nodata) if present is None else present & (values != nodata)
    return present


def _means(bands: np.ndarray, present: np.ndarray | None, empty: float) -> np.ndarray:
    """Mean of every two by two values (C, h, w) that are ``present`` (h, w; None: all); ``empty`` where none is."""
    if present is None or present.all():
        return _as_dtype(np.stack([_sums(values) for values in bands]) * np.float32(0.25), bands.dtype)
    counts = _sums(present.view(np.uint8))
    made = np.empty((len(bands), *counts.shape), bands.dtype)
    for band, values in zip(made, bands, strict=True):
        sums = _sums(np.where(present, values, np.zeros((), values.dtype)))
        band[...] = np.where(counts > 0, _as_dtype(sums / np.maximum(counts, 1), bands.dtype), np.asarray(empty, bands.dtype))
    return made


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums of every two by two values (h, w): OpenCV's mean of four times the values, exact for bytes."""
    import cv2  # takes longer to load than looking whether there are overviews

    wide = {"uint8": np.uint16, "int16": np.float32, "uint16": np.float32, "float32": np.float32}.get(values.dtype.name, np.float64)
    return cv2.resize(values.astype(wide) * wide(4), (values.shape[1] // 2, values.shape[0] // 2), interpolation=cv2.INTER_AREA)


def _as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return values.astype(dtype) if dtype.kind == "f" else np.rint(values).astype(dtype)


def _joined(source: str, levels: list[str], stack: ExitStack) -> str:
    """A VRT in memory: the source's pixels and description, with ``levels`` as its overviews."""
    with MemoryFile(ext=".vrt") as plain:
        rasterio.shutil.copy(source, plain.name, driver="VRT", strict=False)
        tree = ElementTree.fromstring(plain.read())
    for number, band in enumerate(tree.findall("VRTRasterBand"), start=1):
        for name in band.iter("SourceFilename"):
            name.text, name.attrib["relativeToVRT"] = source, "0"
        for level in levels:
            overview = ElementTree.SubElement(band, "Overview")
            ElementTree.SubElement(overview, "SourceFilename", relativeToVRT="0").text = level
            ElementTree.SubElement(overview, "SourceBand").text = str(number)
    return stack.enter_context(MemoryFile(ElementTree.tostring(tree), ext=".vrt")).name
