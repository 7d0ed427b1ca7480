"""A map of craters, from mosaic to list, prediction and pictures: how its time and memory grow with the mosaic.

    python benchmarks/crater_map.py [--folder DIR] [--heights 1024,2048,4096] [--json FILE]
    python benchmarks/crater_map.py --levels CONFIG [--runs 3]

Global mosaics on which rings of 6–20 px are drawn, as many per pixel on all, between 60° south and north; the Symmetric U-Net with all
its filters, taught for a minute to find bright pixels, so that there are craters to read. All cells of the map run one after another in
one process.

--levels: what all levels of a map cost, divided by what its finest level alone does, of a configuration whose map is made by a trained
version of crater_detector, such as

    name: levels
    data: data
    mosaic: data/planet/mosaics/cylindrical_mosaic.tif
    map: {versions: {crater_detector: 1}}

CPU seconds by one thread, of blocks and of the list with its pictures and page, in one process that has made such a map before; the maps
are removed again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
import torch
import yaml
from affine import Affine
from latent_map import run
from measure import measure

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.families import get_family
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.geo.bodies import Body
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_mapping
from cratermill.pipeline.load_config import load_config
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import Checkpoint

BODY = Body("moon", 1_737_400.0, 1_737_400.0, "the WAC mosaic's")
LATITUDES, DARK, BRIGHT, RIM_PX = 60, 20, 235, 4
PIXELS_PER_CRATER = 100 * 100
STEPS, BATCH, PIECE_PX = 40, 8, 128
ROW = {
    "version": 0,
    "version_run": True,
    "test_set": [0],
    "trainings_per_test": 1,
    "val_frac": 0.2,
    "val_metric": "IoU",
    "batch_size": BATCH,
    "lr": 1e-3,
    "optimizer": "Adam",
    "max_epochs": 1,
    "loss": "bce",
    "data": "craters",
    "model_name": "SymmetricUNet",
    "target": "ring",
    "ring_width_px": RIM_PX,
    "size_min": 6,
    "size_max": 20,
    "size_unit": "radius_px",
    "level": 0.5,
    "confidence": 0.7,
    "arc": 0.25,
}
CONFIG = """
name: crater-map
data: data
trainer: {{accelerator: cpu}}
map:
  versions: {{crater_unet: 0}}
  name: height-{height}
  mosaic: data/mosaic_{height}.tif
  catalogue: data/craters_{height}.csv
  options: {{latitudes: [-{latitudes}, {latitudes}]}}
