"""Trainings of crater_unet: test S-1 of the paper on dots, and real THEMIS tiles against a Hough transform on the same held-out tiles.

python benchmarks/crater_training.py dots FOLDER                          (some minutes on one core)
python benchmarks/crater_training.py themis FOLDER themis_416_boxes.zip   (some ten minutes of one core)

FOLDER becomes a project of its own; given again, only what is missing is done.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml

from cratermill.core.files import read_json
from cratermill.craters.matching import STRICT
from cratermill.craters.scores import all_rules, rates, score, tallies
from cratermill.families import cell_params
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.families.craters_common.judging import within
from cratermill.families.craters_common.prepare import TileSet, folder_of
from cratermill.families.craters_common.tiles import split_tiles
from cratermill.pipeline.load_config import load_config
from cratermill.training.cell import CellParams

TABLE = Path(__file__).resolve().parents[1] / "configs" / "crater_unet_version_hparams.csv"
SEED = 1
LARGEST_PX = 64
RANGES = ((5, LARGEST_PX), (3, LARGEST_PX))
"""Radii in pixels; thresholds of the Hough transform are chosen for the first."""
HOUGH = {"scale": (1, 2, 3), "param1": (300, 600, 900, 1300, 2000), "param2": (0.5, 0.6, 0.7, 0.8, 0.9), "shift_px": (0.0, -0.5)}

ROUNDS = 2


def project(folder: Path, name: str, version: int, data: dict) -> Path:
    """A run configuration in a project folder."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(TABLE, folder / "configs" / TABLE.name)
    run = {"table": f"configs/{TABLE.name}", "versions": [version], "data": data}
    content = {"name": name, "seed": SEED, "data": f"data/{name}", "trainer": {"loader_workers": 0}, "train": {"crater_unet": run}}
    path = folder / "configs" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def run(config: Path) -> None:
    for command in (["prepare"], ["launch", "train", "--workers", "1"]):
        subprocess.run([sys.executable, "-m", "cratermill", *command, str(config)], check=True)


def product(config, stage: str, version: int) -> Path:
    return config.project.cell_product("crater_unet", version, stage, 0, 0)


def dots(folder: Path) -> None:
    path = project(folder, "dots", 1, {"dots": {"tiles": 600, "tile_px": 128}})
    run(path)
    config = load_config(path)
    curve = pd.read_csv(product(config, "train", 1) / "curve.csv")
    results = read_json(product(config, "train", 1) / "results.json")
    tiles = TileSet(folder_of(config, "crater_unet", "dots"))
    share = np.mean([cell(config, 1).hparams.shape().draw(c, tiles.image.shape[1:]).mean() for c in tiles.circles])
    print(
        f"\nS-1, {len(curve)} epochs, 600 tiles of 128 px (the paper's size is not given), seed {SEED}; {share:.3f} of the pixels are dots"
    )
    print(
        f"validation accuracy: {curve['Accuracy'].iloc[-1]:.4f} after the last epoch, {curve['Accuracy'].max():.4f} at best (paper: .9871)"
    )
    print(
        f"test: accuracy {results['Accuracy']:.4f}, Dice {results['F1_Score']:.4f}, loss {results['loss']:.4f}; {results['runtime']:.0f} s"
    )


def cell(config, version: int) -> CellParams:
    return cell_params(read_json(product(config, "train", version) / "cell.json")["params"])


