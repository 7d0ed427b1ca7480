"""Tiles out of a mosaic, inscribed squares and masks back onto it, against the whole-globe way and against WarpedVRT.

    python benchmarks/geometry.py [--folder DIR] [--rows 11520] [--json FILE]

The mosaic (800 MB, three bands of blurred noise, tiled, not compressed so that the baseline doesn't pay for it) is made on the first run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from affine import Affine
from measure import Row, measure, show
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from rasterio.windows import Window as RasterioWindow

from cratermill.geo.backprojection import inscribed_square, largest_square, to_mosaic
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Grid, Window, azimuthal_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.pixel_maps import Link
from cratermill.geo.sampling import sample_many

BODY = Body("Mercury", 2_439_400.0, 2_439_400.0, "EJMAP's mosaic")
CRATER = (40.0, -25.0)
TILE_PX = 224


def mosaic_grid(rows: int) -> Grid:
    step = BODY.half_circumference_m / rows
    return Grid(BODY.cylindrical_crs(), Affine(step, 0, -rows * step, 0, -step, rows / 2 * step), (rows, 2 * rows))


def make_mosaic(path: Path, grid: Grid) -> None:
    import cv2

    small = np.random.default_rng(0).integers(1, 255, (grid.height // 8, grid.width // 8), dtype=np.uint8)
    place = {"crs": grid.crs.to_wkt(), "transform": grid.affine, "height": grid.height, "width": grid.width}
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", tiled=True, blockxsize=512, blockysize=512, **place) as file:
        for band in range(3):
            file.write(cv2.resize(np.roll(small, 7 * band, axis=0), (grid.width, grid.height), interpolation=cv2.INTER_CUBIC), band + 1)


def crater_tiles(grid: Grid, lon: float = CRATER[0], lat: float = CRATER[1]) -> tuple[Grid, list[Window]]:
    """100 tiles around a crater, side by side."""
    azimuthal = azimuthal_grid(BODY, lon, lat, grid.resolution_m)
    start = azimuthal.height // 2 - 5 * TILE_PX
    return azimuthal, [Window(start + row * TILE_PX, start + col * TILE_PX, TILE_PX, TILE_PX) for row in range(10) for col in range(10)]


def drawn_tiles(grid: Grid) -> list[Window]:
    """50 cylindrical tiles of 112 × 224 px on all sides of the crater, which don't overlap."""
    row, col = (int(value) for value in grid.rowcol_of_lonlat(*CRATER))
    step = grid.height // 40
    return [Window(row + (down - 5) * step, col + (across - 2) * 2 * step, 112, 224) for down in range(10) for across in range(5)]


def tiles_sampled(path: Path) -> tuple[int, ...]:
    with Mosaic.open(path) as mosaic:
        azimuthal, windows = crater_tiles(mosaic.grid)
        return sample_many(mosaic, [azimuthal.window(window) for window in windows], "bilinear").shape


def tiles_by_globe(path: Path, threads: int) -> tuple[int, ...]:
    with rasterio.open(path) as file:
        azimuthal, windows = crater_tiles(mosaic_grid(file.height))
        globe = np.zeros((3, *azimuthal.shape), np.uint8)
        place = {"dst_transform": azimuthal.affine, "dst_crs": azimuthal.crs.to_wkt()}
        reproject(rasterio.band(file, [1, 2, 3]), globe, **place, resampling=Resampling.bilinear, num_threads=threads)
    return np.stack([globe[:, *window.slices] for window in windows]).shape


def tiles_by_vrt(path: Path, resampling: str = "bilinear") -> np.ndarray:
    with rasterio.open(path) as file:
        azimuthal, windows = crater_tiles(mosaic_grid(file.height))
        place = {"crs": azimuthal.crs.to_wkt(), "transform": azimuthal.affine, "height": azimuthal.height, "width": azimuthal.width}
        with WarpedVRT(file, **place, resampling=Resampling[resampling]) as vrt:
            return np.stack([vrt.read(window=RasterioWindow(window.col, window.row, TILE_PX, TILE_PX)) for window in windows])


