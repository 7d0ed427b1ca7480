"""Mean and deviation of a mosaic's bands: exact over every pixel at full resolution that holds data, whatever overviews the file has.

The file is read block by block by whatever dask scheduler is active. Whole numbers of up to 16 bits are counted by value, so their sums are
exact; other types are summed in blocks of a fixed size, and ``math.fsum`` adds blocks without an error of its own. Either way the result
is the same, bit by bit, on any scheduler and any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.errors import InputError
from ..core.files import fingerprint, read_json, stat_fingerprint, write_json
from ..core.notices import notice
from .blocks import in_order
from .grid import Window

if TYPE_CHECKING:
    from .mosaic import Mosaic

BLOCK_BYTES = 12 * 2**20
# OpenCV counts in float32, which is exact up to 2²⁴.
BLOCK_PX = 2**24
SAMPLED_PX = 2**14
"""Of each block: enough to see a value that many pixels hold."""
FILL_SHARE, FILL_AMONG, FILL_GAP = 0.001, 16, 0.25
"""A value at either end is taken for a fill that nobody declared if this share of all pixels hold it, among so many other values, and if it
lies apart from them by this part of their range."""
RULE = "exact-3"
"""Part of the mark of remembered statistics: another rule makes them anew."""


class Statistics(NamedTuple):
    """Per band: mean, standard deviation, and the number of pixels that hold data; (C,) each."""

    mean: np.ndarray
    std: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # a tuple's own count is of no use here


class _Sums(NamedTuple):
    """Of one band of one block: number of pixels, their sum, and the sum of squares (whole numbers) or of squared deviations from the
    block's own mean (others)."""

    count: int  # type: ignore[assignment]  # as above
    total: float
    squares: float


_KNOWN: dict[str, Statistics] = {}


def statistics(mosaic: Mosaic, remembered: Path | None = None) -> Statistics:
    """``remembered``: a JSON file in which results are kept by the file's mark, so that they cost once; it is made if need be.

    Raises ``InputError`` where a band holds no data at all.
    """
    mark = fingerprint([RULE, marks_of(mosaic), list(mosaic.bands)])
    if mark not in _KNOWN:
        kept = read_json(remembered, {}).get(mark) if remembered else None
        _KNOWN[mark] = _parsed(kept) or _counted(mosaic)
        if remembered and kept is None:
            _keep(remembered, mark, _KNOWN[mark])
    return _KNOWN[mark]


def marks_of(mosaic: Mosaic) -> list:
    """What the pixels come from: every file behind the name (sources of a VRT, masks beside it) with size and time; of others the name."""
    return [[name, *(stat_fingerprint(Path(name)) if Path(name).is_file() else [])] for name in sorted(mosaic.files())]


def _parsed(kept: dict | None) -> Statistics | None:
    try:
        return Statistics(*(np.array(kept[name]) for name in Statistics._fields)) if kept else None
    except (KeyError, TypeError):
        return None


def _keep(path: Path, mark: str, found: Statistics) -> None:
    # A folder that nobody may write to only costs the time of doing it again.
    try:
        write_json(path, read_json(path, {}) | {mark: {name: values.tolist() for name, values in found._asdict().items()}})
    except OSError:
        return


def _counted(mosaic: Mosaic) -> Statistics:
    found = list(in_order(partial(_block_sums, mosaic), list(block_windows(mosaic)), SAMPLED_PX * 8))
    bands = list(zip(*(sums for sums, _ in found), strict=True))
    if not all(sum(part.count for part in band) for band in bands):
        raise InputError(f"{mosaic.path}: no pixel holds data", valid="a mosaic with pixels that differ from its nodata value")
    for name, *samples in zip(mosaic.bands, *(samples for _, samples in found), strict=True):
        _say_fill(mosaic.path, name, np.concatenate(samples))
    joined = [_joined_whole(band) if _is_counted(mosaic.dtype) else _joined(band) for band in bands]
    return Statistics(*(np.array(values) for values in zip(*joined, strict=True)))


