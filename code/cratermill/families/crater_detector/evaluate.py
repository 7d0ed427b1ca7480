"""A trained detector on tiles: confidence and threshold from validation tiles, lists and scores of test tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.files import atomic_path, read_json, write_json
from ...training.cell import CellParams
from ...training.device import Computing
from ..craters_common.certainty import Certainty, learnt, sureness, truth_of, with_confidence
from ..craters_common.judging import judge, within
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import judged_row, radii_px, split_tiles
from .find import Finder, found_on, quantities
from .hparams import Hparams

if TYPE_CHECKING:
    from ...config import Config

COLUMNS = ("x", "y", "radius_px", "confidence", "score", "best", "levels_seen", "levels_possible", "spread_place", "spread_size")
READING, SEEN = "reading.json", "seen.npz"
USUAL_THRESHOLD = 0.4


def evaluate(config: Config, params: CellParams, workspace: Any) -> dict[str, Any]:
    """``craters.csv`` (what was found on the Test tiles), ``scores.csv`` (by size), ``reading.json`` and the metrics."""
    hparams: Hparams = params.hparams
    tiles = TileSet(folder_of(config, params.family, hparams.data))
    _, validation, test = split_tiles(tiles, params, hparams)
    folder = config.project.cell_product(params.family, params.version, "train", params.split, params.iteration)
    finder = Finder([folder / "best.ckpt"], params.version, Computing.of(config.run.trainer))
    finder.hparams = hparams  # scales may have changed since it was trained
    seen = {name: look(finder, tiles, rows, workspace) for name, rows in (("validation", validation), ("test", test))}
    save_seen(workspace.folder / SEEN, seen)
    row = judged_row(tiles, hparams)
    reading = read_off(tiles, validation, seen["validation"], row)
    write_json(workspace.folder / READING, reading.plain())
    listed = [with_confidence(craters, reading.calibration, quantities(craters)) for craters in seen["test"]]
    sure = sureness(tiles, test, listed, row)
    judged = judge(tiles, test, listed, reading.threshold, COLUMNS, row, workspace.folder)
    metrics = {"test-set": params.split, "iteration": params.iteration, **judged, **sure, "reading_threshold": reading.threshold}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def save_seen(path: Path, seen: dict[str, list[np.ndarray]]) -> None:
    """All that was found on the tiles (lists of (N, 9)) before anything was left out: what is read off may change, this does not."""
    arrays: dict[str, np.ndarray] = {}
    for name, lists in seen.items():
        arrays |= {f"{name}_craters": np.concatenate(lists), f"{name}_counts": np.array([len(one) for one in lists])}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_seen(path: Path, name: str) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return np.split(file[f"{name}_craters"], np.cumsum(file[f"{name}_counts"])[:-1])


def look(finder: Finder, tiles: TileSet, rows: np.ndarray, workspace: Any) -> list[np.ndarray]:
    """Craters (N, 9) of each of these tiles, no threshold applied."""
    found = []
    for number, row in enumerate(rows, 1):
        workspace.keep_going()
        found.append(within(found_on(finder, tiles.channels(row)), tiles.image.shape[-2:]))
        workspace.report(item=number)
    return found


def read_off(tiles: TileSet, rows: np.ndarray, found: list[np.ndarray], hparams: Hparams) -> Certainty:
    """Calibration and threshold by the validation tiles' craters; a threshold that the row gives stays."""
    radii = radii_px(hparams, float(tiles.tiles["resolution_m"].iloc[0]))
    return learnt(found, truth_of(tiles, rows), radii, quantities, hparams.threshold, USUAL_THRESHOLD)[0]


def reading_of(config: Config, version: int, split: int, hparams: Hparams) -> Certainty:
    """The reading of a version for mapping: that of its first evaluated iteration, with the row's threshold or the iterations' mean."""
    paths = config.project.cells("crater_detector", version, "evaluate", READING, split).values()
    readings = [Certainty.of_plain(values) for path in paths if (values := read_json(path))]
    if not readings:
        return Certainty(hparams.threshold or USUAL_THRESHOLD)
    threshold = float(np.mean([reading.threshold for reading in readings]))
    return Certainty(hparams.threshold or threshold, readings[0].calibration)
