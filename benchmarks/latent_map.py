"""From mosaic and crater list to clusters on the mosaic, without training; and how time and memory grow with the number of craters.

    python benchmarks/latent_map.py [--folder DIR] [--weights FILE] [--craters 2500,10000] [--json FILE]

A global mosaic of blurred noise (8192 × 16384), crops of 45–150 of its pixels, a CAE of 20 latents at 100 px (FILE, as latents.py keeps
it, or random weights, which take as long), k-means with the number of clusters chosen by silhouette, all tables, figures and pictures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
import torch
from affine import Affine
from measure import measure

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.families.autoencoder.hparams import Hparams
from cratermill.families.autoencoder.network import build_network
from cratermill.geo.bodies import Body
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_mapping
from cratermill.pipeline.load_config import load_config
from cratermill.training.checkpoint import Checkpoint

BODY = Body("moon", 1_737_400.0, 1_737_400.0, "the WAC mosaic's")
ROWS = 8192
ROW = {
    "version": 0,
    "version_run": True,
    "test_set": [0],
    "trainings_per_test": 1,
    "val_frac": 0.2,
    "crop_px": 100,
    "model_name": "cae",
    "batch_size": 32,
    "lr": 1e-3,
    "optimizer": "Adam",
    "max_epochs": 50,
}
CONFIG = """
name: latent-map
data: data
trainer: {{accelerator: cpu}}
map:
  versions: {{autoencoder: 0}}
  name: craters-{count}
  catalogue: data/craters_{count}.csv
  options: {{window: [160, -30, -140, 30]}}
"""


def make_mosaic(path: Path) -> None:
    step = BODY.half_circumference_m / ROWS
    affine = Affine(step, 0, -ROWS * step, 0, -step, ROWS / 2 * step)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": ROWS, "width": 2 * ROWS}
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile, crs=BODY.cylindrical_crs().to_wkt(), transform=affine) as file:
        for row in range(0, ROWS, 256):
            noise = cv2.GaussianBlur(rng.standard_normal((256, 2 * ROWS), np.float32), (0, 0), 3)
            file.write(np.clip(110 + 300 * noise, 0, 255).astype(np.uint8), 1, window=((row, row + 256), (0, 2 * ROWS)))


def project(root: Path, counts: list[int], weights: Path | None) -> dict[int, Path]:
    """A project with a mosaic, a network and a list and config per number of craters."""
    mosaic = root / "data" / "mosaics" / "cylindrical_mosaic.tif"
    if not mosaic.exists():
        make_mosaic(mosaic)
    rng, step = np.random.default_rng(1), BODY.half_circumference_m / ROWS
    configs = {}
    for count in counts:
        lat = np.degrees(np.arcsin(rng.uniform(-0.866, 0.866, count)))
        diameter_km = rng.uniform(30, 100, count) * step / 1000
        table = pd.DataFrame({"lon": rng.uniform(-180, 180, count), "lat": lat, "diam_km": diameter_km})
        table.to_csv(root / "data" / f"craters_{count}.csv", index=False)
        (root / "configs").mkdir(exist_ok=True)
        configs[count] = root / "configs" / f"map_{count}.yaml"
        configs[count].write_text(CONFIG.format(count=count), encoding="utf-8")
    torch.manual_seed(0)
    state = torch.load(weights, weights_only=True)["state"] if weights else build_network(Hparams.from_plan(ROW)).state_dict()
    row = Hparams.from_plan(ROW).model_dump(mode="json")
    path = root / "results" / "autoencoder_results" / "version_0" / "best-checkpoint_test-set-0.ckpt"
    Checkpoint("autoencoder", 0, 0, 0, 0, row, np.array([[0.0], [255.0]]), dict(state)).save(path)
    return configs


def run(config: Path) -> dict[str, float]:
    """Every cell of the map, one after another in this process; seconds of the chunks and of the rest."""
    plan, seconds = plan_mapping(load_config(config)), {"map": 0.0, "composite": 0.0}
    freeze(plan)
    for cell in plan.cells:
        start = time.perf_counter()
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", result.cause
        seconds[cell.stage] += time.perf_counter() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="an empty folder to work in")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--craters", default="2500,10000")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        configs = project(Path(folder), [int(count) for count in options.craters.split(",")], options.weights)
        found = {}
        for count, config in configs.items():
            measured = measure(run, config, runs=1)
            found[count] = {"seconds": measured.seconds, "cpu_s": measured.cpu_s, "peak_mb": measured.peak_mb, **measured.value}
            print(count, json.dumps(found[count]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