def squares_fitted(rows: int) -> list[int]:
    grid = mosaic_grid(rows)
    azimuthal = azimuthal_grid(BODY, *CRATER, grid.resolution_m)
    return [square.height for square in (inscribed_square(grid, window, azimuthal) for window in drawn_tiles(grid))]


def squares_by_globe(rows: int) -> list[int]:
    """A raster of tile numbers warped whole, then every number looked for in it."""
    grid = mosaic_grid(rows)
    azimuthal = azimuthal_grid(BODY, *CRATER, grid.resolution_m)
    numbers = np.zeros(grid.shape, np.uint8)
    for number, window in enumerate(drawn_tiles(grid), start=1):
        numbers[window.slices] = number
    globe = np.zeros(azimuthal.shape, np.uint8)
    place = {
        "src_transform": grid.affine,
        "src_crs": grid.crs.to_wkt(),
        "dst_transform": azimuthal.affine,
        "dst_crs": azimuthal.crs.to_wkt(),
    }
    reproject(numbers, globe, **place, resampling=Resampling.nearest)
    sides = []
    for number in range(1, 51):
        mask = globe == number
        height, width = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        sides.append(largest_square(mask[height[0] : height[-1] + 1, width[0] : width[-1] + 1]).height)
    return sides


def half_mask(grid: Grid, half: int) -> tuple[np.ndarray, Grid]:
    azimuthal = azimuthal_grid(BODY, *CRATER, grid.resolution_m)
    middle = azimuthal.height // 2
    mask = np.zeros((2 * half, 2 * half), np.uint8)
    mask[::2, ::3] = 1
    return mask, azimuthal.window(Window(middle - half, middle - half, 2 * half, 2 * half))


def mask_landed(mask: np.ndarray, tile: Grid, grid: Grid) -> list[Window]:
    return [window for window, _ in to_mosaic(mask, tile, grid)]


def mask_by_grid(mask: np.ndarray, tile: Grid, grid: Grid) -> tuple[int, ...]:
    whole = np.zeros(grid.shape, np.uint8)
    source = {"src_transform": tile.affine, "src_crs": tile.crs.to_wkt()}
    reproject(mask, whole, **source, dst_transform=grid.affine, dst_crs=grid.crs.to_wkt(), resampling=Resampling.nearest)
    return whole.shape


def mask_by_rioxarray(mask: np.ndarray, tile: Grid, grid: Grid) -> tuple[int, ...]:
    """The same through rioxarray, which EJMAP builds on."""
    import rioxarray  # noqa: F401 (adds .rio to arrays; the first run, which pays for it, isn't the median)
    import xarray

    numbers = np.arange(len(mask))
    x, y = tile.xy(numbers, numbers)
    array = xarray.DataArray(mask, dims=("y", "x"), coords={"y": y, "x": x}).rio.write_crs(tile.crs.to_wkt()).rio.write_nodata(0)
    return array.rio.reproject(grid.crs.to_wkt(), shape=grid.shape, transform=grid.affine, resampling=Resampling.nearest).shape


