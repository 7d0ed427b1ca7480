"""Interpolation of pixel arrays at fractional positions, exact where OpenCV's is and by NumPy elsewhere.

OpenCV's ``remap`` used to round positions to 1/32 px. Version 5 interpolates single-band uint8, uint16 and float32 exactly (other types and
band counts still aren't); whether the installed one does is found out once, by trying.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# remap's own limit on the source's sides; wider sources (whole turns of large mosaics) take NumPy's path.
LARGEST_SIDE = 32766


def nearest(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Pixels (C, H, W) at the nearest centres of positions (h, w): (C, h, w). Halves go towards +∞, the same on every machine."""
    row_index, col_index = (np.floor(values + 0.5).astype(np.intp) for values in (rows, cols))
    flat = row_index * pixels.shape[2] + col_index
    return np.take(pixels.reshape(pixels.shape[0], -1), flat, axis=1)


def nearest_or_fill(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray, fill: float) -> np.ndarray:
    """Like ``nearest``, with positions anywhere: ``fill`` where the nearest centre isn't one of (H, W), or the position is NaN."""
    if pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32) and max(pixels.shape[1:]) <= LARGEST_SIDE:
        return _remap_nearest(pixels, rows, cols, fill)
    row_index, col_index = np.floor(rows + 0.5), np.floor(cols + 0.5)
    height, width = pixels.shape[1:]
    inside = (row_index >= 0) & (row_index < height) & (col_index >= 0) & (col_index < width)
    flat = np.where(inside, row_index * width + col_index, 0).astype(np.intp)
    return np.where(inside, np.take(pixels.reshape(pixels.shape[0], -1), flat, axis=1), np.asarray(fill, dtype=pixels.dtype))


def bilinear(pixels: np.ndarray, rows, cols, missing: np.ndarray | None, fill: float, factor: int = 1, thin: int = 1) -> np.ndarray:
    """Pixels (C, H, W) at positions (h·k, w·k), averaged over k × k subpixels (k = ``factor``): (C, h, w) in the same dtype.

    ``missing`` (1 or C, H, W) marks source pixels without a say; where less than half of the weight remains, the result is ``fill``.
    ``thin`` averages the source by so many pixels per side first.
    """
    return bilinear_masked(pixels, rows, cols, missing, fill, factor, thin)[0]