"""


def draw(path: Path, height: int) -> pd.DataFrame:
    """A mosaic of rings, apart from each other, as wide as they must be to be round on the ground; returns them."""
    rng, image, step = np.random.default_rng(height), np.full((height, 2 * height), DARK, np.uint8), BODY.half_circumference_m / height
    top = height / 2 * (1 - LATITUDES / 90)
    cells = np.stack(np.meshgrid(np.arange(50, 2 * height - 50, 100), np.arange(top + 50, height - top - 50, 100)), -1).reshape(-1, 2)
    craters = []
    for x, y in cells + rng.uniform(-8, 8, cells.shape):
        lat, radius = 90 - (y + 0.5) * 180 / height, rng.uniform(6, 20)
        stretch = 1 / np.cos(np.radians(lat))
        centre, axes = (round(x * 16), round(y * 16)), (round(radius * stretch * 16), round(radius * 16))
        cv2.ellipse(image, centre, axes, 0, 0, 360, BRIGHT, RIM_PX, shift=4)
        craters.append((x * 180 / height + 90 / height - 180, lat, 2 * radius * step / 1000))
    affine = Affine(step, 0, -height * step, 0, -step, height / 2 * step)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": height, "width": 2 * height, "tiled": True}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile, crs=BODY.cylindrical_crs().to_wkt(), transform=affine) as file:
        file.write(image, 1)
    return pd.DataFrame(craters, columns=["lon", "lat", "diam_km"])


def teach(mosaic: Path, checkpoint: Path) -> None:
    """A network that draws the bright pixels of its input."""
    torch.manual_seed(0)
    hparams, norm = Hparams.from_plan(ROW), np.array([[127.5], [127.5]])
    params, rng = CellParams("crater_unet", 0, 0, 0, 0, hparams), np.random.default_rng(0)
    task = get_family("crater_unet").task(params, norm).train()
    (optimizer, _), *_ = task.optimizers()
    with rasterio.open(mosaic) as file:
        image = file.read(1)
    middle = image[image.shape[0] // 4 : -image.shape[0] // 4]
    for _ in range(STEPS):
        corners = zip(rng.integers(0, middle.shape[0] - PIECE_PX, BATCH), rng.integers(0, middle.shape[1] - PIECE_PX, BATCH), strict=True)
        pieces = torch.from_numpy(np.stack([middle[y : y + PIECE_PX, x : x + PIECE_PX] for y, x in corners]))[:, None].float()
        loss = task({"image": pieces, "target": (pieces > 127).float()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("loss of the network", float(loss.detach()))
    Checkpoint("crater_unet", 0, 0, 0, 0, params.plain_row(), norm, task.network.state_dict()).save(checkpoint)


def project(root: Path, heights: list[int]) -> dict[int, Path]:
    configs = {}
    (root / "configs").mkdir()
    for height in heights:
        draw(root / "data" / f"mosaic_{height}.tif", height).to_csv(root / "data" / f"craters_{height}.csv", index=False)
        configs[height] = root / "configs" / f"map_{height}.yaml"
        configs[height].write_text(CONFIG.format(height=height, latitudes=LATITUDES), encoding="utf-8")
    path = root / "results" / "crater_unet_results" / "version_0" / "best-checkpoint_test-set-0_iteration-0.ckpt"
    teach(root / "data" / f"mosaic_{heights[0]}.tif", path)
    return configs


def level_costs(config: Path, runs: int) -> list[dict[str, dict[str, float]]]:
    """CPU seconds by level and of the list ("joined"), of a map's finest level alone and of all its levels; as often as asked for."""
    torch.set_num_threads(1)
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    finest = content["map"] | {"options": content["map"].get("options", {}) | {"largest_radius_m": 1.0}}
    made_once(config, content | {"map": finest})
    return [{"finest": made_once(config, content | {"map": finest}), "all": made_once(config, content)} for _ in range(runs)]


def made_once(config: Path, content: dict) -> dict[str, float]:
    """CPU seconds of a map's parts; nothing of it is left."""
    name = f"levels-{time.time_ns()}"
    path = config.with_name(f"{name}.yaml")
    path.write_text(yaml.safe_dump(content | {"map": content["map"] | {"name": name}}), encoding="utf-8")
    plan, seconds = plan_mapping(load_config(path)), Counter[str]()
    folders = [plan.product(cell) for cell in plan.cells] + [load_config(path).project.map_folder(name)]
    try:
        freeze(plan)
        for cell in plan.cells:
            start = time.process_time()
            result = run_cell(plan, cell.index, science)
            assert result.state == "done", result.cause
            seconds["joined" if cell.stage == "composite" else f"{cell.params['scales'][cell.params['level']]:.3g}"] += (
                time.process_time() - start
            )
    finally:
        path.unlink()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return dict(seconds)


def show_levels(made: list[dict[str, dict[str, float]]]) -> None:
    for kind in ("finest", "all"):
        middle = {part: statistics.median(run[kind][part] for run in made) for part in made[0][kind]}
        print(f"{kind}:", ", ".join(f"{part} {seconds:.2f} s" for part, seconds in middle.items()))
    ratios = [sum(run["all"].values()) / sum(run["finest"].values()) for run in made]
    print(f"all ÷ finest alone: {statistics.median(ratios):.3f} (median of {len(ratios)}: {', '.join(f'{one:.3f}' for one in ratios)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="an empty folder to work in")
    parser.add_argument("--heights", default="1024,2048,4096")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--levels", type=Path, metavar="CONFIG")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if options.levels:
        show_levels(level_costs(options.levels.resolve(), options.runs))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root, found = Path(name), {}
        for height, config in project(root, [int(height) for height in options.heights.split(",")]).items():
            measured = measure(run, config, runs=1)
            scores = json.loads((root / "results" / "output_masks" / f"height-{height}" / "scores.json").read_text())
            found[height] = {"seconds": measured.seconds, "cpu_s": measured.cpu_s, "peak_mb": measured.peak_mb, **measured.value}
            print(height, json.dumps(found[height]), json.dumps(scores)[:400], flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
