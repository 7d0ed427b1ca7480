"""Maps: cells are blocks of the mosaic, each predicted on a tile of its own with enough ground around it to see its craters whole."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from ...config import BEST
from ...core.errors import InputError
from ...core.files import atomic_path, write_table
from ...core.work import Workspace
from ...geo.backprojection import to_mosaic
from ...geo.grid import Grid, Window
from ...geo.mosaic import Mosaic
from ...geo.sampling import sample_masked
from ...samples.brightness import far_from
from ...samples.grey import mean_of_bands
from ...samples.inputs import digest
from ...training.checkpoint import load
from .. import map_options
from ..members import Trainings, checkpoint_paths, chosen_version, frozen_paths, row_of
from .evaluate import COLUMNS, given_thresholds, readings
from .layout import WIDEST_DEG, Box, around, boxes, degree_m, extent
from .predict import Predictor, Reading
from .prepare import is_missing

if TYPE_CHECKING:
    from ...config import Config, MapRun
    from ...training.hparams import RowHparams
    from .hparams import Hparams
    from .options import MapOptions

NAME = "crater_unet"
CRATERS, PREDICTION = "craters.csv", "prediction.npz"
LIST_COLUMNS = ("lon", "lat", "radius_m", "confidence", "arc", "version")
NO_DATA, FULL = 255, 254
"""Predictions are kept as bytes: 254 is certain, 255 is no data."""


def map_run(config: Config) -> MapRun:
    run = config.map
    if run is None or NAME not in run.versions:
        raise InputError("the config makes no map of craters", valid=f"map: {{versions: {{{NAME}: 41}}}}", next_step="add a 'map' part")
    idle = {
        "match_brightness": run.match_brightness,
        "crater_list": run.crater_list is not None,
        "craters": run.craters != "all",
        "data": run.data is not None,
    }
    if any(idle.values()):
        given = ", ".join(f"map.{name}" for name, there in idle.items() if there)
        raise InputError(f"{given}: no key for maps of craters", valid="mosaic, bands, catalogue, options", next_step="remove it")
    return run


def map_name(config: Config, trainings: Trainings | None = None) -> str:
    run = map_run(config)
    return run.name or f"{NAME}-{run.versions[NAME]}_test-set-{run.split}"


def open_mosaic(config: Config) -> Mosaic:
    run = map_run(config)
    path = config.path(run.mosaic) if run.mosaic else config.mosaic
    return Mosaic.open(path, run.bands)


def mapped_rows(config: Config, trainings: Trainings) -> dict[int, Hparams]:
    """The rows whose networks are needed: the map's, those that it joins, or all among which the best will be chosen."""
    run = map_run(config)
    rows = {version: _own(trainings.row(NAME, version, run.split)) for version in trainings.versions(NAME, run.versions[NAME])}
    if run.versions[NAME] == BEST:
        return {version: row for version, row in rows.items() if not row.union_of}
    joined = next(iter(rows.values())).union_of
    return {version: _own(trainings.row(NAME, version, run.split)) for version in joined} if joined else rows


def composed_row(config: Config, params: dict[str, Any]) -> Hparams:
    """The row by which the blocks are joined."""
    run = map_run(config)
    wanted = run.versions[NAME]
    version = chosen_version(config, NAME, params["weights"][NAME]) if wanted == BEST else int(wanted)
    return _own(row_of(config, NAME, version, run.split))


def _own(row: RowHparams) -> Hparams:
    """Rows of this family are of its model."""
    return cast("Hparams", row)