def bilinear_masked(
    pixels: np.ndarray, rows, cols, missing: np.ndarray | None, fill: float, factor: int = 1, thin: int = 1
) -> tuple[np.ndarray, np.ndarray | None]:
    """The same, and a mask (1 or C, h, w) of where the result is ``fill``; None if nothing was missing to begin with."""
    dtype = pixels.dtype
    if missing is None and factor == thin == 1 and _remap_can(dtype, pixels.shape):
        return _each_band(pixels, rows, cols), None
    working = np.float64 if dtype.itemsize > 4 or (dtype.kind != "f" and dtype.itemsize == 4) else np.float32
    values = pixels.astype(working)
    if missing is not None:
        # Zero first: a NaN times a weight of zero would still be NaN.
        np.copyto(values, 0, where=missing)
    if thin > 1:
        rows, cols = (
            np.clip((at - (thin - 1) / 2) / thin, 0, -(-length // thin) - 1)
            for at, length in zip((rows, cols), pixels.shape[1:], strict=True)
        )
    total = _box_mean(_each_band(_thinned(values, thin), rows, cols), factor)
    if missing is None:
        return _as_dtype(total, dtype), None
    weight = _box_mean(_each_band(_thinned((~missing).astype(working), thin), rows, cols), factor)
    enough = weight >= 0.5 - 1e-6
    mean = np.divide(total, weight, out=np.zeros_like(total), where=np.broadcast_to(enough, total.shape))
    return np.where(enough, _as_dtype(mean, dtype), np.asarray(fill, dtype=dtype)), ~enough


def _thinned(values: np.ndarray, thin: int) -> np.ndarray:
    """Means of blocks of thin × thin pixels; the last ones may be smaller."""
    if thin == 1:
        return values
    import cv2

    high, wide = (length // thin for length in values.shape[1:])
    whole = np.s_[:, : high * thin, : wide * thin]
    means = np.empty((len(values), *(-(-length // thin) for length in values.shape[1:])), values.dtype)
    for band, target in zip(values[whole] if high and wide else (), means, strict=False):
        target[:high, :wide] = cv2.resize(band, (wide, high), interpolation=cv2.INTER_AREA)  # a tenth of reduceat's time
    means[:, high:] = _means(values[:, high * thin :], thin)
    means[:, :high, wide:] = _means(values[:, : high * thin, wide * thin :], thin)
    return means


def _means(values: np.ndarray, thin: int) -> np.ndarray:
    """The same, blocks of any size."""
    if not values.size:
        return np.zeros((len(values), *(-(-length // thin) for length in values.shape[1:])), values.dtype)
    rows, cols = (np.arange(0, length, thin) for length in values.shape[1:])
    total = np.add.reduceat(np.add.reduceat(values, rows, axis=1), cols, axis=2)
    total /= np.minimum(thin, values.shape[1] - rows)[:, None] * np.minimum(thin, values.shape[2] - cols)
    return total


def _each_band(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    if not _remap_can(pixels.dtype, pixels.shape):
        return _bilinear_numpy(pixels, rows, cols)
    import cv2

    map_x, map_y = cols.astype(np.float32, copy=False), rows.astype(np.float32, copy=False)
    out = np.empty((pixels.shape[0], *rows.shape), dtype=pixels.dtype)
    for band, target in zip(pixels, out, strict=True):
        cv2.remap(np.ascontiguousarray(band), map_x, map_y, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_REPLICATE)
    return out


def _remap_nearest(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray, fill: float) -> np.ndarray:
    import cv2

    map_x, map_y = _whole_numbers(cols, pixels.shape[2]), _whole_numbers(rows, pixels.shape[1])
    out = np.empty((pixels.shape[0], *rows.shape), dtype=pixels.dtype)
    for band, target in zip(pixels, out, strict=True):
        constant = cv2.BORDER_CONSTANT
        cv2.remap(np.ascontiguousarray(band), map_x, map_y, cv2.INTER_NEAREST, target, constant, float(fill))
    return out


def _whole_numbers(positions: np.ndarray, length: int) -> np.ndarray:
    """Numbers of the nearest centres as float32, so that nothing is left for remap to round; −2 or length + 1 far outside and for NaN."""
    numbers = np.add(positions, 0.5, dtype=np.float32, casting="same_kind")
    np.floor(numbers, out=numbers)
    # remap's conversion of NaN and of far numbers to integers would be undefined. (np.fmax would do both at once, at four times the cost.)
    if np.isnan(numbers.min()):
        np.nan_to_num(numbers, copy=False, nan=-2)
    return np.clip(numbers, -2, length + 1, out=numbers)


def _bilinear_numpy(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """The same in plain NumPy: floating-point pixels (C, H, W) at positions inside the array."""
    height, width = pixels.shape[1:]
    row, col = np.floor(rows).astype(np.intp), np.floor(cols).astype(np.intp)
    down, right = (rows - row).astype(pixels.dtype), (cols - col).astype(pixels.dtype)
    below, beside = np.minimum(row + 1, height - 1), np.minimum(col + 1, width - 1)
    flat = pixels.reshape(pixels.shape[0], -1)

    def along(line):
        return np.take(flat, line * width + col, axis=1) * (1 - right) + np.take(flat, line * width + beside, axis=1) * right

    return along(row) * (1 - down) + along(below) * down


def _box_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of factor × factor pixels (C, h·k, w·k) → (C, h, w)."""
    if factor == 1:
        return values
    bands, height, width = values.shape
    lines = values.reshape(bands, height // factor, factor, width).sum(axis=2)
    # Slice by slice: a reduction over a short last axis is several times slower in NumPy.
    total = lines[..., ::factor].copy()
    for start in range(1, factor):
        total += lines[..., start::factor]
    total /= factor * factor
    return total


def _as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def _remap_can(dtype: np.dtype, shape: tuple[int, ...]) -> bool:
    if max(shape[1:]) > LARGEST_SIDE or min(shape[1:]) < 2:
        return False
    return dtype in (np.uint8, np.uint16, np.float32) and _remap_is_exact(np.dtype(dtype).name)


@lru_cache(maxsize=8)
def _remap_is_exact(dtype: str) -> bool:
    try:
        import cv2
    except ImportError:
        return False
    random = np.random.default_rng(0)
    pixels = random.integers(0, 250, (40, 50)).astype(dtype)
    rows, cols = random.uniform(1, 37, (31, 33)).astype(np.float32), random.uniform(1, 47, (31, 33)).astype(np.float32)
    found = cv2.remap(pixels, cols, rows, cv2.INTER_LINEAR).astype(float)
    wanted = _bilinear_numpy(pixels[None].astype(np.float64), rows, cols)[0]
    # 1/32 px on a contrast of 250 would show as several units; rounding to integers costs half of one.
    return bool(np.abs(found - wanted).max() <= (0.51 if dtype.startswith("u") else 1e-3))
