"""Trainings of crater_detector on real THEMIS tiles, judged on held-out tiles that share no ground with the others.

python benchmarks/crater_detection.py FOLDER themis_416_boxes.zip [--version 1] [--trainings 3] [--epochs 12] [--reduced 0.65]
python benchmarks/crater_detection.py FOLDER lroc_nac_train.zip --pieces 60    (12 large images, of which some are held out whole)

FOLDER becomes a project of its own; given again, only what is missing is done. All trainings have the split that
configs/crater_detector.yaml draws, and a seed and validation tiles of their own; with --own-splits each has other test tiles, too.
Thresholds and confidence come from validation, and each training looks at the test tiles once. Tiles that share ground stay on one side,
and one of each ground is judged. With --reduced, radii from 3 px on are judged on tiles reduced so far that their labels reach down to
this. A Hough transform is tuned on the first training's validation tiles, one parameter after the other. Times are seconds of CPU (user
and system, children included).
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import yaml
from crater_training import hough, tuned

from cratermill.core.files import read_json
from cratermill.craters.matching import BOX, STRICT, Rule
from cratermill.craters.scores import Tally, average_precision, precision_recall, rates, score, tallies
from cratermill.families import cell_params
from cratermill.families.crater_detector.evaluate import SEEN, load_seen, look, read_off
from cratermill.families.crater_detector.find import Finder, quantities, resized
from cratermill.families.craters_common.certainty import sureness, truth_of, with_confidence
from cratermill.families.craters_common.prepare import TileSet, folder_of
from cratermill.families.craters_common.tiles import split_tiles
from cratermill.pipeline.load_config import load_config
from cratermill.training.cell import CellParams

FAMILY = "crater_detector"
TABLE = Path(__file__).resolve().parents[1] / "configs" / f"{FAMILY}_version_hparams.csv"
CONFIG = TABLE.with_name(f"{FAMILY}.yaml")
SEED = 1
RANGES = {5: ((5, 64), (32, 64), (64, 1e9), (5, 8), (8, 16), (16, 32)), 3: ((3, 64), (3, 4), (4, 5))}
"""Radii in pixels that are judged, by the smallest for which threshold and confidence were chosen."""
FLOOR_PX = 5
"""Radius from which on the labels of THEMIS tiles are complete, about."""
TIMED = 12
QUIET = SimpleNamespace(keep_going=lambda: None, report=lambda **_: None)


@dataclass
class Seen:
    """One training on its test tiles: lists (N, ≥4) and known craters of each by smallest radius, how sure they are, and what it cost."""

    listed: dict[int, list[np.ndarray]]
    truth: dict[int, list[np.ndarray]]
    sure: dict[int, dict[str, float]]
    images: np.ndarray
    seconds_per_tile: float
    validation: np.ndarray
    known: list[np.ndarray]


def project(options: argparse.Namespace) -> Path:
    """A run configuration, and a table in which the version has as many iterations, epochs and pieces."""
    folder, shipped = options.folder, yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    splits = options.trainings if options.own_splits else 1
    changed = {"test-set": list(range(splits)), "trainings_per_test": 1 if options.own_splits else options.trainings}
    if options.epochs:
        changed |= {"max_epochs": options.epochs, "LR_Trapezoid_T_max": options.epochs}
    if options.pieces:
        changed["pieces_per_tile"] = options.pieces
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row | {name: str(value) for name, value in changed.items()} for row in csv.DictReader(file)]
    with (folder / "configs" / TABLE.name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    data = {"kind": "boxes", "path": str(options.zip.resolve())}
    run = {"table": f"configs/{TABLE.name}", "versions": [options.version], "data": data}
    content = {"name": "themis", "seed": shipped["seed"], "data": "data/themis", "splits": shipped["splits"] | {"count": splits}}
    path = folder / "configs" / "themis.yaml"
    path.write_text(yaml.safe_dump(content | {"trainer": {"loader_workers": 0}, "train": {FAMILY: run}}), encoding="utf-8")
    return path


def run(config: Path) -> float:
    """Prepare, train and evaluate what is missing; CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in (["prepare"], ["launch", "train", "--workers", "1"]):
        subprocess.run([sys.executable, "-m", "cratermill", *command, str(config)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def see(config, folder: Path, reduced: float) -> Seen:
    """What a trained and evaluated cell found on the test tiles."""
    params = cell_params(read_json(folder / "cell.json")["params"])
    hparams, tiles = params.hparams, TileSet(folder_of(config, FAMILY, "craters"))
    rows = dict(zip(("validation", "test"), split_tiles(tiles, params, hparams)[1:], strict=True))
    path = config.project.cell_product(FAMILY, params.version, "evaluate", params.split, params.iteration) / SEEN
    once = {name: one_of_each(tiles, some) for name, some in rows.items()}
    seen = {name: [craters for craters, kept in zip(load_seen(path, name), once[name], strict=True) if kept] for name in rows}
    rows = {name: some[once[name]] for name, some in rows.items()}
    listed, truth, sure = {}, {}, {}
    for smallest in RANGES:
        if smallest < FLOOR_PX and reduced < 1:
            tiles = smaller(tiles, np.concatenate(list(rows.values())), reduced)
            finder = Finder([folder / "best.ckpt"], params.version)
            seen = {name: look(finder, tiles, some, QUIET) for name, some in rows.items()}
        row = hparams.model_copy(update={"size_min": smallest, "size_max": 64})
        reading = read_off(tiles, rows["validation"], seen["validation"], row)
        everything = [with_confidence(craters, reading.calibration, quantities(craters)) for craters in seen["test"]]
        truth[smallest] = truth_of(tiles, rows["test"])
        sure[smallest] = sureness(tiles, rows["test"], everything, row)
        for name, rule in (("AP", STRICT), ("AP by box", BOX)):
            sure[smallest][name] = average_precision(precision_recall(everything, truth[smallest], rule, (smallest, 64)))
        listed[smallest] = [craters[craters[:, 3] >= reading.threshold] for craters in everything]
    whole = TileSet(folder_of(config, FAMILY, "craters"))
    images = np.asarray(whole.image)
    cost = timed(folder, params, whole, rows["test"])
    return Seen(listed, truth, sure, images[rows["test"]], cost, images[rows["validation"]], truth_of(whole, rows["validation"]))


def one_of_each(tiles: TileSet, rows: np.ndarray) -> np.ndarray:
    """Which of these tiles (N,) bool are judged: the first of each ground, since some pictures are there twice."""
    kept = np.zeros(len(rows), bool)
    kept[np.unique(tiles.tiles["ground"].to_numpy()[rows], return_index=True)[1]] = True
    return kept


def smaller(tiles: TileSet, rows: np.ndarray, scale: float) -> TileSet:
    """These tiles reduced; the others are black."""
    made = SimpleNamespace(tiles=tiles.tiles, circles=[(circles + (0.5, 0.5, 0)) * scale - (0.5, 0.5, 0) for circles in tiles.circles])
    first = resized(tiles.channels(rows[0]), scale)[0]
    made.image = np.zeros((len(tiles.image), *first.shape), np.float32)
    for row in rows:
        made.image[row] = resized(tiles.channels(row), scale)[0]
    made.channels = lambda row: made.image[row][None]
    return cast(TileSet, made)


def timed(folder: Path, params: CellParams, tiles: TileSet, test: np.ndarray) -> float:
    """CPU seconds per tile, of some of them."""
    finder = Finder([folder / "best.ckpt"], params.version)
    look(finder, tiles, test[:1], QUIET)
    start = time.process_time()
    look(finder, tiles, test[1 : 1 + TIMED], QUIET)
    return (time.process_time() - start) / len(test[1 : 1 + TIMED])


def counted(found: list[np.ndarray], truth: list[np.ndarray], radii: tuple[float, float], rule: Rule = STRICT) -> Tally:
    return tallies(found, truth, rule, radii)


def per_tile(one: Tally, tiles: int) -> np.ndarray:
    """The four counts of every tile (tiles, 4), of those without craters too."""
    counts = np.zeros((tiles, 4))
    counts[np.unique(np.concatenate([one.found_block, one.truth_block]))] = one.by_block()
    return counts


def paired_gain(one: Tally, other: Tally, tiles: int) -> np.ndarray:
    """Difference of the F1 of two methods on the same tiles: mean, and 95 % of the resampled tiles."""
    blocks = per_tile(one, tiles), per_tile(other, tiles)
    draws = np.random.default_rng(SEED).integers(0, len(blocks[0]), (1000, len(blocks[0])))
    gain = rates(blocks[0][draws].sum(1))[:, 2] - rates(blocks[1][draws].sum(1))[:, 2]
    return np.array([gain.mean(), *np.percentile(gain, (2.5, 97.5))])


def show(seen: list[Seen], classical: list[list[np.ndarray]]) -> None:
    tiles = [len(one.images) for one in seen]
    for smallest, ranges in RANGES.items():
        for radii in ranges:
            show_f1(
                f"strict, r {radii[0]:g}–{radii[1]:g} px",
                [counted(one.listed[smallest], one.truth[smallest], radii) for one in seen],
                tiles,
            )
        sure = {name: np.mean([one.sure[smallest][name] for one in seen]) for name in seen[0].sure[smallest]}
        print(f"  r ≥ {smallest}:", ", ".join(f"{name} {value:.3f}" for name, value in sure.items()))
    whole = [counted(one.listed[5], one.truth[5], (5, 64)) for one in seen]
    show_f1("box IoU ≥ .5, r 5–64 px", [counted(one.listed[5], one.truth[5], (5, 64), BOX) for one in seen], tiles)
    errors = [score(one, "strict") for one in whole]
    place, size = (np.mean([error[f"{name}_error_strict"] for error in errors]) for name in ("position", "diameter"))
    print(f"median errors: centre {place:.3f} r, size {size:.3f}")
    hough_tallies = [counted(found, one.truth[5], (5, 64)) for found, one in zip(classical, seen, strict=True)]
    show_f1("Hough transform, r 5–64 px", hough_tallies, tiles)
    gains = np.mean([paired_gain(*both) for both in zip(whole, hough_tallies, tiles, strict=True)], axis=0)
    print(f"  gain over it, paired: {gains[0]:.3f} ({gains[1]:.3f}–{gains[2]:.3f})")
    print(f"CPU seconds per tile, all levels: {np.mean([one.seconds_per_tile for one in seen]):.2f}")


def show_f1(what: str, trainings: list[Tally], tiles: list[int]) -> None:
    """Means over the trainings, each one's F1, and 95 % over the resampled tiles; the same ones for all, since trainings of one split share
    them."""
    precision, recall, f1 = np.mean([rates(np.array(one.counts())) for one in trainings], axis=0)
    each = ", ".join(f"{rates(np.array(one.counts()))[2]:.3f}" for one in trainings)
    blocks, known = [per_tile(*both) for both in zip(trainings, tiles, strict=True)], sum(one.counts()[3] for one in trainings)
    draws = [rates(one[np.random.default_rng(SEED).integers(0, len(one), (1000, len(one)))].sum(1))[:, 2] for one in blocks]
    low, high = np.percentile(np.mean(draws, axis=0), (2.5, 97.5))
    print(f"{what} ({known} known): F1 {f1:.3f} ({low:.3f}–{high:.3f}; {each}), precision {precision:.3f}, recall {recall:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--trainings", type=int, default=3)
    parser.add_argument("--own-splits", action="store_true", help="other test tiles for each training")
    parser.add_argument("--reduced", type=float, default=1.0, help="scale of the tiles on which radii below 5 px are judged")
    parser.add_argument("--epochs", type=int, help="instead of the row's, and its schedule with it")
    parser.add_argument("--pieces", type=int, help="pieces per tile and epoch instead of the row's: many where there are few large images")
    options = parser.parse_args()
    path = project(options)
    seconds = run(path)
    config = load_config(path)
    numbers = [(number, 0) if options.own_splits else (0, number) for number in range(options.trainings)]
    folders = [config.project.cell_product(FAMILY, options.version, "train", *number) for number in numbers]
    results = [see(config, folder, options.reduced) for folder in folders]
    keywords = tuned(list(results[0].validation), results[0].known, (5, 64))
    tested = ", ".join(str(len(one.images)) for one in results)
    print(f"\n{tested} test tiles; version {options.version}; {seconds:.0f} s of CPU this time")
    classical = [[hough(image, **keywords) for image in one.images] for one in (results if options.own_splits else results[:1])]
    show(results, classical if options.own_splits else classical * len(results))


if __name__ == "__main__":
    main()
