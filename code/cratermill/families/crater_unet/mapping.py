"""Maps: cells are blocks of the mosaic, each predicted on a tile of its own with enough ground around it to see its craters whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...backprojection import to_mosaic
from ...errors import InputError
from ...files import atomic_path, content_digest, write_table
from ...mosaic import Mosaic
from ...sampling import sample
from ..checkpoint import load
from ..ejmap.members import checkpoint_digests, checkpoint_paths, frozen_paths
from .evaluate import COLUMNS, readings
from .layout import WIDEST_DEG, Box, around, boxes, degree_m, extent
from .predict import Predictor, Reading
from .prepare import grey_bands, is_missing

if TYPE_CHECKING:
    from ...config import Config, MapRun
    from ...grid import Grid
    from .hparams import Hparams
    from .options import MapOptions

NAME = "crater_unet"
CRATERS, PREDICTION = "craters.csv", "prediction.npz"
LIST_COLUMNS = ("lon", "lat", "radius_m", "confidence", "arc", "version")
NO_DATA, FULL = 255, 254
"""Predictions are kept as bytes: 254 is certain, 255 is no data."""


def map_run(config: Config) -> MapRun:
    run = config.run.map
    if run is None or NAME not in run.versions:
        raise InputError("the config makes no map of craters", valid=f"map: {{versions: {{{NAME}: 41}}}}", next_step="add a 'map' part")
    idle = {"match_brightness": run.match_brightness, "craters": run.craters != "all", "data": run.data is not None}
    if any(idle.values()):
        given = ", ".join(f"map.{name}" for name, there in idle.items() if there)
        raise InputError(f"{given}: no key for maps of craters", valid="mosaic, bands, catalogue, options", next_step="remove it")
    return run


def map_name(config: Config) -> str:
    run = map_run(config)
    return run.name or f"{NAME}-{run.versions[NAME]}_test-set-{run.split}"


def open_mosaic(config: Config) -> Mosaic:
    run = map_run(config)
    path = config.path(run.mosaic) if run.mosaic else config.mosaic
    return Mosaic.open(path, run.bands)


def row_of(config: Config, version: int, split: int) -> Hparams:
    """A version's row as its checkpoint keeps it."""
    from .hparams import Hparams

    path = next(iter(checkpoint_paths(config, NAME, version, split).values()))
    return Hparams.from_plan(load(path, NAME, version).hparams)


def mapped_versions(config: Config) -> list[int]:
    """The versions whose networks are needed: the map's, or those that it joins."""
    run = map_run(config)
    version = run.versions[NAME]
    return row_of(config, version, run.split).union_of or [version]


def map_cells(config: Config) -> list[dict[str, Any]]:
    """One cell per block; its params hold all that its craters depend on."""
    run, options = map_run(config), config.map_options(NAME)
    versions = mapped_versions(config)
    with open_mosaic(config) as mosaic:
        resolution = options.resolution_m or mosaic.grid.resolution_m
        area = extent(mosaic.grid, options.latitudes)
        body = mosaic.grid.body
        blocks = list(boxes(body, area, min(options.block_px * resolution, WIDEST_DEG * degree_m(body))))
        require_sizes(config, versions, resolution, options)
        source = content_digest(mosaic.path)
    common = {
        "versions": versions,
        "digests": {str(version): checkpoint_digests(config, NAME, version, run.split) for version in versions},
        "readings": {str(version): asdict(readings(config, version, run.split)) for version in versions},
        "mosaic": source,
        "bands": run.bands,
        "options": options.model_dump(mode="json", exclude={"units", "latitudes"}),
    }
    return [
        {"key": f"block_{number:05d}", "box": [box.west, box.south, box.east, box.north], **common} for number, box in enumerate(blocks)
    ]


def require_sizes(config: Config, versions: list[int], resolution_m: float, options: MapOptions) -> None:
    for version in versions:
        low, high = row_of(config, version, map_run(config).split).radii_px(resolution_m)
        if low > options.block_px / 2:
            raise InputError(
                f"version {version} looks for radii of {low:.4g} to {high:.4g} px in blocks of {options.block_px} px",
                valid="craters that are smaller than half a block",
                next_step="raise map.options.block_px, or resolution_m",
            )