def map_cells(config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
    """One cell per block; its params hold all that its craters depend on."""
    run, options, trainings = map_run(config), map_options(config, NAME), trainings or Trainings(config)
    rows = mapped_rows(config, trainings)
    with open_mosaic(config) as mosaic:
        resolution = options.resolution_m or mosaic.grid.resolution_m
        area = extent(mosaic.grid, options.latitudes)
        body = mosaic.grid.body
        blocks = list(boxes(body, area, min(options.block_px * resolution, WIDEST_DEG * degree_m(body))))
        require_sizes(rows, resolution, options)
        source = digest(mosaic.path)
    if run.versions[NAME] == BEST:
        weights = trainings.weights(NAME, BEST, run.split)
        weights = {version: weights[version] for version in map(str, rows)}
    else:
        weights = {str(version): {str(run.split): trainings.marks(NAME, version, run.split)} for version in rows}
    common = {
        "versions": list(rows),
        "weights": {NAME: weights},
        "thresholds": {str(version): thresholds_mark(trainings, version, run.split, row) for version, row in rows.items()},
        "mosaic": source,
        "bands": run.bands,
        "options": options.model_dump(mode="json", exclude={"units", "latitudes"}),
    }
    return [
        {"key": f"block_{number:05d}", "box": [box.west, box.south, box.east, box.north], **common} for number, box in enumerate(blocks)
    ]


def map_warnings(config: Config) -> list[str]:
    run, said = map_run(config), []
    with open_mosaic(config) as mosaic:
        for version in mapped_rows(config, Trainings(config)):
            path = next(iter(checkpoint_paths(config, NAME, version, run.split).values()))
            said += far_from(load(path, NAME, version).seen, mosaic, f"version {version}", grey=False, remembered=config.data.statistics)
    return said


def thresholds_mark(trainings: Trainings, version: int, split: int, row: Hparams) -> Any:
    """What the thresholds follow from by which craters are read: the row's own, and the evaluations that choose the others."""
    given = given_thresholds(row)
    return [given, {} if len(given) == len(fields(Reading)) else trainings.evaluations(NAME, version, split)]


def require_sizes(rows: dict[int, Hparams], resolution_m: float, options: MapOptions) -> None:
    for version, row in rows.items():
        low, high = row.radii_px(resolution_m)
        if low > options.block_px / 2:
            raise InputError(
                f"version {version} looks for radii of {low:.4g} to {high:.4g} px in blocks of {options.block_px} px",
                valid="craters that are smaller than half a block",
                next_step="raise map.options.block_px, or resolution_m",
            )


def map_block(config: Config, params: dict[str, Any], workspace: Workspace) -> dict:
    """``craters.csv`` and ``prediction.npz`` of one block."""
    options, run = map_options(config, NAME), map_run(config)
    box, tables, seen = Box(*params["box"]), [], None
    weights, split = params["weights"][NAME], str(run.split)
    versions = [chosen_version(config, NAME, weights)] if run.versions[NAME] == BEST else params["versions"]
    with open_mosaic(config) as mosaic:
        mean = Mean(mosaic.grid, box) if options.prediction else None
        resolution = options.resolution_m or mosaic.grid.resolution_m
        for version in versions:
            workspace.keep_going()
            paths = frozen_paths(config, NAME, version, run.split, weights[str(version)][split])
            predictor = Predictor(paths, version)
            reading = readings(config, version, run.split, _own(row_of(config, NAME, version, run.split)))
            margin = reading.options(predictor.hparams, resolution).margin_px
            grid = around(mosaic.grid.body, box, resolution, margin, predictor.hparams.divisor)
            probability, seen = predict(predictor, mosaic, grid, options)
            tables.append(found_in(predictor, probability, reading, grid, box, version))
            if mean:
                mean.add(probability, grid)
    write_table(workspace.folder / CRATERS, pd.concat(tables, ignore_index=True))
    if mean:
        mean.save(workspace.folder / PREDICTION)
    return {"craters": sum(map(len, tables)), "seen": seen}


def predict(predictor: Predictor, mosaic: Mosaic, grid: Any, options: MapOptions) -> tuple[np.ndarray, float]:
    """Probability (h, w) on an azimuthal tile, NaN where there are no data, and the share of the tile that has data."""
    image = mean_of_bands(*sample_masked(mosaic, grid))
    gone = is_missing(image, options.missing)
    if gone.all():
        return np.full(image.shape, np.nan, np.float32), 0.0
    image[gone] = image[~gone].mean()
    probability = predictor.wide(image, options.window_px, options.overlap)
    probability[gone] = np.nan
    return probability, float(1 - gone.mean())


def found_in(predictor: Predictor, probability: np.ndarray, reading: Reading, grid: Any, box: Box, version: int) -> pd.DataFrame:
    """The craters (LIST_COLUMNS) whose centres lie in a block, or so near that its neighbour may place them in it."""
    circles = predictor.circles(probability, reading, grid.resolution_m)
    lon, lat = grid.lonlat(circles[:, 1], circles[:, 0])
    table = pd.DataFrame(circles, columns=COLUMNS).assign(lon=lon, lat=lat, version=version)
    table["radius_m"] = table["radius_px"] * grid.resolution_m
    return table.loc[_nearly_held(circles, grid, box), list(LIST_COLUMNS)]


def _nearly_held(circles: np.ndarray, grid: Grid, box: Box) -> np.ndarray:
    """Which centres lie in a box or a tenth of their radius off it, 2 px at least: neighbours see the same crater a little elsewhere, and
    one on the border would belong to neither. Doubles are removed when blocks are joined."""
    off = np.maximum(2.0, 0.1 * circles[:, 2])
    corners = ((down * off, across * off) for down in (-1, 0, 1) for across in (-1, 0, 1))
    held = [box.holds(*grid.lonlat(circles[:, 1] + down, circles[:, 0] + across)) for down, across in corners]
    return np.any(held, axis=0)


# --- predictions on the mosaic's pixels ------------------------------------------------------------------------------------------


class Mean:
    """The versions' mean prediction on those pixels of the mosaic whose centres lie in a box; memory follows the box."""

    def __init__(self, grid: Grid, box: Box):
        self.grid, self.windows, self.versions = grid, box_windows(grid, box), 0
        self.sums = [np.zeros((window.height, window.width), np.uint16) for window in self.windows]
        self.gone = [np.zeros((window.height, window.width), bool) for window in self.windows]

    def add(self, probability: np.ndarray, tile: Grid) -> None:
        """A prediction (h, w) on an azimuthal tile, NaN where there are no data; where one version has none, the mean has none."""
        values = np.where(np.isnan(probability), NO_DATA, np.rint(probability * FULL)).astype(np.uint8)
        for window, sums, gone in zip(self.windows, self.sums, self.gone, strict=True):
            here = np.full(sums.shape, NO_DATA, np.uint8)
            for part, piece in to_mosaic(values, tile, self.grid.window(window), NO_DATA):
                here[part.slices] = piece
            sums += here
            gone |= here == NO_DATA
        self.versions += 1

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {}
        for number, (window, sums, gone) in enumerate(zip(self.windows, self.sums, self.gone, strict=True)):
            values = ((sums + self.versions // 2) // self.versions).astype(np.uint8)
            values[gone] = NO_DATA
            arrays[f"values_{number}"], arrays[f"shape_{number}"] = values, np.array(values.shape)
            arrays[f"place_{number}"] = np.array([window.row, window.col])
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)


def box_windows(grid: Grid, box: Box) -> list[Window]:
    """The windows of a cylindrical mosaic whose pixel centres lie in a box: two across the seam, none where it misses the mosaic."""
    rows = np.flatnonzero(box.holds(box.centre[0], grid.lonlat(np.arange(grid.height), 0.0)[1]))
    cols = np.flatnonzero(box.holds(grid.lonlat(0.0, np.arange(grid.width))[0], box.centre[1]))
    if not len(rows) or not len(cols):
        return []
    pieces = np.split(cols, np.flatnonzero(np.diff(cols) > 1) + 1)
    return [Window(int(rows[0]), int(piece[0]), len(rows), len(piece)) for piece in pieces]
