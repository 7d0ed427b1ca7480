"""Mapping a crater: everything but the forward passes against EJMAP's whole-globe steps, and whole ensembles against their forward passes.

    python benchmarks/mapping.py [--folder DIR] [--rows 11520] [--json FILE] [--only WORD …]

The baseline is EJMAP's way rebuilt with rasterio and NumPy: the mosaic warped whole into the crater's projection, whole canvases that the
tiles are filled into, the mask warped whole onto the cylindrical grid, a whole RGBA composite. It needs some 12 GB of memory.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
import rasterio
import torch
from geometry import CRATER, make_mosaic, mosaic_grid
from measure import Measured, Row, measure, show
from rasterio.enums import Resampling
from rasterio.warp import reproject

from cratermill.families import get_family, row_model
from cratermill.families.ejecta.composite import Part, write_rasters
from cratermill.families.ejecta.crater_files import write_crater
from cratermill.families.ejecta.hparams import Hparams
from cratermill.families.ejecta.mapping import segment
from cratermill.families.ejecta.predict import EjectaEnsemble
from cratermill.families.ejecta_common.craters import Crater
from cratermill.families.ejecta_common.tile_positions import window_of
from cratermill.families.ensemble import CHUNK
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import Checkpoint
from cratermill.training.device import Computing

TILE_PX, STEP_PX = 224, 202
RADIUS_M, THRESHOLD = 30_000.0, 0.5
CRATERS = 12
"""Craters of the map whose cost is divided by their number: the global rasters are written once for all of them."""
FULL = {"encoder_name": "resnet34", "model_name": "Unet++"}
"""The network of EJMAP's published map."""


class Workspace:
    folder = Path()

    def keep_going(self) -> None: ...

    def report(self, **_) -> None: ...


