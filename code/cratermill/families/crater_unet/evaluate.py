"""Scores of a trained cell as a catalogue: craters read from held-out tiles, against those of the list, by every rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.calibration import FINE, counted, figures, fit, moved
from ...core.errors import InputError
from ...core.files import read_json, write_json
from ...core.work import Workspace
from ...craters.merge import union
from ...training.cell import CellParams
from ...training.device import Computing
from ..craters_common.certainty import learnt, sureness, truth_of
from ..craters_common.family import CRATERS
from ..craters_common.judging import judge
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import judged_row, radii_px, split_tiles, wanted
from .predict import COLUMNS, Predictor, quantities
from .reading import LOOSE_ARC, LOOSE_SUPPORT, USUAL, Reading, given_thresholds

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

LEVELS, LEVEL_STEP, LEVEL_ENDS = (0.3, 0.4, 0.5, 0.6), 0.1, (0.05, 0.95)
"""Levels that are tried; further ones where the best is the first or last."""
READING = "reading.json"


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """``craters.csv`` (what was found on the Test tiles), ``scores.csv`` (by size), ``reading.json`` (thresholds) and the metrics."""

    hparams: Hparams = params.hparams
    tiles = TileSet(folder_of(config, params.family, hparams.data))
    _, validation, test = split_tiles(tiles, params, hparams)
    row = judged_row(tiles, hparams)
    if hparams.union_of:
        listed, reading = united(config, params, hparams, test), None
    else:
        checkpoint = config.project.cell_product("crater_unet", params.version, "train", params.split, params.iteration) / "best.ckpt"
        predictor = Predictor([checkpoint], params.version, Computing.of(config.run.trainer))
        reading = choose(predictor, tiles, validation, row, workspace)
        write_json(workspace.folder / READING, reading.plain())
        listed, forecasts = read(predictor, tiles, test, reading, hparams, workspace)
    judged = judge(tiles, test, listed, reading.confidence if reading else 0.0, COLUMNS, row, workspace.folder)
    metrics = {"test-set": params.split, "iteration": params.iteration, **judged, **sureness(tiles, test, listed, row)}
    if reading:
        metrics |= {f"reading_{name}": getattr(reading, name) for name in USUAL}
        error, _ = figures(moved(forecasts, reading.pixels) if reading.pixels else forecasts)
        metrics |= {"pixel_calibration_error": float(error)}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def read(
    predictor: Predictor, tiles: TileSet, rows: np.ndarray, reading: Reading, hparams: Hparams, workspace: Workspace
) -> tuple[list[np.ndarray], np.ndarray]:
    """Circles (N, 6) of each of these tiles, less sure ones than the reading lists, too; and counts (4, FINE) of the pixels' forecasts."""
    found, forecasts = [], np.zeros((4, FINE))
    for number, row in enumerate(rows, 1):
        workspace.keep_going()
        resolution = float(tiles.tiles["resolution_m"].iloc[row])
        probabilities = predictor.tile(tiles.image[row], hparams)
        found.append(predictor.circles(probabilities, hparams, reading, resolution))
        forecasts += forecast_counts(probabilities[0], tiles.circles[row], hparams, resolution)
        workspace.report(item=number)
    return found, forecasts


def forecast_counts(probability: np.ndarray, circles: np.ndarray, hparams: Hparams, resolution_m: float) -> np.ndarray:
    """Counts (4, FINE) of a tile's probabilities (h, w) against the drawing of its circles."""
    target = hparams.shape().draw(wanted(circles, hparams, resolution_m), probability.shape)
    return counted(probability.ravel().astype(np.float64), target.ravel())


def choose(predictor: Predictor, tiles: TileSet, rows: np.ndarray, row: Hparams, workspace: Workspace) -> Reading:
    """Level, calibrations and least confidence with the best strict F1 on validation tiles; thresholds that the row gives stay.

    ``row`` is the row as it stands now: its thresholds may have changed since its network was trained.
    """
    given = given_thresholds(row)
    if len(given) == len(USUAL):
        return Reading.of(given)
    loose = Reading.of({"arc": LOOSE_ARC} | given | {"confidence": LOOSE_SUPPORT})
    resolution = float(tiles.tiles["resolution_m"].iloc[0])
    truth, radii = truth_of(tiles, rows), radii_px(row, resolution)
    images = [predictor.tile(tiles.image[number], row) for number in rows]
    tried: dict[float, tuple[float, Reading]] = {}

    def attempt(level: float) -> None:
        workspace.keep_going()
        one = replace(loose, level=level)
        found = [predictor.circles(image, row, one, resolution)[:, [0, 1, 2, 4, 5]] for image in images]
        certainty, f1 = learnt(found, truth, radii, quantities, row.confidence, USUAL["confidence"])
        tried[level] = f1, replace(one, confidence=certainty.threshold, calibration=certainty.calibration)

    for level in (loose.level,) if "level" in given else LEVELS:
        attempt(level)
    while "level" not in given and (further := _beyond(tried)) is not None:
        attempt(further)
    drawn = predictor.hparams
    forecasts = [forecast_counts(image[0], tiles.circles[one], drawn, resolution) for image, one in zip(images, rows, strict=True)]
    return replace(max(tried.values(), key=lambda one: one[0])[1], pixels=fit(np.sum(forecasts, axis=0), "isotonic"))


def _beyond(tried: dict[float, tuple[float, Reading]]) -> float | None:
    """A level further out where the best of those tried is the first or last, so that none is the best by the grid's end."""
    best = max(tried, key=lambda level: tried[level][0])
    step = LEVEL_STEP * ((best == max(tried)) - (best == min(tried)))
    further = round(best + step, 3)
    return further if step and LEVEL_ENDS[0] < further < LEVEL_ENDS[1] else None


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
    """Circles (N, 6) of each tile on which enough versions agree; support and arc hold the share of the versions."""
    tables = [members(config, version, params.split, params.iteration) for version in hparams.union_of or []]
    found = []
    for row in rows:
        lists = [table.loc[table["tile"] == row, list(COLUMNS[:4])].to_numpy(float) for table in tables]
        joined = union(lists, hparams.votes)
        share = joined[:, 4] / len(lists)
        found.append(np.column_stack([joined[:, :4], share, share]))
    return found


def readings(config: Config, version: int, split: int, hparams: Hparams) -> Reading:
    """The thresholds of a version for mapping: the row's own, else the mean of those its iterations chose, else the defaults."""
    files = config.project.cells("crater_unet", version, "evaluate", READING, split).values()
    chosen = [Reading.of_plain(values) for path in files if (values := read_json(path))]
    if not chosen:  # a checkpoint from elsewhere; what was chosen here has followed the row, as it stood then
        return Reading.of(given_thresholds(hparams))
    thresholds = {name: float(np.mean([getattr(one, name) for one in chosen])) for name in USUAL}
    return Reading.of(thresholds, chosen[0].calibration, chosen[0].pixels)
