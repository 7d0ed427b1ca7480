"""Steps over whole rasters as dask graphs, against the loops that they replaced; on one core and on two; and when the mosaic grows.

    python benchmarks/rasters.py [--folder DIR] [--rows 5760] [--grown 4] [--cores 2] [--only STEP] [--largest | --only-largest]
        [--json FILE]

The mosaic has 3 bands of bytes in a smooth pattern (deflated, in tiles of 512 px) and as many craters as its area asks for, each with a
mask and probabilities of 1000 × 1000 px. ``--grown``: how many times as wide and high the largest mosaic of the growth rows is;
``--largest``: statistics and composite of 46 080 × 92 160 × 3 too (a few GB on the disk), with a sixteenth of the craters for its area. The
baselines are the former loops: a reader thread one block ahead for the composite, a loop over blocks for the others. Where craters lie is
looked up, and each step done once, before the clock starts. Beside what two cores gain stands what a process on each gains.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import dask
import dask.array  # as the steps do, but before the clock starts
import numpy as np
import rasterio
import rioxarray  # noqa: F401
import xarray  # noqa: F401
from measure import Measured, Row, measure, show

from cratermill.analysis.difference import COLOURS, MEANINGS, write_difference
from cratermill.analysis.given_ejecta import Drawn
from cratermill.analysis.masks import MaskSet
from cratermill.analysis.shares import Shares, disagreement, share_files, write_disagreement
from cratermill.core.prefetch import prefetched
from cratermill.families.ejecta.blend import Layer, blend
from cratermill.families.ejecta.composite import OUTPUTS, Part, blended_blocks, write_rasters
from cratermill.families.ejecta.crater_files import CraterFiles, write_mask
from cratermill.families.ejecta.fan import fan_out
from cratermill.families.ejecta.overlaps import Overlaps
from cratermill.geo.band_statistics import _counted
from cratermill.geo.bodies import get_body
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Grid, Window, hull, pixel_areas_m2
from cratermill.geo.mosaic import Mosaic

SIDE_PX, BLOCK_PX = 1000, 1024
CRATERS_AT_5760, SHAPES = 60, 20
WORK = SimpleNamespace(keep_going=lambda: None, report=lambda **_: None)


# --- data -----------------------------------------------------------------------------------------------------------------------


@lru_cache
def grid_of(rows: int) -> Grid:
    body = get_body("mercury")
    step = body.half_circumference_m / rows
    affine = rasterio.Affine(step, 0, -body.half_circumference_m, 0, -step, body.half_circumference_m / 2)
    return Grid(body.cylindrical_crs(), affine, (rows, 2 * rows))


def make(folder: Path, rows: int, sparse: int = 1) -> Path:
    """A mosaic and the files of its craters, made once; one in ``sparse`` of those that its area asks for."""
    place = folder / str(rows)
    if (place / "done").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    grid = grid_of(rows)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": rows, "width": 2 * rows, "nodata": 0}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "BIGTIFF": "YES"}
    wave = (40 * np.sin(np.arange(2 * rows) / 97)).astype(np.int16)
    with rasterio.open(place / "mosaic.tif", "w", **profile, crs=grid.crs.to_wkt(), transform=grid.affine) as file:
        for row in range(0, rows, 512):
            height = min(512, rows - row)
            up = (40 * np.cos(np.arange(row, row + height) / 61)).astype(np.int16)[:, None]
            pixels = np.stack([(120 + 5 * band + wave + up) // 8 * 8 for band in range(3)]).astype(np.uint8)
            file.write(pixels, window=((row, row + height), (0, 2 * rows)))
    rng = np.random.default_rng(rows)
    for fid in range(round(CRATERS_AT_5760 * (rows / 5760) ** 2 / sparse)):
        row, col = int(rng.integers(0, rows - SIDE_PX)), int(rng.integers(0, 2 * rows - SIDE_PX))
        window = Window(row, col, SIDE_PX, SIDE_PX)
        write_crater(place, fid, window, grid) if fid < SHAPES else move_crater(place, fid, window, grid)
    (place / "done").touch()
    return place


def write_crater(place: Path, fid: int, window: Window, grid: Grid) -> None:
    y, x = np.mgrid[-1 : 1 : SIDE_PX * 1j, -1 : 1 : SIDE_PX * 1j]
    share = np.round(np.clip(1.1 - np.hypot(x, y) * (1 + 0.3 * np.sin(7 * np.arctan2(y, x) + fid)), 0, 1), 2).astype(np.float32)
    files = CraterFiles(place, fid)
    write_mask(files, [(window, (share >= 0.5).astype(np.uint8))], grid, window, {})
    write_cog(files.shares, [(window, np.stack([share, share]))], grid, window=window, nodata=np.nan, dtype="float32", bands=2)


def move_crater(place: Path, fid: int, window: Window, grid: Grid) -> None:
    """The files of an earlier crater, elsewhere."""
    for name in ("mask", "shares"):
        source, target = (getattr(CraterFiles(place, one), name) for one in (fid % SHAPES, fid))
        shutil.copy(source, target)
        with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.transform = grid.window(window).affine


@lru_cache
def parts_of(place: Path) -> list[Part]:
    """Found once: a mapped crater's facts name its window."""
    grid = grid_of(int(place.name))
    return [Part(fid, place, {}, Shares.open(fid, path, grid).place) for fid, path in sorted(share_files(place).items())]


