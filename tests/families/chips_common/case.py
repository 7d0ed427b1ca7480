"""Chips of a few pixels, made in milliseconds: dark discs with a bright side on noise, and noise alone; and a project of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from cratermill.config import Config
from cratermill.pipeline.load_config import load_config
from tests.tiny import BODY, SHAPE, write_raster

SIDE = 24
CLASSES = ["plain", "crater"]


def chips(count: int, seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """(N, side, side) uint8 and labels (N,), every second one a crater of its own place, size and contrast."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side]
    images, labels = [], np.arange(count) % 2
    for label in labels:
        image = 110 + rng.normal(0, 14, (side, side)) + 0.6 * rng.normal() * (rows - side / 2)
        if label:
            row, col = side / 2 + rng.uniform(-2, 2, 2)
            inside = np.hypot(rows - row, cols - col) < rng.uniform(0.22, 0.34) * side
            image += inside * (cols - col) / side * rng.uniform(250, 350) - inside * 20
        images.append(image)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels


def write_npy(folder: Path, labelled: int = 120, extra: int = 0, predict: int = 0, seed: int = 0) -> Path:
    """The layout of the pseudo-label project: (N, H·W) stacks side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = chips(labelled + extra + predict, seed)
    flat = images.reshape(len(images), -1)
    np.save(folder / "Xtrain1.npy", flat[:labelled])
    np.save(folder / "Ytrain1.npy", labels[:labelled])
    if extra:
        np.save(folder / "Xtrain1_extra.npy", flat[labelled : labelled + extra])
    if predict:
        np.save(folder / "Xtest1.npy", flat[labelled + extra :])
    return folder


def write_idx(folder, images, labels, names=("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), packed=False):
    """The layout of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (images, labels), strict=True):
        content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


CRATERS = {1: (-100.0, 20.0), 2: (-30.0, -25.0), 3: (40.0, 10.0), 4: (179.5, 0.0), 5: (120.0, -40.0), 6: (43.0, 12.0)}
RADIUS_M = 220e3


def write_planet(folder: Path, grain: int = 1) -> Path:
    """``mosaic.tif``: bright discs on a dark planet, one across the seam, two beside each other; ``craters.csv``: their list.

    ``grain``: grey levels of noise, without which all discs are copies of one.
    """
    lon, lat = np.meshgrid(np.arange(SHAPE[1]) + 0.5 - 180, 90 - np.arange(SHAPE[0]) - 0.5)
    bright = np.any([BODY.distance_m(lon, lat, *centre) <= RADIUS_M for centre in CRATERS.values()], axis=0)
    noise = np.random.default_rng(0).integers(0, grain, SHAPE)
    write_raster(folder / "mosaic.tif", (np.where(bright, 150, 60) + noise).astype(np.uint8)[None])
    table = pd.DataFrame([(fid, *centre, RADIUS_M) for fid, centre in CRATERS.items()], columns=["FID", "lon", "lat", "radius_m"])
    table.to_csv(folder / "craters.csv", index=False)
    return folder


SGAN = {
    "version": 1,
    "version_run": True,
    "test-set": "[0]",
    "trainings_per_test": 1,
    "method": "sgan",
    "labels": 8,
    "val_frac": 0.25,
    "val_metric": "epoch",
    "batch_size": 16,
    "lr": 0.001,
    "optimizer": "Adam",
    "OPT_Adam_betas": "(0.5, 0.999)",
    "max_epochs": 2,
    "width": 8,
    "generator_width": 4,
    "chip_size_px": 24,
}
CHIP_CLASSIFIER = {
    "version": 1,
    "version_run": True,
    "test-set": "[0]",
    "trainings_per_test": 1,
    "model_name": "original",
    "labels": 40,
    "val_frac": 0.25,
    "val_metric": "loss",
    "batch_size": 16,
    "initial_lr": 0.003,
    "final_lr": 0.003,
    "initial_epochs": 3,
    "final_epochs": 3,
    "pseudo_below": 0.45,
    "pseudo_above": 0.55,
    "optimizer": "Adam",
    "chip_size_px": 24,
}
ROWS = {"sgan": SGAN, "chip_classifier": CHIP_CLASSIFIER}


def write_project(
    root: Path, family: str, rows: list[dict] | None = None, data: str = "{chips: data/npy, classes: [plain, crater]}"
) -> Path:
    """A project with chips at ``data/npy`` and rows that differ from the default one by what is given; returns its config."""
    (root / "configs").mkdir(parents=True, exist_ok=True)
    if not (root / "data" / "npy").exists():
        write_npy(root / "data" / "npy")
    default = ROWS[family]
    table = pd.DataFrame([{**default, "version": number, **row} for number, row in enumerate(rows or [{}], 1)])
    table.to_csv(root / "configs" / f"{family}.csv", index=False)
    path = root / "configs" / f"{family}.yaml"
    path.write_text(
        f"name: {family}\nseed: 3\ndata: data/made\nsplits: {{count: 1, test_fraction: 0.25}}\n"
        f"trainer: {{accelerator: cpu, precision: 32-true}}\ntrain: {{{family}: {{table: configs/{family}.csv, data: {data}}}}}\n"
    )
    return path


def prepared(root: Path, family: str, rows: list[dict] | None = None, **options) -> Config:
    """The same, prepared."""
    from cratermill.pipeline.launch import prepare

    path = write_project(root, family, rows, **options)
    prepare(path)
    return load_config(path)