def worst_position_px(rows: int) -> float:
    """Largest distance from pyproj's positions over tiles on the crater, the antimeridian, high up and far away."""
    grid, worst = mosaic_grid(rows), 0.0
    for lon, lat in (CRATER, (179.99, 10.0), (-179.99, -62.0), (100.0, 86.0)):
        azimuthal, windows = crater_tiles(grid, lon, lat)
        transformer = pyproj.Transformer.from_crs(azimuthal.crs, grid.crs, always_xy=True)
        for window in (*windows[::9], Window(windows[0].row + grid.height // 4, windows[0].col, TILE_PX, TILE_PX)):
            tile = azimuthal.window(window)
            link = Link(tile, grid)
            found_rows, found_cols = link.mosaic_positions(Window(0, 0, TILE_PX, TILE_PX))
            wanted_rows, wanted_cols = grid.rowcol(*transformer.transform(*tile.xy(*np.mgrid[:TILE_PX, :TILE_PX])))
            off = found_cols + link.anchor - wanted_cols
            off -= np.round(off / grid.width) * grid.width
            worst = max(worst, float(np.hypot(found_rows - wanted_rows, off).max()))
    return worst


def misplaced_share(path: Path, tiles: np.ndarray) -> float:
    """Share of nearest pixels that aren't the ones pyproj's positions fall on."""
    with Mosaic.open(path) as mosaic:
        azimuthal, windows = crater_tiles(mosaic.grid)
        transformer = pyproj.Transformer.from_crs(azimuthal.crs, mosaic.grid.crs, always_xy=True)
        wrong = []
        for window, tile in zip(windows, tiles, strict=True):
            x, y = transformer.transform(*azimuthal.xy(*np.mgrid[window.row : window.stop_row, window.col : window.stop_col]))
            rows, cols = (np.floor(values + 0.5).astype(int) for values in mosaic.grid.rowcol(x, y))
            around = Window(rows.min(), cols.min(), np.ptp(rows) + 1, np.ptp(cols) + 1)
            wrong.append((mosaic.read(around)[:, rows - around.row, cols - around.col] != tile).any(axis=0).mean())
    return float(np.mean(wrong))


def nearest_tiles(path: Path) -> np.ndarray:
    with Mosaic.open(path) as mosaic:
        azimuthal, windows = crater_tiles(mosaic.grid)
        return sample_many(mosaic, [azimuthal.window(window) for window in windows], "nearest")


def run(folder: Path, rows: int) -> tuple[list[Row], dict]:
    path = folder / f"mosaic_{rows}.tif"
    if not path.exists():
        make_mosaic(path, mosaic_grid(rows))
    path.read_bytes()  # every contender finds the file in the page cache
    ours = measure(tiles_sampled, path, runs=9)
    what = "100 tiles of 224², 3 bands, around one crater"
    table = [Row(what, f"whole-globe warp, {n} thread(s)", ours, measure(tiles_by_globe, path, n, runs=1), 100, 500) for n in (1, 2)]
    table.append(Row(what, "windowed WarpedVRT", ours, measure(tiles_by_vrt, path), 1.5, 500))
    squares, by_globe = measure(squares_fitted, rows, runs=9), measure(squares_by_globe, rows, runs=1)
    table.append(Row("inscribed squares of 50 tiles", "whole-globe warp and search", squares, by_globe, 200))
    for half, wanted in ((300, 20), (2000, 3)):
        what, arguments = f"a mask of half side {half} px back to the mosaic", (*half_mask(mosaic_grid(rows), half), mosaic_grid(rows))
        landed = measure(mask_landed, *arguments, runs=15)
        table.append(Row(what, "full-grid warp by rioxarray", landed, measure(mask_by_rioxarray, *arguments), wanted, 300))
        table.append(Row(what, "full-grid warp by rasterio alone", landed, measure(mask_by_grid, *arguments, runs=7), wanted, 300))
    notes = {
        "largest error of a position": f"{worst_position_px(rows):.1e} px (wanted ≤ 0.01)",
        "nearest pixels misplaced by WarpedVRT": f"{misplaced_share(path, tiles_by_vrt(path, 'nearest')):.2%}",
        "nearest pixels misplaced by ours": f"{misplaced_share(path, nearest_tiles(path)):.4%}",
        "largest difference between squares' sides": f"{np.abs(np.subtract(squares.value, by_globe.value)).max()} px (wanted ≤ 1)",
    }
    return table, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the mosaic is made and kept (default: a temporary folder)")
    parser.add_argument("--rows", type=int, default=11520)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        table, notes = run(options.folder or Path(temporary), options.rows)
    show(table, notes, options.json)


if __name__ == "__main__":
    main()
