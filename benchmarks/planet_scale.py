"""What a whole planet costs around the networks: maps of a mosaic of 109 164 × 54 582 pixels with networks that answer at once.

    python -m benchmarks.planet_scale [--folder DIR] [--kinds craters ejecta latents] [--fractions 0.01 0.1] [--rows 54582]
        [--crops 1000000] [--json FILE] [--pull 0 1 2]

The mosaic is made block by block (its blocks hold the same few grey levels, so that it stays small on the disk). Crater lists: 512 px
windows in blocks of 2048 px. Ejecta: 1 000 craters, tiles up to 3 % of a quarter turn away, all of them connected. Latents: 1 000 000 crops
of 100 px, or ``--crops``. Each fraction is every n-th cell of the whole map's frozen plan, one after another in this process; after a
fraction of 1 the map is joined, latents being clustered. Networks are replaced by arrays, everything else is what a job does.

With ``--pull`` each kind is mapped as often as there are numbers: 0 is this process, backwards; any other so many jobs that pull, on the
Slurm that this shell talks to (benchmarks/slurm.py says how to start one), all of whose processes must run on this machine. Where there are
several, one of them is killed while all are at work, and the others do its cells. Of each way the digest of all products is told, and that
they differ, if they do, ends it with an error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import torch
from rasterio.windows import Window

from cratermill.batch import slurm_state, state, status
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import Cell, Plan, freeze, load
from cratermill.batch.profile import Profile, Resources
from cratermill.batch.slurm import SlurmExecutor
from cratermill.families import get_family
from cratermill.families.autoencoder import mapping as latents
from cratermill.families.crater_unet import predict as crater_predict
from cratermill.families.ejecta import mapping as ejecta
from cratermill.families.ejecta_common.tile_images import square_images
from cratermill.families.ensemble import sampled_ahead
from cratermill.geo.bodies import get_body
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_mapping
from cratermill.pipeline.load_config import load_config
from cratermill.synthetic.make import planet_grid
from cratermill.tables.table import load_versions
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import Checkpoint

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BLOCK, ROWS = 512, 54_582
CRATERS = {"ejecta": 1_000, "latents": 1_000_000}
VERSIONS = {"craters": {"crater_unet": 1}, "ejecta": {"ejecta": 0}, "latents": {"autoencoder": 0}}
OPTIONS = {"craters": {"prediction": False}, "ejecta": {}, "latents": {}}
COMPARED = (".csv", ".geojson", ".npy", ".parquet", ".tif")
"""Products that hold no time or name of the run."""


def make_mosaic(path: Path, rows: int) -> float:
    """A grey mosaic whose blocks are one of 16 patterns; seconds."""
    start, grid = time.perf_counter(), planet_grid(get_body("moon"), (rows, 2 * rows))
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": rows, "width": 2 * rows, "tiled": True, "BIGTIFF": "YES"}
    profile |= {"blockxsize": BLOCK, "blockysize": BLOCK, "compress": "zstd", "crs": grid.crs.to_wkt(), "transform": grid.affine}
    slope = np.arange(BLOCK, dtype=np.uint8)[None] // 8
    patterns = [np.broadcast_to(slope + 8 * number + 20, (BLOCK, BLOCK)) for number in range(16)]
    path.parent.mkdir(parents=True)
    with rasterio.open(path, "w", **profile) as file:
        for number, (_, window) in enumerate(file.block_windows(1)):
            file.write(patterns[number * 7 % 16][: window.height, : window.width], 1, window=Window(*window.flatten()))
    return time.perf_counter() - start


def make_lists(root: Path, crops: int) -> None:
    rng = np.random.default_rng(0)
    for kind, count in {**CRATERS, "latents": crops}.items():
        lat = np.degrees(np.arcsin(rng.uniform(-0.86, 0.86, count)))
        radius = rng.uniform(1500, 5000, count)
        table = pd.DataFrame({"FID": np.arange(count), "lon": rng.uniform(-180, 180, count), "lat": lat, "radius_m": radius})
        table.to_csv(root / "data" / f"{kind}.csv", index=False)


def make_configs(root: Path, suffix: str = "") -> dict[str, Path]:
    found = {}
    (root / "configs").mkdir(exist_ok=True)
    for kind, versions in VERSIONS.items():
        content: dict[str, Any] = {"name": f"planet-{kind}{suffix}", "data": "data", "body": "moon", "trainer": {"accelerator": "cpu"}}
        content |= {"tiles": {"max_distance_fraction": 0.03}} if kind == "ejecta" else {}
        content["map"] = {"versions": versions, "name": f"{kind}{suffix}", "options": OPTIONS[kind]}
        content["map"] |= {"catalogue": f"data/{kind}.csv"} if kind in CRATERS else {}
        found[kind] = root / "configs" / f"{kind}{suffix}.yaml"
        found[kind].write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    return found


def make_networks(root: Path) -> None:
    """Checkpoints with random weights: plans name them, and cells load them."""
    for versions in VERSIONS.values():
        for name, version in versions.items():
            family = get_family(name)
            (row,) = load_versions(CONFIGS / f"{name}_version_hparams.csv", family.hparams_model(), [version], {"pretrained": False})
            hparams = row.model_dump(mode="json")
            norm = np.array([[0.0], [255.0]]) if name != "ejecta" else np.array([[0.0] * 2, [255.0] * 2])
            task = None if name == "ejecta" else family.task(CellParams(name, version, 0, 0, 0, row), norm)
            state = {"nothing": torch.zeros(1)} if task is None else dict(task.network.state_dict())
            folder = root / "results" / f"{family.short}_results" / f"version_{version}"
            for tag in ("test-set-0", "test-set-0_iteration-0"):
                Checkpoint(name, version, 0, 0, 0, hparams, norm, state).save(folder / f"best-checkpoint_{tag}.ckpt")


class Everywhere:
    """An ensemble of ejecta that sees ejecta in all pixels; reads its tiles as a real one does."""

    def __init__(self, size_px: int = 224):
        self.hparams = SimpleNamespace(tile_size_px=size_px)

    def shown(self) -> dict:
        return {"here": {}, "trained": {}}

    def answers(self, mosaic, crater, table):
        size = self.hparams.tile_size_px
        for images in sampled_ahead(table, lambda part: square_images(mosaic, crater.grid(mosaic.grid), part, size)):
            yield torch.ones((len(images), 2, size, size))


def answer_at_once() -> None:
    crater_predict.Predictor.wide = lambda self, image, *_: np.zeros(image.shape, np.float32)  # type: ignore[method-assign]
    latents.encode = lambda network, crops: crops.reshape(len(crops), -1)[:, : network.latent_dim].astype(np.float32)
    ejecta.load_members = lambda config, params: ejecta.Members(Everywhere(), None)  # type: ignore[assignment, arg-type]


# --- measuring ------------------------------------------------------------------------------------------------------------------


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def files_below(*folders: Path) -> tuple[int, int]:
    found = [Path(where) / name for folder in folders for where, _, names in os.walk(folder) for name in names]
    return len(found), sum(path.stat().st_size for path in found)


def units(kind: str, plan: Plan, cells: list[Any], rows: int) -> tuple[float, str]:
    """What time is counted against: pixels of the mosaic, or craters."""
    if kind == "craters":
        parts = sum(cell.stage == "map" for cell in plan.cells)
        # Boxes are of about equal area on the body; the mosaic's pixels are counted where they are as wide as they are high.
        return len(cells) / parts * 2 * rows * rows * 2 / np.pi / 1e6, "Mpx"
    return float(sum(cell.params.get("stop", 1) - cell.params.get("start", 0) for cell in cells)), "craters"


def plan_of(kind: str, config: Path) -> tuple[Plan, dict[str, Any]]:
    start = time.perf_counter()
    plan = plan_mapping(load_config(config))
    planned = time.perf_counter()
    path = freeze(plan)
    frozen = time.perf_counter()
    status.collect(plan)
    facts = {"cells": len(plan.cells), "plan s": planned - start, "freeze s": frozen - planned, "status s": time.perf_counter() - frozen}
    return plan, {"kind": kind, **facts, "plan MB": path.stat().st_size / 1e6}


def run_fraction(kind: str, plan: Plan, fraction: float, rows: int) -> dict[str, Any]:
    """Every n-th cell that isn't done; CPU seconds per unit of those done now."""
    left = [cell for cell in wanted(plan, fraction) if not state.is_done(plan, cell)]
    found = run_here(kind, plan, left, rows)
    start = time.perf_counter()
    status.collect(plan)
    return {"fraction": fraction, **found, "status s": time.perf_counter() - start}


