"""Trainings of crater_detector on real THEMIS tiles, judged on held-out tiles that share no ground with the others.

python benchmarks/crater_detection.py FOLDER themis_416_boxes.zip [--version 1] [--iterations 3] [--epochs 12]
python benchmarks/crater_detection.py FOLDER lroc_nac_train.zip --pieces 60    (12 large images, of which some are held out whole)

FOLDER becomes a project of its own; given again, only what is missing is done. Each iteration is a training with a seed and validation
tiles of its own; thresholds and confidence come from these, and the test tiles are looked at once per iteration. Tiles that share ground
stay on one side. A Hough transform is tuned on the first iteration's validation tiles, one parameter after the other. Times are seconds of
CPU (user and system, children included).
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

import numpy as np
import yaml
from crater_training import hough, tuned

from cratermill.core.files import read_json
from cratermill.craters.matching import BOX, STRICT, Rule
from cratermill.craters.scores import Tally, average_precision, precision_recall, rates, score, tallies
from cratermill.families import cell_params
from cratermill.families.crater_detector.evaluate import SEEN, load_seen, look, read_off
from cratermill.families.crater_detector.find import Finder, quantities
from cratermill.families.craters_common.certainty import sureness, truth_of, with_confidence
from cratermill.families.craters_common.judging import within
from cratermill.families.craters_common.prepare import TileSet, folder_of
from cratermill.families.craters_common.tiles import split_tiles
from cratermill.pipeline.load_config import load_config
from cratermill.training.cell import CellParams

FAMILY = "crater_detector"
TABLE = Path(__file__).resolve().parents[1] / "configs" / f"{FAMILY}_version_hparams.csv"
SEED = 1
RANGES = {5: ((5, 64), (32, 64), (64, 1e9), (5, 8), (8, 16), (16, 32)), 3: ((3, 64), (3, 4), (4, 5))}
"""Radii in pixels that are judged, by the smallest for which threshold and confidence were chosen."""
TIMED = 12
QUIET = SimpleNamespace(keep_going=lambda: None, report=lambda **_: None)


@dataclass
class Seen:
    """One iteration on the test tiles: lists (N, ≥4) of each by smallest radius, how sure they are, and what it cost."""

    listed: dict[int, list[np.ndarray]]
    sure: dict[int, dict[str, float]]
    truth: list[np.ndarray]
    test: np.ndarray
    seconds_per_tile: float


def project(options: argparse.Namespace) -> Path:
    """A run configuration, and a table in which the version has as many iterations, epochs and pieces."""
    folder, changed = options.folder, {"trainings_per_test": options.iterations}
    if options.epochs:
        changed |= {"max_epochs": options.epochs, "LR_CosineAnnealingLR_T_max": max(1, options.epochs - 2)}
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
    splits = {"count": 1, "test_fraction": 0.16}
    content = {"name": "themis", "seed": SEED, "data": "data/themis", "splits": splits}
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


def see(config, folder: Path) -> tuple[Seen, np.ndarray, TileSet]:
    """What a trained and evaluated cell found on the test tiles; its validation tiles."""
    params = cell_params(read_json(folder / "cell.json")["params"])
    hparams, tiles = params.hparams, TileSet(folder_of(config, FAMILY, "craters"))
    _, validation, test = split_tiles(tiles, params, hparams)
    path = config.project.cell_product(FAMILY, params.version, "evaluate", params.split, params.iteration) / SEEN
    known, found, listed, sure = load_seen(path, "validation"), load_seen(path, "test"), {}, {}
    for smallest in RANGES:
        row = hparams.model_copy(update={"size_min": smallest, "size_max": 64})
        reading = read_off(tiles, validation, known, row)
        everything = [with_confidence(craters, reading.calibration, quantities(craters)) for craters in found]
        sure[smallest] = sureness(tiles, test, everything, row)
        sure[smallest]["AP"] = average_precision(precision_recall(everything, truth_of(tiles, test), STRICT, (smallest, 64)))
        listed[smallest] = [craters[craters[:, 3] >= reading.threshold] for craters in everything]
    return Seen(listed, sure, truth_of(tiles, test), test, timed(folder, params, tiles, test)), validation, tiles


def timed(folder: Path, params: CellParams, tiles: TileSet, test: np.ndarray) -> float:
    """CPU seconds per tile, of some of them."""
    finder = Finder([folder / "best.ckpt"], params.version)
    look(finder, tiles, test[:1], QUIET)
    start = time.process_time()
    look(finder, tiles, test[1 : 1 + TIMED], QUIET)
    return (time.process_time() - start) / len(test[1 : 1 + TIMED])


def counted(found: list[np.ndarray], truth: list[np.ndarray], radii: tuple[float, float], rule: Rule = STRICT) -> Tally:
    return tallies(found, truth, rule, radii)


def paired_gain(one: Tally, other: Tally) -> np.ndarray:
    """Difference of the F1 of two methods on the same tiles: mean, and 95 % of the resampled tiles."""
    blocks = one.by_block(), other.by_block()
    draws = np.random.default_rng(SEED).integers(0, len(blocks[0]), (1000, len(blocks[0])))
    gain = rates(blocks[0][draws].sum(1))[:, 2] - rates(blocks[1][draws].sum(1))[:, 2]
    return np.array([gain.mean(), *np.percentile(gain, (2.5, 97.5))])


def show(seen: list[Seen], classical: list[np.ndarray]) -> None:
    truth = seen[0].truth
    for smallest, ranges in RANGES.items():
        for radii in ranges:
            values = np.array([rates(np.array(counted(one.listed[smallest], truth, radii).counts())) for one in seen])
            known = counted(seen[0].listed[smallest], truth, radii).counts()[3]
            precision, recall, f1 = values.mean(0)
            each = ", ".join(f"{value:.3f}" for value in values[:, 2])
            both = f"precision {precision:.3f}, recall {recall:.3f}"
            print(f"strict, r {radii[0]:g}–{radii[1]:g} px ({known} known): F1 {f1:.3f} ({each}), {both}")
        sure = {name: np.mean([one.sure[smallest][name] for one in seen]) for name in seen[0].sure[smallest]}
        print(f"  r ≥ {smallest}:", ", ".join(f"{name} {value:.3f}" for name, value in sure.items()))
    box = [rates(np.array(counted(one.listed[5], truth, (5, 64), BOX).counts()))[2] for one in seen]
    errors = [score(counted(one.listed[5], truth, (5, 64)), "strict") for one in seen]
    place, size = (np.mean([error[f"{name}_error_strict"] for error in errors]) for name in ("position", "diameter"))
    print(f"box IoU ≥ .5, r 5–64: F1 {np.mean(box):.3f}; median errors: centre {place:.3f} r, radius {size:.3f} r")
    hough_tally = counted(classical, truth, (5, 64))
    gains = np.mean([paired_gain(counted(one.listed[5], truth, (5, 64)), hough_tally) for one in seen], axis=0)
    print(
        f"Hough transform, r 5–64: F1 {rates(np.array(hough_tally.counts()))[2]:.3f}; gain {gains[0]:.3f} ({gains[1]:.3f}–{gains[2]:.3f})"
    )
    print(f"CPU seconds per tile, all levels: {np.mean([one.seconds_per_tile for one in seen]):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the row's, and its schedule with it")
    parser.add_argument("--pieces", type=int, help="pieces per tile and epoch instead of the row's: many where there are few large images")
    options = parser.parse_args()
    path = project(options)
    seconds = run(path)
    config = load_config(path)
    cells = [config.project.cell_product(FAMILY, options.version, "train", 0, iteration) for iteration in range(options.iterations)]
    results = [see(config, folder) for folder in cells]
    first, validation, tiles = results[0]
    images = np.asarray(tiles.image)
    known = [within(tiles.circles[number], images.shape[1:]) for number in validation]
    keywords = tuned(list(images[validation]), known, (5, 64))
    print(f"\n{len(first.test)} test tiles; version {options.version}, {options.iterations} trainings; {seconds:.0f} s of CPU this time")
    show([seen for seen, _, _ in results], [hough(images[number], **keywords) for number in first.test])


if __name__ == "__main__":
    main()