@lru_cache
def masks_of(place: Path) -> list[Drawn]:
    return [Drawn(mask) for mask in MaskSet.of(place, grid_of(int(place.name))).all()]


# --- before: the loops that dask graphs replaced --------------------------------------------------------------------------------


def old_statistics(place: Path) -> int:
    with patch("cratermill.geo.band_statistics.in_order", lambda work, windows, _: map(work, windows)):
        return statistics(True, place, place)


def old_blocks(parts: list[Part], grid: Grid, alpha: float, overlaps: Overlaps) -> Iterator:
    areas_m2, blocks = pixel_areas_m2(grid), list(old_met_blocks(parts, grid))
    opened = lru_cache(maxsize=16)(lambda files: (Mosaic.open(files.mask, labels=True), Mosaic.open(files.shares, [2])))

    def layer(part: Part, window: Window) -> Layer:
        here = part.window.common(window)
        source, into = here.within(part.window), here.within(window)
        mask, probability = opened(part.files)
        return Layer(part.fid, into, mask.read(source)[0] > 0, probability.read(source)[0])

    with ThreadPoolExecutor(1) as pool:
        for window, layers in prefetched(pool, lambda block: (block[0], [layer(part, block[0]) for part in block[1]]), blocks):
            made = blend(layers, (window.height, window.width), alpha)
            overlaps.add(layers, made.owner, areas_m2[window.row : window.stop_row])
            yield window, made


def old_met_blocks(parts: list[Part], grid: Grid) -> Iterator[tuple[Window, list[Part]]]:
    for block in Window(0, 0, *grid.shape).squares(BLOCK_PX):
        covered = [(part, found) for part in parts if (found := part.window.common(block))]
        if covered:
            yield hull(found for _, found in covered), [part for part, _ in covered]


def old_disagreement(path: Path, place: Path, grid: Grid) -> None:
    with ExitStack() as stack:
        opened = [Shares.open(fid, file, grid) for fid, file in sorted(share_files(place).items())]
        for one in opened:
            stack.callback(one.close)

        def blocks() -> Iterator[tuple[Window, np.ndarray]]:
            for row in range(0, grid.height, BLOCK_PX):
                for col in range(0, grid.width, BLOCK_PX):
                    block = Window(row, col, min(BLOCK_PX, grid.height - row), min(BLOCK_PX, grid.width - col))
                    near = [one for one in opened if one.place.common(block)]
                    if near:
                        yield block, np.fmax.reduce([disagreement(one.read(block)) for one in near])

        write_cog(path, blocks(), grid, nodata=np.nan, dtype="float32", bands=1, names=["disagreement"], resampling="average")


def old_difference(path: Path, mapped: dict[int, Drawn], truth: dict[int, Drawn], grid: Grid) -> dict[str, float]:
    masks, areas_m2, totals = [(one.mask, truth[fid].mask) for fid, one in mapped.items()], pixel_areas_m2(grid), np.zeros(5)

    def blocks() -> Iterator[tuple[Window, np.ndarray]]:
        for block in Window(0, 0, *grid.shape).squares(BLOCK_PX):
            same, alone, missed = np.zeros((3, block.height, block.width), bool)
            for one, other in masks:
                mine, theirs = one.read(block), other.read(block)
                same |= mine & theirs
                alone |= mine & ~theirs
                missed |= theirs & ~mine
            values = np.select([alone & missed, alone, missed, same], [4, 2, 3, 1], 0).astype(np.uint8)
            if values.any():
                weight = areas_m2[block.row : block.stop_row, None]
                totals[:] += [float(((values == value) * weight).sum()) for value in range(5)]
                yield block, values

    write_cog(path, blocks(), grid, dtype="uint8", bands=1, nodata=0, colormap=COLOURS, names=["difference"], resampling="nearest")
    return dict(zip(MEANINGS[1:], (totals[1:] / 1e6).tolist(), strict=True))


# --- what is measured -----------------------------------------------------------------------------------------------------------


