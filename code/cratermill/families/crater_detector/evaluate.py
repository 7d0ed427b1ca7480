"""A trained detector on tiles: confidence and threshold from validation tiles, lists and scores of test tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.files import read_json, write_json
from ...craters.confidence import Calibration, area_under_curve, best_threshold, expected_error, fit
from ...craters.matching import STRICT, match
from ...craters.scores import rates, tally
from ...training.cell import CellParams
from ..craters_common.judging import judge, within
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import radii_px, split_tiles
from .find import Finder, found_on, quantities, with_confidence
from .hparams import Hparams

if TYPE_CHECKING:
    from ...config import Config

COLUMNS = ("x", "y", "radius_px", "confidence", "score", "best", "levels_seen", "levels_possible", "spread_place", "spread_size")
READING = "reading.json"
USUAL_THRESHOLD = 0.4
LOWEST = 0.05
"""Craters that are less sure are in no list."""


@dataclass(frozen=True)
class Reading:
    """What validation tiles said: how sure a crater is, and from where on it is listed."""

    threshold: float = USUAL_THRESHOLD
    calibration: Calibration | None = None

    def plain(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "calibration": self.calibration and self.calibration.plain()}

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> Reading:
        given = values.get("calibration")
        return cls(float(values["threshold"]), Calibration.of_plain(given) if given else None)


def evaluate(config: Config, params: CellParams, workspace: Any) -> dict[str, Any]:
    """``craters.csv`` (what was found on the Test tiles), ``scores.csv`` (by size), ``reading.json`` and the metrics."""
    hparams = Hparams.from_plan(params.hparams)
    tiles = TileSet(folder_of(config, params.family, hparams.data))
    _, validation, test = split_tiles(tiles, params, hparams)
    folder = config.project.cell_product(params.family, params.version, "train", params.split, params.iteration)
    finder = Finder([folder / "best.ckpt"], params.version)
    finder.hparams = hparams  # scales may have changed since it was trained
    reading = read_off(tiles, validation, look(finder, tiles, validation, workspace), hparams)
    write_json(workspace.folder / READING, reading.plain())
    listed = [with_confidence(craters, reading.calibration) for craters in look(finder, tiles, test, workspace)]
    sure = sureness(tiles, test, listed, hparams)
    found = [craters[craters[:, 3] >= reading.threshold] for craters in listed]
    metrics = {"test-set": params.split, "iteration": params.iteration, **judge(tiles, test, found, COLUMNS, hparams, workspace.folder)}
    metrics |= {**sure, "reading_threshold": reading.threshold}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def look(finder: Finder, tiles: TileSet, rows: np.ndarray, workspace: Any) -> list[np.ndarray]:
    """Craters (N, 9) of each of these tiles, no threshold applied."""
    found = []
    for number, row in enumerate(rows, 1):
        workspace.keep_going()
        found.append(within(found_on(finder, np.asarray(tiles.image[row], np.float32)), tiles.image.shape[1:]))
        workspace.report(item=number)
    return found


def read_off(tiles: TileSet, rows: np.ndarray, found: list[np.ndarray], hparams: Hparams) -> Reading:
    """Calibration and threshold by the validation tiles' craters; a threshold that the row gives stays."""
    truth = [within(tiles.circles[row], tiles.image.shape[1:]) for row in rows]
    radii = radii_px(hparams, float(tiles.tiles["resolution_m"].iloc[0]))
    right = [is_right(craters, known) for craters, known in zip(found, truth, strict=True)]
    together = np.concatenate(found)
    # What is far too small to count would decide on the curve by its number alone.
    near = together[:, 2] >= 0.8 * radii[0]
    calibration = fit(quantities(together[near]), np.concatenate(right)[near])
    reading = Reading(hparams.threshold or USUAL_THRESHOLD, calibration)
    if hparams.threshold is not None or not any(map(len, truth)):
        return reading
    listed = [with_confidence(craters, calibration) for craters in found]

    def f1(threshold: float) -> float:
        parts = [tally(one[one[:, 3] >= threshold], known, STRICT, radii).counts() for one, known in zip(listed, truth, strict=True)]
        return float(rates(np.sum(parts, axis=0))[2])

    values = np.concatenate([one[one[:, 3] > LOWEST, 3] for one in listed])
    return replace(reading, threshold=best_threshold(f1, values))


def is_right(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which found craters (N, ≥3) have a partner by the strict rule."""
    right = np.zeros(len(found), bool)
    right[match(found[:, :3], known, STRICT).pairs[:, 0]] = True
    return right


def sureness(tiles: TileSet, rows: np.ndarray, listed: list[np.ndarray], hparams: Hparams) -> dict[str, float]:
    """How well confidence tells right craters from wrong ones, of those within the row's sizes that are surer than ``LOWEST``."""
    radii = radii_px(hparams, float(tiles.tiles["resolution_m"].iloc[0]))
    right, confidence = [], []
    for row, craters in zip(rows, listed, strict=True):
        counts = (craters[:, 2] >= radii[0]) & (craters[:, 2] <= radii[1]) & (craters[:, 3] > LOWEST)
        right.append(is_right(craters, within(tiles.circles[row], tiles.image.shape[1:]))[counts])
        confidence.append(craters[counts, 3])
    sure, good = np.concatenate(confidence), np.concatenate(right)
    return {"AUC": area_under_curve(sure, good), "calibration_error": expected_error(sure, good)}


def reading_of(config: Config, version: int, split: int, hparams: Hparams) -> Reading:
    """The reading of a version for mapping: that of its first evaluated iteration, with the row's threshold or the iterations' mean."""
    folder = config.project.version_log("crater_detector", version) / "cells"
    paths: list[Path] = sorted(folder.glob(f"evaluate_test-set-{split}_iteration-*/{READING}"))
    readings = [Reading.of_plain(values) for path in paths if (values := read_json(path))]
    if not readings:
        return Reading(hparams.threshold or USUAL_THRESHOLD)
    threshold = float(np.mean([reading.threshold for reading in readings]))
    return Reading(hparams.threshold or threshold, readings[0].calibration)