def hough(image: np.ndarray, scale: int, shift_px: float, **keywords) -> np.ndarray:
    """Circles (N, 4) x, y, radius and a confidence that falls with the order in which OpenCV gives them (most votes first).

    ``scale``: the image is enlarged first, which the method needs for small circles. ``shift_px``: where within a pixel the boxes' numbers
    point is not known; a network learns it, this has to be told.
    """
    large = cv2.resize(cv2.medianBlur(image, 3), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    limits = {"minDist": 6 * scale, "minRadius": 3 * scale, "maxRadius": LARGEST_PX * scale}
    found = cv2.HoughCircles(large, cv2.HOUGH_GRADIENT_ALT, dp=1.5, **limits, **keywords)
    circles = np.zeros((0, 3)) if found is None else found[0][:, :3].astype(float) / scale
    circles[:, :2] += (1 / scale - 1) / 2 + shift_px
    return np.column_stack([circles, 1 - np.arange(len(circles)) / max(len(circles), 1)])


def tuned(images: list[np.ndarray], truth: list[np.ndarray], radii: tuple[float, float]) -> dict:
    """The Hough transform's parameters with the best strict F1 on validation tiles: each in turn, ``ROUNDS`` times."""

    @cache
    def f1(values: tuple) -> float:
        found = [hough(image, **dict(zip(HOUGH, values, strict=True))) for image in images]
        return float(rates(np.array(tallies(found, truth, STRICT, radii).counts()))[2])

    best = tuple(values[len(values) // 2] for values in HOUGH.values())
    for _ in range(ROUNDS):
        for place, values in enumerate(HOUGH.values()):
            best = max(((*best[:place], value, *best[place + 1 :]) for value in values), key=f1)
    return dict(zip(HOUGH, best, strict=True))


def themis(folder: Path, source: Path, version: int) -> None:
    path = project(folder, "themis", version, {"kind": "boxes", "path": str(source.resolve())})
    run(path)
    config = load_config(path)
    params, tiles = cell(config, version), TileSet(folder_of(config, "crater_unet", "craters"))
    _, validation, test = split_tiles(tiles, params, Hparams.from_plan(params.hparams))
    images, truth = [np.asarray(tiles.image[row]) for row in test], [within(tiles.circles[row], tiles.image.shape[1:]) for row in test]
    table = pd.read_csv(product(config, "evaluate", version) / "craters.csv")
    network = [table.loc[table["tile"] == row, ["x", "y", "radius_px", "confidence"]].to_numpy(float) for row in test]
    print(f"\n{len(test)} held-out tiles, seed {SEED}; thresholds of both chosen on {len(validation)} validation tiles; 95 % over tiles")
    known = [within(tiles.circles[row], tiles.image.shape[1:]) for row in validation]
    keywords = tuned([np.asarray(tiles.image[row]) for row in validation], known, RANGES[0])
    classical = [hough(image, **keywords) for image in images]
    for radii in RANGES:
        show(f"version {version}", network, truth, radii)
        show(f"Hough {keywords}", classical, truth, radii)
    groups = tiles.tiles["ground"].to_numpy()
    shared = int((np.bincount(groups)[groups] > 1).sum())
    print(f"\n{shared} of {len(groups)} tiles show ground of another one, and are held out with it or not at all")


def show(name: str, found: list[np.ndarray], truth: list[np.ndarray], radii: tuple[float, float]) -> None:
    print(f"\n{name}, radius {radii[0]} px and more")
    for rule, one in all_rules(found, truth, radii).items():
        row, values = score(one, rule, SEED), []
        for title in ("Precision", "Recall", "F1"):
            low, high = row[f"{title}_{rule}_low"], row[f"{title}_{rule}_high"]
            values.append(f"{title} {row[f'{title}_{rule}']:.3f} ({low:.3f}–{high:.3f})")
        errors = f"position {row[f'position_error_{rule}']:.3f} r, size {row[f'diameter_error_{rule}']:.3f}"
        print(f"  {rule:7} {', '.join(values)}; median errors: {errors}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["dots", "themis"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("zip", type=Path, nargs="?")
    parser.add_argument("--version", type=int, default=41, help="row of the table for the THEMIS tiles")
    options = parser.parse_args()
    if options.what == "dots":
        dots(options.folder)
    elif options.zip is None:
        parser.error("the THEMIS tiles' zip is missing")
    else:
        themis(options.folder, options.zip, options.version)


if __name__ == "__main__":
    main()
