"""Small mosaics for tests, made in memory and written where a test wants them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import rasterio
from affine import Affine

from cratermill.geo.bodies import Body, get_body
from cratermill.geo.grid import Grid

MERCURY = Body("Mercury", 2_439_400.0, 2_439_400.0)
MARS = get_body("mars")
KINDS = ("metres", "metres 0-360", "metres lon_0=180", "degrees", "degrees 0-360")


def global_grid(body: Body = MERCURY, rows: int = 180, kind: str = "degrees", first_lon: float | None = None) -> Grid:
    """A global grid of rows × 2·rows pixels; ``first_lon`` moves the seam."""
    if kind.startswith("metres"):
        centre = 180.0 if "lon_0=180" in kind else 0.0
        step = body.half_circumference_m / rows
        left = 0.0 if "0-360" in kind else -body.half_circumference_m
        left = left if first_lon is None else first_lon / 180 * body.half_circumference_m
        return Grid(body.cylindrical_crs(centre), Affine(step, 0, left, 0, -step, body.half_circumference_m / 2), (rows, 2 * rows))
    left = 0.0 if "0-360" in kind else -180.0
    left = left if first_lon is None else first_lon
    return Grid(body.geographic_crs(), Affine(180 / rows, 0, left, 0, -180 / rows, 90), (rows, 2 * rows))


def noise(grid: Grid, bands: int = 1, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """(bands, rows, cols) of independent random pixels: any shift by a fraction of a pixel shows."""
    values = np.random.default_rng(seed).integers(1, 250, (bands, *grid.shape))
    return values.astype(dtype)


def write_mosaic(path: Path, pixels: np.ndarray, grid: Grid, **profile) -> Path:
    """Write (bands, rows, cols) as GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "crs": grid.crs.to_wkt(), "transform": grid.affine, **profile}
    shape = {"count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(path, "w", dtype=pixels.dtype, **shape, **profile) as dataset:
        dataset.write(pixels)
    return path


def exact_positions(tile: Grid, mosaic: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Mosaic (rows, columns) of every tile pixel by pyproj alone, straight from one CRS to the other; NaN off the body."""
    transformer = pyproj.Transformer.from_crs(tile.crs, mosaic.crs, always_xy=True)
    rows, cols = np.mgrid[: tile.height, : tile.width]
    x, y = transformer.transform(*tile.xy(rows, cols))
    found = mosaic.rowcol(np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan))
    return found


def column_distance(first, second, turn: float):
    """Difference of columns on the circle."""
    difference = first - second
    return difference - np.round(difference / turn) * turn


def slow_bilinear(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """(C, H, W) global mosaic at positions, in double precision, wrapping columns and repeating the outermost rows."""
    height, width = pixels.shape[1:]
    rows = np.clip(rows, 0, height - 1)
    row, col = np.floor(rows).astype(int), np.floor(cols).astype(int)
    down, right = rows - row, cols - col
    below, values = np.minimum(row + 1, height - 1), pixels.astype(float)
    left, beside = col % width, (col + 1) % width
    top = values[:, row, left] * (1 - right) + values[:, row, beside] * right
    bottom = values[:, below, left] * (1 - right) + values[:, below, beside] * right
    return top * (1 - down) + bottom * down