def on_cores(these: range, work: Callable, *arguments) -> object:
    """In a process of its own, with as many of dask's threads as cores, and on these cores alone: else GDAL's threads would take others."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) > len(these):
        os.sched_setaffinity(0, mine[these.start : these.stop])
    os.environ["SLURM_CPUS_PER_TASK"] = str(len(these))
    with dask.config.set(num_workers=len(these)), tempfile.TemporaryDirectory() as scratch:
        return work(*arguments, Path(scratch))


def statistics(new: bool, place: Path, scratch: Path) -> int:
    if not new:
        return old_statistics(place)
    with Mosaic.open(place / "mosaic.tif") as mosaic:
        return int(_counted(mosaic).count.sum())


def blended(new: bool, place: Path, scratch: Path) -> float:
    """The blocks of a composite and its areas, without the writing of files, which is the same before and after."""
    grid, overlaps = grid_of(int(place.name)), Overlaps()
    parts = parts_of(place)
    blocks = blended_blocks(parts, grid, 0.5, overlaps, WORK) if new else old_blocks(parts, grid, 0.5, overlaps)
    for _ in blocks:
        pass
    return sum(overlaps.owned_m2.values())


def whole_composite(new: bool, place: Path, scratch: Path) -> float:
    grid = grid_of(int(place.name))
    parts = parts_of(place)
    if new:
        return sum(write_rasters(scratch, parts, grid, 0.5, WORK).owned_m2.values())
    overlaps = Overlaps()
    fan_out(old_blocks(parts, grid, 0.5, overlaps), [partial(output.write, scratch, grid) for output in OUTPUTS])
    return sum(overlaps.owned_m2.values())


def disagreements(new: bool, place: Path, scratch: Path) -> int:
    grid = grid_of(int(place.name))
    path = scratch / "disagreement.tif"
    write_disagreement(path, share_files(place), grid) if new else old_disagreement(path, place, grid)
    return path.stat().st_size


def differences(new: bool, place: Path, scratch: Path) -> str:
    """Each crater's mask against the next one's, as if that were the truth."""
    grid, masks = grid_of(int(place.name)), masks_of(place)
    mapped, truth = dict(enumerate(masks)), dict(enumerate([*masks[1:], masks[0]]))
    path = scratch / "difference.tif"
    found = (write_difference(path, mapped, truth, list(mapped), grid) if new else old_difference(path, mapped, truth, grid)) or {}
    return f"{ {name: round(value, 3) for name, value in found.items()} } {path.stat().st_size}"


STEPS = {
    "statistics of 3 bands": statistics,
    "blocks of a composite, overlaps and areas": blended,
    "a composite with its three rasters": whole_composite,
    "map of disagreement": disagreements,
    "comparison of two maps": differences,
}


def side_by_side(cores: int, *arguments, runs: int) -> float:
    """Seconds that as many independent processes as cores take for a step each: what the machine itself allows."""
    with ThreadPoolExecutor(cores) as pool:
        found = [pool.submit(measure, on_cores, range(core, core + 1), *arguments, runs=runs, warm=True) for core in range(cores)]
        return max(one.result().seconds for one in found)


def compared(place: Path, runs: int, cores: int, only: str) -> tuple[list[Row], dict[str, str]]:
    rows, notes = [], {}
    for name, step in STEPS.items():
        if only not in name:
            continue
        old, one = (measure(on_cores, range(1), step, new, place, runs=runs, warm=True) for new in (False, True))
        assert old.value == one.value, name
        rows.append(Row(f"{name}, one core", "the loop before", one, old, 1.0, 2048))
        print(f"{name}: {rows[-1].cpu_ratio:.2f} × in CPU time ({said(one)}, before {said(old)})", flush=True)
        if cores > 1:
            more, load = measure(on_cores, range(cores), step, True, place, runs=runs, warm=True), os.getloadavg()[0]
            most = cores * one.seconds / side_by_side(cores, step, True, place, runs=runs)
            notes[f"{name}, {cores} cores"] = (
                f"{one.seconds / more.seconds:.2f} × one core by the clock ({said(more)}), load {load:.1f}; "
                f"{cores} processes with the step each: {most:.2f} ×"
            )
            print(f"{name}, {cores} cores: {notes[f'{name}, {cores} cores']}", flush=True)
    return rows, notes


def growth(folder: Path, rows: int, times: int) -> dict[str, str]:
    notes = {}
    places = [make(folder, rows), make(folder, rows * times)]
    for name in ("statistics of 3 bands", "a composite with its three rasters"):
        small, large = (measure(on_cores, range(2), STEPS[name], True, place, runs=1) for place in places)
        notes[f"{name}, {times**2} × the pixels"] = said(large) + f"; {large.cpu_s / small.cpu_s / times**2:.2f} × the CPU time per pixel"
    return notes


def said(one: Measured) -> str:
    return f"{one.seconds:.1f} s, CPU {one.cpu_s:.1f} s, {one.peak_mb:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int, default=5760)
    parser.add_argument("--grown", type=int, default=4)
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--only-largest", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="steps whose name has this")
    parser.add_argument("--cores", type=int, default=2, help="that are compared with one; 1: not at all")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="rasters-"))
    try:
        rows, notes = ([], {}) if given.only_largest else compared(make(folder, given.rows), given.runs, given.cores, given.only)
        if given.grown > 1 and not given.only_largest:
            notes |= growth(folder, given.rows, given.grown)
        if given.largest or given.only_largest:
            place = make(folder, 46_080, sparse=16)
            for name in ("statistics of 3 bands", "a composite with its three rasters"):
                notes[f"{name}, 46 080 × 92 160"] = said(measure(on_cores, range(2), STEPS[name], True, place, runs=1))
        show(rows, notes, given.json)
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
