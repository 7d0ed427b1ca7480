"""Crops around craters from a mosaic, against one window read per crater; and how memory grows with the number of craters.

    python benchmarks/crops.py [--folder DIR] [--rows 3000] [--craters 30000] [--chips 3000] [--json FILE]

The mosaic is a belt around the equator in the geometry of the lunar WAC mosaic (109 164 columns of 100 m), once in strips of one row, as
such mosaics are published, and once in compressed tiles of 256 px; made on the first run. Craters are 3–10 km wide, in catalogue order,
which is no order on the ground.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from measure import Row, measure, show
from rasterio.windows import from_bounds

from cratermill.core.machine import cores
from cratermill.families.autoencoder.light import flip_shadows, light
from cratermill.families.autoencoder.prepare import crop_arrays
from cratermill.families.chips_common.cutting import Keeping, Places, cut_all
from cratermill.geo.bodies import Body
from cratermill.geo.mosaic import Mosaic
from cratermill.samples.crops import Cutter, Geometry
from cratermill.samples.store import Piece, write_store

BODY = Body("moon", 1_737_400.0, 1_737_400.0, "the WAC mosaic's")
COLUMNS, STEP_M = 109_164, 100.0
CACHED_SHARE = 0.2
"""GDAL keeps 5 % of the memory as decoded blocks: a fifth of the whole mosaic (6 GB) on a machine of 24 GB. The baseline's cache is as
large a share of the belt."""
PROFILES = {"strips": {}, "tiles": {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}}


def make_mosaic(path: Path, rows: int, layout: str) -> None:
    affine = Affine(STEP_M, 0, -COLUMNS / 2 * STEP_M, 0, -STEP_M, rows / 2 * STEP_M)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": rows, "width": COLUMNS, **PROFILES[layout]}
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile, crs=BODY.cylindrical_crs().to_wkt(), transform=affine) as file:
        for row in range(0, rows, 256):
            height = min(256, rows - row)
            noise = cv2.GaussianBlur(rng.standard_normal((height, COLUMNS), np.float32), (0, 0), 3)
            file.write(np.clip(110 + 300 * noise, 0, 255).astype(np.uint8), 1, window=((row, row + height), (0, COLUMNS)))


def craters(count: int, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    top = np.degrees((rows / 2 - 120) * STEP_M / BODY.semi_major_m)
    size = 1500.0 * (1 - rng.random(count) * (1 - 0.3**2)) ** -0.5  # radii of 1.5–5 km, small ones as much more common as they are
    lon, lat = rng.uniform(-179, 179, count), rng.uniform(-top, top, count)
    return pd.DataFrame({"FID": np.arange(count), "lon": lon, "lat": lat, "radius_m": size})


def ours(path: Path, table: pd.DataFrame, size_px: int, folder: Path) -> float:
    """The whole preparation, to a stack on disk; returns the mean, so that nothing is skipped."""
    geometry, total = Geometry(size_px), []

    def make(piece: pd.DataFrame):
        crops = cutter.cut(piece)
        total.append(crops.mean())
        return Piece(piece.assign(flipped=flip_shadows(crops), **light(crops, geometry.half_side_radii)), {"image": crops})

    with Mosaic.open(path) as mosaic:
        cutter = Cutter(mosaic, geometry)
        ordered = table.iloc[cutter.order(table)]
        write_store(folder / "crops", "benchmark", ordered, crop_arrays(size_px), make, workers=cores())
    return float(np.mean(total))


def chips(path: Path, table: pd.DataFrame, size_px: int, folder: Path) -> float:
    """The same crops as chips of the labelled families, cut into a store of their own, since they are looked through for copies first."""
    keeping = Keeping(new_folder(folder / "cut"), "benchmark", cores())
    places = Places(*(table[name].to_numpy(float) for name in ("lon", "lat", "radius_m")), np.ones(len(table)))
    with Mosaic.open(path) as mosaic:
        return float(np.mean([chip.mean() for chip in cut_all(Cutter(mosaic, Geometry(size_px)), places, keeping)[0]]))


def crops_alone(path: Path, table: pd.DataFrame, size_px: int, folder: Path) -> float:
    """Crops of the autoencoder in a store, without their light: what chips are measured against."""
    with Mosaic.open(path) as mosaic:
        cutter = Cutter(mosaic, Geometry(size_px))
        ordered, store = table.iloc[cutter.order(table)], new_folder(folder / "alone")

        def make(piece: pd.DataFrame) -> Piece:
            return Piece(piece, {"image": cutter.cut(piece)})

        made = write_store(store, "benchmark", ordered, crop_arrays(size_px), make, workers=cores())
        return float(np.mean([crop.mean() for crop in made.array("image")]))


def new_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def windows(path: Path, table: pd.DataFrame, size_px: int) -> float:
    """One window read per crater from the open file, resized and flipped; nothing written, no light measured."""
    total = 0.0
    degree_m = np.radians(1) * BODY.semi_major_m
    with rasterio.open(path) as file:
        pixels = file.width * file.height
    with rasterio.Env(GDAL_CACHEMAX=int(CACHED_SHARE * pixels)), rasterio.open(path) as file:
        for crater in table.itertuples():
            x, y, half = crater.lon * degree_m, crater.lat * degree_m, 1.5 * crater.radius_m
            wide = half / np.cos(np.radians(crater.lat))
            window = from_bounds(x - wide, y - half, x + wide, y + half, transform=file.transform)
            crop = cv2.resize(file.read(1, window=window), (size_px, size_px), interpolation=cv2.INTER_CUBIC)
            flip_shadows(crop[None])
            total += crop.mean()
    return total / len(table)


def memory(path: Path, counts: list[int], rows: int, size_px: int, folder: Path) -> dict[int, float]:
    """Peak memory in MB by number of craters."""
    return {count: measure(ours, path, craters(count, rows), size_px, folder, runs=1).peak_mb for count in counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "cratermill-benchmarks")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--craters", type=int, default=30_000)
    parser.add_argument("--baseline", type=int, default=1000, help="craters of the baseline; its time is scaled to all")
    parser.add_argument("--chips", type=int, default=3000, help="chips to cut")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    table, lines = craters(options.craters, options.rows), []
    for layout in PROFILES:
        path = options.folder / f"belt_{layout}_{options.rows}.tif"
        if not path.exists():
            make_mosaic(path, options.rows, layout)
        for size_px in (100, 224):
            theirs = measure(windows, path, table.iloc[: options.baseline], size_px, runs=options.runs)
            scale = len(table) / options.baseline
            theirs = type(theirs)(theirs.seconds * scale, theirs.cpu_s * scale, theirs.peak_mb)
            mine = measure(ours, path, table, size_px, options.folder, runs=options.runs)
            lines.append(Row(f"{len(table)} crops of {size_px} px, {layout}", "one window read per crater", mine, theirs, 10))
            some = table.iloc[: options.chips]
            alone, cut = (measure(work, path, some, size_px, options.folder, runs=options.runs) for work in (crops_alone, chips))
            lines.append(Row(f"{len(some)} chips of {size_px} px, {layout}", "as many crops of the autoencoder", cut, alone, 1 / 1.3))
    grown = memory(options.folder / f"belt_strips_{options.rows}.tif", [5_000, 20_000, 80_000], options.rows, 100, options.folder)
    show(lines, {"peak memory by number of craters [MB]": grown, "bytes per million crops of 224 px": 224**2 * 10**6}, options.json)


if __name__ == "__main__":
    main()