def wanted(plan: Plan, fraction: float) -> list[Cell]:
    return [cell for cell in plan.cells if cell.stage == "map"][:: max(1, round(1 / fraction))]


def run_here(kind: str, plan: Plan, cells: list[Cell], rows: int) -> dict[str, Any]:
    """Cells in this process, in the order given."""
    before, clock, spent = files_below(plan.root / "log"), time.perf_counter(), {}
    for cell in cells:
        cpu, result = time.process_time(), run_cell(plan, cell.index, science)
        assert result.state == "done", result.cause
        spent[cell.index] = time.process_time() - cpu
    return {**figures(kind, plan, cells, rows, spent, time.perf_counter() - clock, before), "peak MB": peak_mb()}


def figures(
    kind: str, plan: Plan, cells: list[Cell], rows: int, spent: dict[int, float], clock: float, before: tuple[int, int]
) -> dict[str, Any]:
    """CPU ``spent`` by cell, seconds and files of cells that were just run; ``before``: files there were, and their bytes."""
    parts = [cell for cell in cells if cell.stage == "map"]
    after, (count, unit) = files_below(plan.root / "log"), units(kind, plan, parts, rows)
    cpu = sum(spent[cell.index] for cell in parts)
    found = {"cells run": len(cells), unit: count, "CPU s": cpu, "s": clock, f"CPU ms per {unit.removesuffix('s')}": cpu / count * 1e3}
    found |= {"files per cell": (after[0] - before[0]) / len(cells), "kB per cell": (after[1] - before[1]) / len(cells) / 1e3}
    return found | ({"joined: CPU s": sum(spent.values()) - cpu} if len(parts) < len(cells) else {})


