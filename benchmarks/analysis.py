"""``cratermill analyse``: time of each crater, and whether memory grows with their number. From the project's folder:

    python -m benchmarks.analysis [--shape 2880 5760] [--grown 1] [--craters 48] [--every 8 4 2 1] [--copies 2 4] [--json FILE]

EJMAP's step 9 takes about 17 s per crater on 12 threads, by its own account, after a warp of the whole globe; that isn't run here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from benchmarks.measure import measure
from rasterio.windows import Window

from cratermill.analysis.map_tables import band_names, each_crater
from cratermill.analysis.mapped_craters import read_craters
from cratermill.analysis.masks import MaskSet
from cratermill.core.files import atomic_path
from cratermill.geo.mosaic import Mosaic
from cratermill.synthetic import synthesise
from cratermill.synthetic.planet_folder import PlanetFolder

EJMAP_S, THREADS = 17.0, 12
ROWS = 32
"""Of the small planet, made large at a time."""


def grow(planet: PlanetFolder, times: int) -> None:
    """Replace mosaic and true masks by the same with ``times`` × ``times`` pixels for each."""
    for path in [planet.mosaic, *planet.truth.glob("mask_crater_*.tif")] if times > 1 else ():
        with rasterio.open(path) as small, atomic_path(path) as temporary:
            profile = {**small.profile, "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
            profile |= {
                "transform": small.transform @ Affine.scale(1 / times),
                "height": small.height * times,
                "width": small.width * times,
            }
            with rasterio.open(temporary, "w", **profile, zlevel=1, SPARSE_OK=True) as large:
                for row in range(0, small.height, ROWS):
                    pixels = small.read(window=Window(0, row, small.width, min(ROWS, small.height - row)))
                    pixels = pixels.repeat(times, axis=1).repeat(times, axis=2)
                    large.write(pixels, window=Window(0, row * times, large.width, pixels.shape[1]))


def analyse(root: str, every: int, copies: int) -> tuple[list[float], list[float]]:
    """CPU seconds and farthest ejecta (pixels) of each crater.

    ``every``: true masks of a planet, every so many by size, the largest among them. ``copies``: each so many times, as other craters.
    """
    folder = PlanetFolder(Path(root))
    with Mosaic.open(folder.mosaic) as mosaic:
        masks = MaskSet.of(folder.truth_mask(0).parent, mosaic.grid)
        by_size = sorted(masks.files.items(), key=lambda item: -item[1].stat().st_size)[::every]
        known = read_craters(folder.craters, mosaic.grid.body, [fid for fid, _ in by_size])
        files, craters = {}, {}
        for (fid, path), copy in product(by_size, range(copies)):
            number = fid + 1000 * copy
            files[number], craters[number] = path.parent / f"copy_{number}.tif", replace(known[fid], fid=number)
            if not files[number].exists():
                files[number].symlink_to(path)
        times, reaches, began = [], [], time.process_time()
        for one in each_crater(MaskSet(masks.folder, files, masks.grid), craters, mosaic, band_names(mosaic)):
            now = time.process_time()
            times.append(now - began)
            reaches.append(float(one.patterns.overlaps_row["max_distance"]))
            began = now
    return times, reaches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(2880, 5760))
    parser.add_argument("--craters", type=int, default=48)
    parser.add_argument("--grown", type=int, default=1, help="then make so many times so many pixels of each: large, and soon made")
    parser.add_argument("--every", type=int, nargs="+", default=[8, 4, 2, 1], help="look at every so many craters; 1 is looked at anyway")
    parser.add_argument("--copies", type=int, nargs="*", default=[2, 4], help="then at all of them so many times")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # What GDAL keeps of the mosaic fills up to 128 MB as more craters are looked at: less of it shows sooner whether anything else grows.
    os.environ["GDAL_CACHEMAX"] = "32"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "planet"
        synthesise(root, shape=tuple(options.shape), seed=1, n_fresh=options.craters, workers=1)
        grow(PlanetFolder(root), options.grown)
        found = {}
        for every, copies in [*((every, 1) for every in options.every if every > 1), (1, 1), *((1, copies) for copies in options.copies)]:
            found[every, copies] = one = measure(analyse, str(root), every, copies, runs=1)
            print(f"{len(one.value[0])} craters: {one.peak_mb:.0f} MB, {one.cpu_s:.1f} s of CPU", flush=True)
    times, reaches = (np.array(values) for values in found[1, 1].value)
    middle = float(np.median(times))
    facts = {
        "craters": len(times),
        "median_cpu_s": middle,
        "slowest_cpu_s": float(times.max()),
        "median_reach_px": float(np.median(reaches)),
        "farthest_px": float(reaches.max()),
        "against_ejmap": EJMAP_S / middle,
        "against_ejmap_in_cpu": EJMAP_S * THREADS / middle,
        **{f"peak_mb_of_{len(one.value[0])}_craters": one.peak_mb for one in found.values()},
        "load": os.getloadavg()[0],
    }
    for name, value in facts.items():
        print(f"{name:<28}{value:.4g}")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