def block_windows(mosaic: Mosaic) -> Iterator[Window]:
    """Windows that cover the mosaic, along the file's own blocks, of a size that doesn't depend on the machine."""
    pixels = min(BLOCK_PX, BLOCK_BYTES // (mosaic.count * mosaic.dtype.itemsize))
    tall, wide = (min(side, whole) for side, whole in zip(mosaic.block_shape, mosaic.grid.shape, strict=True))
    across = min(mosaic.grid.width, max(1, pixels // (tall * wide)) * wide)
    down = min(mosaic.grid.height, max(1, pixels // (across * tall)) * tall)
    for row in range(0, mosaic.grid.height, down):
        for col in range(0, mosaic.grid.width, across):
            yield Window(row, col, min(down, mosaic.grid.height - row), min(across, mosaic.grid.width - col))


def _is_counted(dtype: np.dtype) -> bool:
    return dtype.kind in "ui" and dtype.itemsize <= 2


def _say_fill(path: Path, band: int | str, values: np.ndarray) -> None:
    """Say it where many pixels hold one value far from all others: such values are seldom data, and everything hangs on them."""
    found, counts = np.unique(values, return_counts=True)
    for edge, beside in ((0, 1), (-1, -2)) if len(found) > FILL_AMONG else ():
        share, gap = counts[edge] / values.size, abs(float(found[edge]) - float(found[beside]))
        if share >= FILL_SHARE and gap > FILL_GAP * abs(float(found[beside]) - float(found[-1 - edge])):
            notice(
                f"{path}: {share:.1%} of band {band} hold {found[edge]:g}, far from all other values, and count as data; if nothing was "
                f"measured there, say so: gdal_edit.py -a_nodata {found[edge]:g}, a mask or an alpha band"
            )


def _block_sums(mosaic: Mosaic, window: Window) -> tuple[list[_Sums], list[np.ndarray]]:
    """The sums of each band, and some of its values."""
    pixels, missing = mosaic.read_masked(window)
    valid = None if missing is None else np.broadcast_to(~missing, pixels.shape)
    one = _whole_sums if _is_counted(mosaic.dtype) else _real_sums
    sums = [one(band, None if valid is None else valid[number]) for number, band in enumerate(pixels)]
    every = (slice(None, None, max(1, math.isqrt(pixels[0].size // SAMPLED_PX))),) * 2
    samples = [band[every] if valid is None else band[every][valid[number][every]] for number, band in enumerate(pixels)]
    return sums, [np.ravel(sample).copy() for sample in samples]


def _whole_sums(band: np.ndarray, valid: np.ndarray | None) -> _Sums:
    import cv2

    bits, low = 8 * band.dtype.itemsize, int(np.iinfo(band.dtype).min)
    unsigned = band.view(f"u{band.dtype.itemsize}") ^ np.array(-low, f"u{band.dtype.itemsize}") if low else band
    mask = None if valid is None else valid.astype(np.uint8)
    values, counts = np.arange(low, low + 2**bits), np.zeros(2**bits, np.int64)
    rows = max(1, BLOCK_PX // band.shape[1])
    for start in range(0, band.shape[0], rows):
        part = np.s_[start : start + rows]
        found = cv2.calcHist([np.ascontiguousarray(unsigned[part])], [0], None if mask is None else mask[part], [2**bits], [0, 2**bits])
        counts += np.rint(found.ravel()).astype(np.int64)
    return _Sums(int(counts.sum()), int(counts @ values), int(counts @ values**2))


def _real_sums(band: np.ndarray, valid: np.ndarray | None) -> _Sums:
    values = (band.ravel() if valid is None else band[valid]).astype(np.float64)
    if not values.size:
        return _Sums(0, 0.0, 0.0)
    total = float(values.sum())
    values -= total / values.size
    return _Sums(values.size, total, float(np.square(values, out=values).sum()))


def _joined_whole(parts: tuple[_Sums, ...]) -> tuple[float, float, int]:
    count, total, squares = (int(sum(values)) for values in zip(*parts, strict=True))
    return total / count, math.sqrt((count * squares - total**2) / count**2), count


def _joined(parts: tuple[_Sums, ...]) -> tuple[float, float, int]:
    parts = tuple(part for part in parts if part.count)
    count = sum(part.count for part in parts)
    mean = math.fsum(part.total for part in parts) / count
    within = math.fsum(part.squares for part in parts)
    between = math.fsum(part.count * (part.total / part.count - mean) ** 2 for part in parts)
    return mean, math.sqrt((within + between) / count), count