def run_rest(plan: Plan) -> dict[str, Any]:
    """The cells after the map's, in this process, whose peak of memory stays that of what came before where that was more."""
    before, clock, cpu = peak_mb(), time.perf_counter(), time.process_time()
    for cell in (cell for cell in plan.cells if cell.stage != "map"):
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", result.cause
    return {"joined: CPU s": time.process_time() - cpu, "s": time.perf_counter() - clock, "peak MB before": before, "peak MB": peak_mb()}


# --- by workers that pull -------------------------------------------------------------------------------------------------------


def at_once(plan: Plan, cell: Cell, workspace: Any) -> dict[str, Any] | None:
    """What workers run: the stages with networks that answer at once. CPU seconds and the process's peak go into a file beside the log."""
    torch.set_num_threads(1)
    answer_at_once()
    cpu = time.process_time()
    found = science(plan, cell, workspace)
    spent = plan.root / "spent" / plan.run / f"{cell.index}-{os.getpid()}.json"
    spent.parent.mkdir(parents=True, exist_ok=True)
    spent.write_text(json.dumps({"cpu": time.process_time() - cpu, "mb": peak_mb()}), encoding="utf-8")
    return found


def run_pulled(kind: str, plan: Plan, cells: list[Cell], workers: int, rows: int) -> dict[str, Any]:
    """Cells, and what follows from them where those are all, by so many jobs; one of several is killed once all are at work."""
    plan, before, rng = load(plan.path), files_below(plan.root / "log"), random.Random(workers)
    asked = Resources(cpus=1, mem_gb=2, time_min=600, pull=workers)
    os.environ["CRATERMILL_OTHER_CODE"] = "1"
    executor = SlurmExecutor(plan, Profile(name="benchmark", default=asked), say=lambda _: None, work=f"{Path(__file__).resolve()}:at_once")
    began = time.perf_counter()
    executor.submit(only={cell.index for cell in cells})
    submitted, looks, killed = time.perf_counter() - began, [0.0], 0
    while not all(state.is_done(plan, cell) for cell in cells):
        start = time.perf_counter()
        states = slurm_state.look(plan).states
        looks.append(time.perf_counter() - start)
        failed = [cell.cause for cell in states if cell.state in (state.FAILED, state.BLOCKED)]
        if failed:
            raise SystemExit(f"{len(failed)} cells failed, such as: {failed[0]}; see {plan.folder}")
        if workers > 1 and not killed:
            killed = kill_one(plan, cells, workers, rng)
        time.sleep(0.5)
    clock = time.perf_counter() - began
    spent = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (plan.root / "spent" / plan.run).glob("*.json")}
    mine = {cell.index: sum(one["cpu"] for name, one in spent.items() if int(name.split("-")[0]) == cell.index) for cell in cells}
    found = figures(kind, plan, cells, rows, mine, clock, before) | {"peak MB": max(one["mb"] for one in spent.values())}
    return {**found, "submission s": submitted, "status s": max(looks), "killed": killed}