def the_crater(number: int = 0) -> Crater:
    """Craters whose ejecta overlap those of the next."""
    return Crater(number, (CRATER[0] + 20 * number + 180) % 360 - 180, CRATER[1] + 10 * (number // 18 % 6), RADIUS_M)


def tiles_around(grid, across: int, down: int) -> pd.DataFrame:
    """Overlapping tiles of EJMAP's step, the crater in their middle."""
    size = the_crater().grid(grid).height
    cols, rows = (axis.ravel() for axis in np.meshgrid(np.arange(across), np.arange(down)))
    x, y = (size // 2 - (count * STEP_PX + TILE_PX - STEP_PX) // 2 for count in (across, down))
    table = pd.DataFrame({"x": x + cols * STEP_PX, "y": y + rows * STEP_PX, "height": TILE_PX, "width": TILE_PX})
    table.insert(0, "eval_pos_index", range(len(table)))
    return table


def row_of_v200(**changes) -> dict:
    """Hyper-parameters as EJMAP's final version has them."""
    keywords = {"MDL_Unet++_encoder_name": FULL["encoder_name"], "OPT_AdamW_weight_decay": 0.5}
    row = {"version": 200, "version_run": True, "test_set": [61], "trainings_per_test": 20, "val_frac": 0.2, "val_metric": "IoU"}
    row |= {
        "batch_size": 4,
        "loss": "dice",
        "lr": 1e-3,
        "optimizer": "AdamW",
        "max_epochs": 1,
        "pretrained": False,
        "norm_from_train": True,
    }
    row |= {"img_augment": False, "model_name": FULL["model_name"], "accept_midinput": True, "buffer_bounds": [2, 5]}
    row |= {"distance_mode": "absolute", "log_dist": True, "tile_size_px": TILE_PX, "keywords": keywords}
    return row | changes


def members(count: int) -> EjectaEnsemble:
    """Untrained members of the published kind: what they say costs the same as if they were trained."""
    return EjectaEnsemble(map(member, range(count)), [Path(f"member {index}") for index in range(count)])


def member(index: int) -> Checkpoint:
    row, norm = row_of_v200(), np.array([[128, 128, 128, 5], [50, 50, 50, 1]], np.float32)
    torch.manual_seed(index)
    network = get_family("ejecta").task(CellParams("ejecta", 200, 61, index, index, row_model("ejecta").from_plan(row)), norm).network
    return Checkpoint("ejecta", 200, 61, index, index, row, norm, network.state_dict())


class NoForward(EjectaEnsemble):
    """An ensemble whose networks cost nothing: everything around the forward passes remains."""

    def __init__(self) -> None:
        self.computing, self.hparams = Computing(torch.device("cpu"), "32-true"), Hparams.from_plan(row_of_v200())
        self.checkpoint = SimpleNamespace(norm=np.array([[128, 128, 128, 5], [50, 50, 50, 1]], np.float32))

    def probabilities(self, image_BCHW, extra_BM=None) -> torch.Tensor:
        return torch.from_numpy(blob(len(image_BCHW)))[None, :, None]


def blob(count: int) -> np.ndarray:
    """Predictions (count, S, S) with edges that aren't straight."""
    wave = np.sin(np.arange(TILE_PX) / 9)
    one = 1 / (1 + np.exp(-4 * (wave[:, None] + wave[None] + 0.3)))
    return np.repeat(one[None].astype(np.float32), count, axis=0)


# --- ours ---------------------------------------------------------------------------------------------------------------------


def craters_mapped(path: Path, across: int, down: int, count: int) -> int:
    """A map of ``count`` craters: sample, predict, stitch, back to the grid, write the craters' files and the composite."""
    with Mosaic.open(path) as mosaic, TemporaryDirectory(dir=path.parent) as scratch:
        parts = [write_one(mosaic, Path(scratch) / str(number), across, down, NoForward(), number) for number in range(count)]
        write_rasters(Path(scratch), parts, mosaic.grid, 0.5, Workspace())
    return sum(part.facts["pixels"] for part in parts)


def crater_written(path: Path, across: int, down: int, ensemble: EjectaEnsemble | None = None) -> int:
    """One crater without a composite."""
    with Mosaic.open(path) as mosaic, TemporaryDirectory(dir=path.parent) as scratch:
        return write_one(mosaic, Path(scratch) / "0", across, down, ensemble or NoForward()).facts["pixels"]


def write_one(mosaic: Mosaic, folder: Path, across: int, down: int, ensemble: EjectaEnsemble, number: int = 0) -> Part:
    folder.mkdir()
    crater, tiles = the_crater(number), tiles_around(mosaic.grid, across, down)
    pieces = segment(ensemble, mosaic, crater, tiles, Workspace())
    facts = write_crater(folder, crater, mosaic.grid, pieces, tiles, len(tiles), THRESHOLD)
    return Part(number, folder, facts, Window(*facts["window"]))


# --- EJMAP's way --------------------------------------------------------------------------------------------------------------


def crater_by_globe(path: Path, across: int, down: int) -> dict[str, np.ndarray]:
    """One crater, one checkpoint: seconds of each whole-globe step."""
    with rasterio.open(path) as file:
        grid = mosaic_grid(file.height)
        azimuthal = the_crater().grid(grid)
        clock = Clock()
        globe = np.zeros((3, *azimuthal.shape), np.uint8)
        place = {"dst_transform": azimuthal.affine, "dst_crs": azimuthal.crs.to_wkt()}
        reproject(rasterio.band(file, [1, 2, 3]), globe, **place, resampling=Resampling.bilinear, num_threads=1)
        tiles = tiles_around(grid, across, down)
        np.stack([globe[:, *window_of(row).slices] for row in tiles.itertuples()])
        clock("warp the mosaic")
    del globe
    mask = canvas_filled(azimuthal, tiles)
    clock("fill the canvas")
    whole = mask_on_grid(mask, azimuthal, grid)
    clock("mask to the grid")
    del mask
    composite_blended(whole, path.parent / "whole.tif", grid)
    clock("composite")
    return clock.steps


def canvas_filled(azimuthal, tiles: pd.DataFrame) -> np.ndarray:
    """The mean of overlapping tiles on a canvas of the whole planet, thresholded."""
    total, count = np.zeros(azimuthal.shape), np.zeros(azimuthal.shape, np.uint8)
    for row, values in zip(tiles.itertuples(), blob(len(tiles)), strict=True):
        total[window_of(row).slices] += values
        count[window_of(row).slices] += 1
    return (total / np.maximum(count, 1) >= THRESHOLD).astype(np.uint8)


def mask_on_grid(mask: np.ndarray, azimuthal, grid) -> np.ndarray:
    whole = np.zeros(grid.shape, np.uint8)
    source = {"src_transform": azimuthal.affine, "src_crs": azimuthal.crs.to_wkt()}
    target = {"dst_transform": grid.affine, "dst_crs": grid.crs.to_wkt()}
    reproject(mask, whole, **source, **target, resampling=Resampling.nearest, num_threads=1)
    return whole


def composite_blended(mask: np.ndarray, path: Path, grid) -> None:
    """One crater blended into a composite of floats, as an array of the whole planet, and saved."""
    canvas, colour = np.zeros((*grid.shape, 4)), (0.9, 0.4, 0.1, 1.0)
    inside, fresh = mask > 0, canvas[..., 3] == 0
    for band, value in enumerate(colour):
        plane = canvas[..., band]
        plane[inside & fresh] = value
        plane[inside & ~fresh] = 0.5 * plane[inside & ~fresh] + 0.5 * value
    place = {"crs": grid.crs.to_wkt(), "transform": grid.affine, "height": grid.height, "width": grid.width}
    with rasterio.open(path, "w", driver="GTiff", count=4, dtype="uint8", tiled=True, **place) as file:
        for band in range(4):
            file.write((canvas[..., band] * 255).astype(np.uint8), band + 1)


class Clock:
    """Seconds of steps, by the clock and on the CPU."""

    def __init__(self) -> None:
        self.steps, self._last = {}, self._now()

    def __call__(self, what: str) -> None:
        now = self._now()
        self.steps[what], self._last = now - self._last, now

    @staticmethod
    def _now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])


def checkpoints_by_globe(path: Path, across: int, down: int, count: int) -> dict[str, np.ndarray]:
    """``count`` checkpoints one after the other, each with its own canvas and its own way back to the grid; forward passes not counted."""
    with rasterio.open(path) as file:
        grid = mosaic_grid(file.height)
    azimuthal, clock, total = the_crater().grid(grid), Clock(), None
    for _ in range(count):
        landed = mask_on_grid(canvas_filled(azimuthal, tiles_around(grid, across, down)), azimuthal, grid)
        total = landed.astype(np.float32) if total is None else total + landed
    clock("canvases and masks")
    place = {"crs": grid.crs.to_wkt(), "transform": grid.affine, "height": grid.height, "width": grid.width}
    with rasterio.open(
        path.parent / "whole.tif", "w", driver="GTiff", count=1, dtype="uint8", tiled=True, compress="deflate", **place
    ) as out:
        out.write((total / count >= THRESHOLD).astype(np.uint8), 1)
    clock("average and write")
    return clock.steps


# --- ensembles ----------------------------------------------------------------------------------------------------------------


def ensemble_times(path: Path, across: int, down: int, count: int, to_files: bool = True) -> dict[str, np.ndarray]:
    """Seconds of the forward passes alone, of predicting the tiles, and (``to_files``) of mapping the crater to its written files."""
    ensemble = members(count)
    with Mosaic.open(path) as mosaic:
        tiles = tiles_around(mosaic.grid, across, down)
        images, vector = [ensemble.images(mosaic, the_crater(), part) for part in chunks(tiles)], ensemble.vector(mosaic, the_crater())
        assert vector is not None, "rows like version 200 have one"
        forward(ensemble, images[0][:1], vector)  # threads and buffers warm
        clock = Clock()
        for channels in images:
            forward(ensemble, channels, np.repeat(vector, len(channels), axis=0))
        clock("forward")
        ensemble.predict(mosaic, the_crater(), tiles)
        clock("predict")
    if to_files:
        crater_written(path, across, down, ensemble)
        clock("map")
    return clock.steps


def chunks(tiles: pd.DataFrame) -> list[pd.DataFrame]:
    return [tiles.iloc[start : start + CHUNK] for start in range(0, len(tiles), CHUNK)]


@torch.inference_mode()
def forward(ensemble: EjectaEnsemble, channels: torch.Tensor, vector: np.ndarray) -> None:
    """What can't be avoided: every network on every tile, in the precision that this machine is fast in."""
    image, extra = channels.to(memory_format=torch.channels_last), torch.from_numpy(vector)
    with ensemble.computing.autocast():
        for network in ensemble.networks:
            network(image, extra)


# --- the tables ---------------------------------------------------------------------------------------------------------------


def overhead(path: Path) -> tuple[list[Row], dict]:
    mapped, written = measure(craters_mapped, path, 10, 10, CRATERS, runs=1), measure(crater_written, path, 10, 10, runs=5)
    theirs = measure(crater_by_globe, path, 10, 10, runs=1)
    what, steps = "one crater of 100 tiles, all but the forward passes", theirs.value
    ours = timed(np.array([mapped.seconds, mapped.cpu_s]) / CRATERS, mapped)
    all_steps = "warp, canvas, grid and composite, whole-globe"
    rows = [Row(f"{what}: one of a map of {CRATERS}, with composite", all_steps, ours, timed(sum(steps.values()), theirs), 50, 1500)]
    without = timed(sum(steps.values()) - steps["composite"], theirs)
    rows.append(Row(f"{what}, without composite", "the same without composite", written, without, 50, 1500))
    return rows, {"whole-globe steps": ", ".join(f"{name} {wall:.1f} s (CPU {cpu:.1f})" for name, (wall, cpu) in steps.items())}


def timed(wall_and_cpu: np.ndarray, like: Measured) -> Measured:
    return Measured(*wall_and_cpu.tolist(), like.peak_mb)


def growth(path: Path) -> tuple[list[Row], dict]:
    """Ten times the craters, of the median size."""
    few, many = (measure(craters_mapped, path, 5, 1, count, runs=1) for count in (CRATERS, 10 * CRATERS))
    text = f"{many.seconds / few.seconds:.1f} × the time ({many.cpu_s / few.cpu_s:.1f} × in CPU time; wanted ≤ 11)"
    text += f" and {many.peak_mb / few.peak_mb:.2f} × the memory: {many.seconds:.1f} s (CPU {many.cpu_s:.1f} s), {many.peak_mb:.0f} MB"
    return [], {f"{10 * CRATERS} craters of 5 tiles against {CRATERS}": text}


def few_tiles(path: Path, count: int) -> tuple[list[Row], dict]:
    ours = measure(ensemble_times, path, 5, 1, count, runs=1)
    theirs = measure(checkpoints_by_globe, path, 5, 1, 2, runs=1)
    globe, own = theirs.value, ours.value
    baseline = globe["canvases and masks"] / 2 * count + globe["average and write"] + own["forward"]
    what = f"a crater of 5 tiles with {count} checkpoints, sample to written mask"
    rows = [Row(what, "whole canvases", timed(own["map"], ours), timed(baseline, theirs), 15)]
    return rows, {
        f"5 tiles, {count} checkpoints": f"{ratio(own['map'], own['forward'])} (wanted ≤ 1.3)",
        "whole canvases": f"measured with 2 checkpoints and scaled to {count}, plus our forward passes",
    }


def ensembles(path: Path, count: int) -> tuple[list[Row], dict]:
    times = measure(ensemble_times, path, 10, 10, count, False, runs=1).value
    return [], {f"{count}-member ensemble on 100 tiles": f"{ratio(times['predict'], times['forward'])} (wanted ≤ 1.15)"}


def ratio(whole: np.ndarray, forward: np.ndarray) -> str:
    wall, cpu = whole / forward
    return f"{wall:.3f} × the forward passes alone, {cpu:.3f} × in CPU time; {whole[0]:.1f} s against {forward[0]:.1f} s"


def run(folder: Path, rows: int, count: int, only: list[str]) -> tuple[list[Row], dict]:
    path = folder / f"mosaic_{rows}.tif"
    if not path.exists():
        make_mosaic(path, mosaic_grid(rows))
    path.read_bytes()  # every contender finds the file in the page cache
    parts = {
        "overhead": lambda: overhead(path),
        "growth": lambda: growth(path),
        "few": lambda: few_tiles(path, count),
        "ensemble": lambda: ensembles(path, count),
    }
    table, notes = [], {}
    for name in only or parts:
        found, said = parts[name]()
        table, notes = table + found, notes | said
    return table, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the mosaic is made and kept (default: a temporary folder)")
    parser.add_argument("--rows", type=int, default=11520)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[], choices=["overhead", "growth", "few", "ensemble"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        table, notes = run(options.folder or Path(temporary), options.rows, options.members, options.only)
    show(table, notes, options.json)


if __name__ == "__main__":
    main()
