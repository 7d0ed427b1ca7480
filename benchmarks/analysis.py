"""``cratermill analyse``: time of each crater, and whether memory grows with their number. From the project's folder:

    python -m benchmarks.analysis [--shape 2880 5760] [--json FILE]

EJMAP's step 9 takes about 17 s per crater on 12 threads, by its own account, after a warp of the whole globe; that isn't run here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.measure import measure

from cratermill.analysis.map_tables import band_names, each_crater
from cratermill.analysis.mapped_craters import read_craters
from cratermill.analysis.masks import MaskSet
from cratermill.geo.mosaic import Mosaic
from cratermill.synthetic import synthesise
from cratermill.synthetic.planet_folder import PlanetFolder

EJMAP_S, THREADS = 17.0, 12


def analyse(root: str, most: int) -> tuple[list[float], list[float]]:
    """CPU seconds and farthest ejecta (pixels) of each crater; the true masks of a planet, at most so many of them."""
    folder = PlanetFolder(Path(root))
    with Mosaic.open(folder.mosaic) as mosaic:
        masks = MaskSet.of(folder.truth_mask(0).parent, mosaic.grid)
        masks = MaskSet(masks.folder, dict(sorted(masks.files.items())[:most]), masks.grid)
        craters = read_craters(folder.craters, mosaic.grid.body, masks.files)
        times, reaches, began = [], [], time.process_time()
        for one in each_crater(masks, craters, mosaic, band_names(mosaic)):
            now = time.process_time()
            times.append(now - began)
            reaches.append(float(one.patterns.overlaps_row["max_distance"]))
            began = now
    return times, reaches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(2880, 5760))
    parser.add_argument("--craters", type=int, default=48)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "planet"
        synthesise(root, shape=tuple(options.shape), seed=1, n_fresh=options.craters, workers=1)
        few, many = (measure(analyse, str(root), most, runs=1) for most in (options.craters // 4, options.craters))
    times, reaches = (np.array(values) for values in many.value)
    middle = float(np.median(times))
    facts = {
        "craters": len(times),
        "median_cpu_s": middle,
        "slowest_cpu_s": float(times.max()),
        "median_reach_px": float(np.median(reaches)),
        "farthest_px": float(reaches.max()),
        "against_ejmap": EJMAP_S / middle,
        "against_ejmap_in_cpu": EJMAP_S * THREADS / middle,
        "peak_mb_of_a_quarter": few.peak_mb,
        "peak_mb": many.peak_mb,
        "load": os.getloadavg()[0],
    }
    for name, value in facts.items():
        print(f"{name:<24}{value:.4g}")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