def kill_one(plan: Plan, cells: list[Cell], workers: int, rng: random.Random) -> int:
    """Kill the process of one of the cells at work, if all workers have one and some cell is done; how many were killed."""
    records = [state.read_record(plan, cell.index) for cell in cells]
    alive = [one["pid"] for one in records if one.get("state") == state.RUNNING and state.is_alive(one)]
    if len(alive) < workers or not any(one.get("state") == state.DONE for one in records):
        return 0
    os.kill(rng.choice(alive), signal.SIGKILL)
    return 1


def digest_of(plan: Plan, cells: list[Cell], joined: Path) -> str:
    """One digest of the products of cells, and of the map where it was joined."""
    found = hashlib.sha256()
    for folder in [*(plan.product(cell) for cell in cells if cell.stage == "map"), joined]:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in COMPARED):
            found.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def compare(kinds: list[str], root: Path, fraction: float, ways: list[int], rows: int) -> Iterator[dict[str, Any]]:
    """Each kind in each way: figures and digests; an error where the latter differ."""
    for kind in kinds:
        digests = set()
        for workers in ways:
            suffix = f"-by-{workers}"
            plan, facts = plan_of(kind, make_configs(root, suffix)[kind])
            cells = list(plan.cells) if fraction == 1 else wanted(plan, fraction)
            left = [cell for cell in cells if not state.is_done(plan, cell)]
            backwards = sorted(left, key=lambda cell: (cell.stage != "map", -cell.index))
            found = run_pulled(kind, plan, left, workers, rows) if workers else run_here(kind, plan, backwards, rows)
            digest = digest_of(plan, cells, root / "results" / "output_masks" / f"{kind}{suffix}")
            digests.add(digest)
            yield {**facts, "workers": workers, "fraction": fraction, **found, "digest": digest[:16]}
        if len(digests) > 1:
            raise SystemExit(f"{kind}: products differ with the number of workers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=list(VERSIONS), default=list(VERSIONS))
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--rows", type=int, default=ROWS, help="of the mosaic; less to try it out")
    parser.add_argument("--crops", type=int, default=CRATERS["latents"], help="of the map of latents")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pull", type=int, nargs="+", default=[], help="numbers of workers; 0: this process")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []

    def say(**facts: Any) -> None:
        found.append(facts)
        print(json.dumps({name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in facts.items()}), flush=True)

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        mosaic = root / "data" / "mosaics" / "cylindrical_mosaic.tif"
        say(mosaic_s=make_mosaic(mosaic, options.rows), mosaic_MB=mosaic.stat().st_size / 1e6)
        make_lists(root, options.crops)
        make_networks(root)
        configs = make_configs(root)
        answer_at_once()
        for fraction in options.fractions if options.pull else []:
            for facts in compare(options.kinds, root, fraction, options.pull, options.rows):
                say(**facts)
        for kind in [] if options.pull else options.kinds:
            plan, facts = plan_of(kind, configs[kind])
            say(**facts)
            for fraction in options.fractions:
                say(kind=kind, **run_fraction(kind, plan, fraction, options.rows))
            if 1 in options.fractions:
                say(kind=kind, **run_rest(plan))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
