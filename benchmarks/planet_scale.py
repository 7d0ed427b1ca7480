"""What a whole planet costs around the networks: maps of a mosaic of 109 164 × 54 582 pixels with networks that answer at once.

    python -m benchmarks.planet_scale [--folder DIR] [--kinds craters ejecta latents] [--fractions 0.01 0.1] [--rows 54582]
        [--crops 1000000] [--json FILE]

The mosaic is made block by block (its blocks hold the same few grey levels, so that it stays small on the disk). Crater lists: 512 px
windows in blocks of 2048 px. Ejecta: 1 000 craters, tiles up to 3 % of a quarter turn away, all of them connected. Latents: 1 000 000 crops
of 100 px, or ``--crops``. Each fraction is every n-th cell of the whole map's frozen plan, one after another in this process; after a
fraction of 1 the map is joined, latents being clustered. Networks are replaced by arrays, everything else is what a job does. No cluster
takes part: submission is benchmarks/slurm.py's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import torch
from rasterio.windows import Window

from cratermill.batch import status
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import Plan, freeze
from cratermill.families import get_family
from cratermill.families.autoencoder import mapping as latents
from cratermill.families.crater_unet import predict as crater_predict
from cratermill.families.ejecta import mapping as ejecta
from cratermill.families.ejecta_common.tile_images import square_images
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


def make_configs(root: Path) -> dict[str, Path]:
    found = {}
    (root / "configs").mkdir()
    for kind, versions in VERSIONS.items():
        content: dict[str, Any] = {"name": f"planet-{kind}", "data": "data", "body": "moon", "trainer": {"accelerator": "cpu"}}
        content |= {"tiles": {"max_distance_fraction": 0.03}} if kind == "ejecta" else {}
        content["map"] = {"versions": versions, "name": kind, "options": OPTIONS[kind]}
        content["map"] |= {"catalogue": f"data/{kind}.csv"} if kind in CRATERS else {}
        found[kind] = root / "configs" / f"{kind}.yaml"
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

    def predict(self, mosaic, crater, table):
        size = self.hparams.tile_size_px
        square_images(mosaic, crater.grid(mosaic.grid), table, size)
        whole = np.ones((len(table), size, size), np.float32)
        return whole, whole


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
    parts = [cell for cell in plan.cells if cell.stage == "map"]
    wanted = parts[:: max(1, round(1 / fraction))]
    left = [cell for cell in wanted if not (plan.product(cell) / "cell.json").exists()]
    before, clock, cpu = files_below(plan.root / "log"), time.perf_counter(), time.process_time()
    for cell in left:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", result.cause
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    after, (count, unit) = files_below(plan.root / "log"), units(kind, plan, left, rows)
    start = time.perf_counter()
    status.collect(plan)
    found = {
        "fraction": fraction,
        "cells run": len(left),
        unit: count,
        "CPU s": cpu,
        "s": clock,
        f"CPU ms per {unit[:-1] if unit == 'craters' else unit}": cpu / count * 1e3,
    }
    found |= {
        "peak MB": peak_mb(),
        "files per cell": (after[0] - before[0]) / len(left),
        "kB per cell": (after[1] - before[1]) / len(left) / 1e3,
    }
    return found | {"status s": time.perf_counter() - start}


def run_rest(plan: Plan) -> dict[str, Any]:
    """The cells after the map's, in this process, whose peak of memory stays that of what came before where that was more."""
    before, clock, cpu = peak_mb(), time.perf_counter(), time.process_time()
    for cell in (cell for cell in plan.cells if cell.stage != "map"):
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", result.cause
    return {"joined: CPU s": time.process_time() - cpu, "s": time.perf_counter() - clock, "peak MB before": before, "peak MB": peak_mb()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=list(VERSIONS), default=list(VERSIONS))
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--rows", type=int, default=ROWS, help="of the mosaic; less to try it out")
    parser.add_argument("--crops", type=int, default=CRATERS["latents"], help="of the map of latents")
    parser.add_argument("--json", type=Path)
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
        for kind in options.kinds:
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