def map_block(config: Config, params: dict[str, Any], workspace: Any) -> dict:
    """``craters.csv`` and ``prediction.npz`` of one block."""
    options, split = config.map_options(NAME), map_run(config).split
    box, tables, mean, seen = Box(*params["box"]), [], None, None
    with open_mosaic(config) as mosaic:
        resolution = options.resolution_m or mosaic.grid.resolution_m
        for version in params["versions"]:
            workspace.keep_going()
            paths = frozen_paths(config, NAME, version, split, params["digests"][str(version)])
            predictor, reading = Predictor(paths, version), Reading(**params["readings"][str(version)])
            margin = reading.options(predictor.hparams, resolution).margin_px
            grid = around(mosaic.grid.body, box, resolution, margin, predictor.hparams.divisor)
            probability, seen = predict(predictor, mosaic, grid, options)
            tables.append(found_in(predictor, probability, reading, grid, box, version))
            piece = to_mosaic(
                np.where(np.isnan(probability), NO_DATA, np.rint(probability * FULL)).astype(np.uint8), grid, mosaic.grid, NO_DATA
            )
            mean = added(mean, piece)
        write_table(workspace.folder / CRATERS, pd.concat(tables, ignore_index=True))
        if options.prediction:
            write_prediction(workspace.folder / PREDICTION, mean, len(params["versions"]), mosaic, box)
    return {"craters": sum(map(len, tables)), "seen": seen}


def predict(predictor: Predictor, mosaic: Mosaic, grid: Any, options: MapOptions) -> tuple[np.ndarray, float]:
    """Probability (h, w) on an azimuthal tile, NaN where there are no data, and the share of the tile that has data."""
    image = grey_bands(mosaic, sample(mosaic, grid)[None])[0]
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


def added(total: list | None, pieces: list) -> list:
    """Sums (int32) of predictions on the same windows; where one has no data, none has."""
    if total is None:
        return [(window, values.astype(np.int32), values == NO_DATA) for window, values in pieces]
    # Versions with craters of other sizes look further around a block, so their windows differ: the first one's are kept.
    by_window = dict(pieces)
    joined = []
    for window, sums, gone in total:
        values = by_window.get(window)
        if values is None:
            values = _cut(pieces, window)
        joined.append((window, sums + values, gone | (values == NO_DATA)))
    return joined


def _cut(pieces: list, window: Any) -> np.ndarray:
    """What pieces on other windows hold of one window."""
    values = np.full((window.height, window.width), NO_DATA, np.uint8)
    for other, source in pieces:
        top, left = max(other.row, window.row), max(other.col, window.col)
        bottom, right = min(other.stop_row, window.stop_row), min(other.stop_col, window.stop_col)
        if top < bottom and left < right:
            part = source[top - other.row : bottom - other.row, left - other.col : right - other.col]
            values[top - window.row : bottom - window.row, left - window.col : right - window.col] = part
    return values


def write_prediction(path: Path, pieces: list, versions: int, mosaic: Mosaic, box: Box) -> None:
    """The mean prediction on the mosaic's pixels that belong to a block; each window cut to what the block has of it."""
    arrays: dict[str, np.ndarray] = {}
    for number, (window, sums, gone) in enumerate(pieces or []):
        values = np.where(gone, NO_DATA, np.rint(sums / versions)).astype(np.uint8)
        rows, cols = np.arange(window.row, window.stop_row), np.arange(window.col, window.stop_col)
        lat = mosaic.grid.lonlat(rows, np.zeros(len(rows)))[1][:, None]
        lon = mosaic.grid.lonlat(np.zeros(len(cols)), cols)[0][None]
        inside = box.holds(*np.broadcast_arrays(lon, lat))
        if inside.any():
            keep_rows, keep_cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            part = np.ix_(range(keep_rows[0], keep_rows[-1] + 1), range(keep_cols[0], keep_cols[-1] + 1))
            arrays[f"values_{number}"] = np.where(inside, values, NO_DATA)[part]
            arrays[f"shape_{number}"] = np.array(arrays[f"values_{number}"].shape)
            arrays[f"place_{number}"] = np.array([window.row + keep_rows[0], window.col + keep_cols[0]])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
