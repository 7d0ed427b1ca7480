"""A small planet whose mosaic is the drawing of its own craters, and a network that says what it sees: every fault is the mapping's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import yaml
from affine import Affine

from cratermill.core.paths import Project
from cratermill.families import get_family
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Grid
from cratermill.pipeline.load_config import load_config
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import Checkpoint

BODY = Body("Pebble", 100_000.0, 100_000.0)
ROW = {
    "version": 1,
    "version_run": True,
    "test_set": [0],
    "trainings_per_test": 1,
    "val_frac": 0.25,
    "val_metric": "IoU",
    "batch_size": 4,
    "lr": 1e-3,
    "optimizer": "Adam",
    "max_epochs": 1,
    "loss": "bce",
    "data": "craters",
    "model_name": "SymmetricUNet",
    "filter_multiple": 0.25,
    "target": "ring",
    "ring_width_px": 4,
    "size_min": 6,
    "size_max": 20,
    "size_unit": "radius_px",
    "level": 0.5,
    "confidence": 0.7,
    "arc": 0.25,
}


class Workspace:
    """What a cell gets, without a plan."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep_going(self) -> None:
        pass

    def report(self, **progress) -> None:
        pass


def planet_craters(resolution_m: float, seed: int = 0, count: int = 26) -> pd.DataFrame:
    """Craters all over the body, also on the seam and at a pole, none near another."""
    rng = np.random.default_rng(seed)
    chosen = [(179.9, 5.0, 15 * resolution_m), (40.0, 89.0, 12 * resolution_m), (-120.0, -88.5, 10 * resolution_m)]
    while len(chosen) < count:
        lon, lat, radius = rng.uniform(-180, 180), np.degrees(np.arcsin(rng.uniform(-1, 1))), rng.uniform(7, 16) * resolution_m
        apart = BODY.distance_m(lon, lat, *np.array(chosen).T[:2])
        if (apart > radius + np.array(chosen)[:, 2] + 10 * resolution_m).all():
            chosen.append((lon, lat, radius))
    return pd.DataFrame(chosen, columns=["lon", "lat", "radius_m"])


def ring_planet(path: Path, height: int = 240, first_lon: float = -180.0, seed: int = 0, count: int = 26) -> tuple[Path, pd.DataFrame]:
    """A global grey mosaic, 255 within 2.5 pixels of a rim, else 20, and its craters."""
    grid = Grid(BODY.geographic_crs(), Affine(180 / height, 0, first_lon, 0, -180 / height, 90), (height, 2 * height))
    craters = planet_craters(grid.resolution_m, seed, count)
    image = np.full(grid.shape, 20, np.uint8)
    lon, lat = grid.lonlat(*np.indices(grid.shape))
    for crater in craters.itertuples():
        off = np.abs(BODY.distance_m(crater.lon, crater.lat, lon, lat) - crater.radius_m)
        image[off <= 2.5 * grid.resolution_m] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "height": grid.height, "width": grid.width, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs=grid.crs.to_wkt(), transform=grid.affine) as file:
        file.write(image[None])
    return path, craters


def project(folder: Path, content: dict):
    """A project with one run configuration, loaded."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    path = folder / "configs" / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def checkpoint(folder: Path, iteration: int = 0, **row) -> None:
    """An untrained network of a version, where maps look for it."""
    hparams = Hparams.from_plan(ROW | row)
    family, norm = get_family("crater_unet"), np.array([[127.5], [127.5]])
    params = CellParams("crater_unet", hparams.version, 0, iteration, 0, hparams)
    weights = family.task(params, norm).network.state_dict()
    path = Project(folder).version_results("crater_unet", hparams.version) / f"best-checkpoint_test-set-0_iteration-{iteration}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    Checkpoint("crater_unet", hparams.version, 0, iteration, 0, params.plain_row(), norm, weights).save(path)


def sees_what_is_there(monkeypatch) -> None:
    """Networks that answer with the brightness of their input."""
    from cratermill.families.crater_unet.predict import Predictor

    monkeypatch.setattr(Predictor, "tiles", lambda self, images: np.clip((np.asarray(images, np.float32) - 20) / 235, 0, 1))
