"""Lists of up to ten million craters: matched, joined, freed of doubles, written and read. Time against n log n, and memory.

    python -m benchmarks.lists --sizes 100000 1000000 10000000 [--folder DIR] [--json FILE]

The craters lie evenly on Mars; their radii follow a power law (N(>r) ~ r^-2, to 200 km) that covers a quarter of the ground, however many
there are. The second list has each of them moved by about a tenth of its radius and 5 % in size, four fifths of them, and an eighth more of
others. Each step runs once, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.measure import Measured, measure

from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.craters.matching import match
from cratermill.craters.merge import union, without_doubles
from cratermill.craters.outputs import crater_table
from cratermill.geo.bodies import get_body

LARGEST_M, OF_TEN_MILLION_M = 200e3, 300.0


def craters(count: int, rng: np.random.Generator, least_m: float) -> np.ndarray:
    """Longitude, latitude, radius, confidence (count, 4)."""
    share = rng.random(count) * (1 - (least_m / LARGEST_M) ** 2)
    radius = least_m / np.sqrt(1 - share)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.column_stack([rng.uniform(-180, 180, count), lat, radius, rng.random(count)])


def make(count: int, folder: Path, seed: int) -> None:
    rng, mars = np.random.default_rng(seed), get_body("mars")
    least_m = OF_TEN_MILLION_M * math.sqrt(1e7 / count)
    one = craters(count, rng, least_m)
    other = one[rng.random(count) < 0.8]
    step = np.degrees(rng.normal(0, 0.1 / math.sqrt(2), (len(other), 2)) * other[:, 2:3] / mars.mean_radius_m)
    other[:, 0] = (other[:, 0] + step[:, 0] / np.maximum(np.cos(np.radians(other[:, 1])), 1e-3) + 180) % 360 - 180
    other[:, 1] = np.clip(other[:, 1] + step[:, 1], -90, 90)
    other[:, 2] *= np.exp(rng.normal(0, 0.05, len(other)))
    np.save(folder / "one.npy", one)
    np.save(folder / "other.npy", np.concatenate([other, craters(count // 8, rng, least_m)]))


def matched(folder: Path) -> int:
    return len(match(np.load(folder / "other.npy"), np.load(folder / "one.npy"), body=get_body("mars")).pairs)


def joined(folder: Path) -> int:
    return len(union([np.load(folder / "one.npy"), np.load(folder / "other.npy")], 1, get_body("mars")))


def without(folder: Path) -> int:
    """Of half of either list, so that as many craters are looked at as elsewhere."""
    both = np.concatenate([np.load(folder / name)[::2] for name in ("one.npy", "other.npy")])
    return len(without_doubles(both, get_body("mars")))


def written(folder: Path, suffix: str) -> int:
    mars = get_body("mars")
    frame = pd.DataFrame(np.load(folder / "one.npy"), columns=["lon", "lat", "radius_m", "confidence"])
    return write_catalogue(folder / f"craters{suffix}", crater_table(frame), mars).stat().st_size


def read(folder: Path, suffix: str) -> int:
    return len(read_catalogue(folder / f"craters{suffix}", get_body("mars")))


STEPS: dict[str, tuple[Callable, tuple[str, ...], str]] = {
    "match": (matched, (), "pairs"),
    "join": (joined, (), "craters"),
    "doubles": (without, (), "craters left"),
    "write .parquet": (written, (".parquet",), "bytes"),
    "read .parquet": (read, (".parquet",), "craters"),
    "write .gpkg": (written, (".gpkg",), "bytes"),
    "read .gpkg": (read, (".gpkg",), "craters"),
}


def run(sizes: list[int], steps: list[str], parent: Path | None, seed: int) -> list[dict]:
    rows, base = [], dict[str, float]()
    for count in sizes:
        with tempfile.TemporaryDirectory(dir=parent) as name:
            make(count, Path(name), seed)
            for step in steps:
                function, more, what = STEPS[step]
                found: Measured = measure(function, Path(name), *more, runs=1)
                per = found.cpu_s / (count * math.log2(count))
                growth = per / base.setdefault(step, per)
                rows.append({"craters": count, "step": step, "cpu_s": found.cpu_s, "s": found.seconds, "peak_mb": found.peak_mb})
                rows[-1] |= {"against_n_log_n": growth, "result": found.value, "of": what}
                print(
                    f"| {count:,} | {step} | {found.cpu_s:.1f} ({found.seconds:.1f}) | {growth:.2f} | {found.peak_mb:,.0f} "
                    f"| {found.value:,} {what} |",
                    flush=True,
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="where to put the lists; the temporary folder when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print("| craters | step | CPU s (clock) | time ÷ (n log n), against the first size | peak MB | result |\n|---|---|---|---|---|---|")
    rows = run(options.sizes, options.steps, options.folder, options.seed)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
