"""Scores of a trained cell as a catalogue: craters read from held-out tiles, against those of the list, by every rule."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import read_json, write_json
from ...core.work import Workspace
from ...craters.matching import STRICT
from ...craters.merge import union
from ...craters.scores import rates, tally
from ...training.cell import CellParams
from ..craters_common.judging import CRATERS, judge
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import radii_px, split_tiles
from .predict import LOOSE, Predictor, Reading

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

LEVELS = (0.3, 0.4, 0.5, 0.6)
CONFIDENCES = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
ARCS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
COLUMNS = ("x", "y", "radius_px", "confidence", "arc")
READING = "reading.json"


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """``craters.csv`` (what was found on the Test tiles), ``scores.csv`` (by size), ``reading.json`` (thresholds) and the metrics."""
    from .hparams import Hparams

    hparams = Hparams.from_plan(params.hparams)
    tiles = TileSet(folder_of(config, params.family, hparams.data))
    _, validation, test = split_tiles(tiles, params, hparams)
    if hparams.union_of:
        found, reading = united(config, params, hparams, test), None
    else:
        checkpoint = config.project.cell_product("crater_unet", params.version, "train", params.split, params.iteration) / "best.ckpt"
        predictor = Predictor([checkpoint], params.version)
        reading = choose(predictor, tiles, validation, hparams, workspace)
        write_json(workspace.folder / READING, asdict(reading))
        found = read(predictor, tiles, test, reading, workspace)
    metrics = {"test-set": params.split, "iteration": params.iteration, **judge(tiles, test, found, COLUMNS, hparams, workspace.folder)}
    metrics |= {f"reading_{name}": value for name, value in asdict(reading).items()} if reading else {}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def read(predictor: Predictor, tiles: TileSet, rows: np.ndarray, reading: Reading, workspace: Workspace) -> list[np.ndarray]:
    """Circles (N, 5) of each of these tiles."""
    found = []
    for number, row in enumerate(rows, 1):
        workspace.keep_going()
        probability = predictor.tiles(np.asarray(tiles.image[row : row + 1]))[0]
        found.append(predictor.circles(probability, reading, float(tiles.tiles["resolution_m"].iloc[row])))
        workspace.report(item=number)
    return found


def choose(predictor: Predictor, tiles: TileSet, rows: np.ndarray, row: Hparams, workspace: Workspace) -> Reading:
    """The thresholds with the best strict F1 on validation tiles, one after the other; those that the row gives stay.

    ``row`` is the row as it stands now: its thresholds may have changed since its network was trained.
    """
    given = given_thresholds(row)
    best = replace(Reading(), **given)
    if len(given) == 3:
        return best
    truth = [tiles.circles[number] for number in rows]
    radii = radii_px(row, float(tiles.tiles["resolution_m"].iloc[0]))
    images = [predictor.tiles(np.asarray(tiles.image[number : number + 1]))[0] for number in rows]

    def f1(circles: list[np.ndarray], reading: Reading) -> float:
        passing = [one[(one[:, 3] >= reading.confidence) & (one[:, 4] >= reading.arc)] for one in circles]
        counts = [tally(f, t, STRICT, radii).counts() for f, t in zip(passing, truth, strict=True)]
        return float(rates(np.sum(counts, axis=0))[2])

    loose: dict[float, list[np.ndarray]] = {}
    for level in (best.level,) if "level" in given else LEVELS:
        workspace.keep_going()
        loosest = replace(best, level=level, **LOOSE)
        loose[level] = [predictor.circles(image, loosest, float(tiles.tiles["resolution_m"].iloc[0])) for image in images]
    best = max((replace(best, level=level) for level in loose), key=lambda one: f1(loose[one.level], one))
    for name, values in (("confidence", CONFIDENCES), ("arc", ARCS)):
        if name not in given:
            best = max((replace(best, **{name: value}) for value in values), key=lambda one: f1(loose[one.level], one))
    return best


def members(config: Config, version: int, split: int, iteration: int = 0) -> pd.DataFrame:
    """What another version found on the Test tiles of a split; ``InputError`` if it wasn't evaluated."""
    path = config.project.cell_product("crater_unet", version, "evaluate", split, iteration) / CRATERS
    if not path.exists():
        raise InputError(
            f"crater_unet version {version} was not evaluated on split {split}, iteration {iteration}",
            next_step=f"train version {version} first, or together with the version that joins it",
        )
    return pd.read_csv(path)


def united(config: Config, params: CellParams, hparams: Hparams, rows: np.ndarray) -> list[np.ndarray]:
    """Circles (N, 5) of each tile on which enough versions agree; arc holds the share of the versions."""
    tables = [members(config, version, params.split, params.iteration) for version in hparams.union_of or []]
    found = []
    for row in rows:
        lists = [table.loc[table["tile"] == row, list(COLUMNS[:4])].to_numpy(float) for table in tables]
        joined = union(lists, hparams.votes)
        joined[:, 4] /= len(lists)
        found.append(joined)
    return found


def readings(config: Config, version: int, split: int, hparams: Hparams) -> Reading:
    """The thresholds of a version for mapping: the row's own, else the mean of those its iterations chose, else the defaults."""
    folder = config.project.version_log("crater_unet", version) / "cells"
    chosen = [read_json(path) for path in sorted(folder.glob(f"evaluate_test-set-{split}_iteration-*/{READING}"))]
    if not chosen:  # a checkpoint from elsewhere; what was chosen here has followed the row, as it stood then
        return replace(Reading(), **given_thresholds(hparams))
    return Reading(**{name: float(np.mean([one[name] for one in chosen])) for name in asdict(Reading())})


def given_thresholds(hparams: Hparams) -> dict[str, float]:
    """Those that the row gives, for which nothing is chosen."""
    return {name: value for name in asdict(Reading()) if (value := getattr(hparams, name)) is not None}
