"""Maps: cells are blocks of the mosaic, each predicted on a tile of its own with enough ground around it to see its craters whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...config import BEST
from ...core.files import write_table
from ...core.work import Workspace
from ...craters.merge import UNION, agreement, union, without_doubles
from ...craters.outputs import spreads_in_km
from ...geo.box import Box
from ...geo.grid import Grid
from ...geo.sampling import sample_masked
from ...samples.grey import mean_of_bands
from ...training.device import Computing
from .. import map_options
from ..craters_common.ground_tiles import around, is_too_wide
from ..craters_common.maps import (
    CRATERS,
    PREDICTION,
    boxes_in,
    map_run,
    mapped_version,
    nearly_held,
    open_mosaic,
    params_of,
)
from ..craters_common.pictures import mask_of
from ..craters_common.pictures import predict_pictures as craters_of_pictures
from ..craters_common.prediction_raster import Mean, save
from ..craters_common.prepare import filled, is_missing
from ..ensemble import ahead, kept
from ..members import checkpoint_paths, chosen_version, frozen_paths, row_of
from .evaluate import readings
from .hparams import Hparams
from .planned import NAME
from .predict import COLUMNS, Predictor, circles_of, circles_of_each
from .reading import Reading, given_thresholds

if TYPE_CHECKING:
    from ...config import Config
    from ...geo.bodies import Body
    from ..craters_common.options import MapOptions
    from ..pictures import Picture

LIST_COLUMNS = ("lon", "lat", "radius_m", "confidence", "support", "arc", "version", "member")
AGREEMENT = ("votes", "spread_place", "spread_size")
TOGETHER = -1
"""The ``member`` of what a version's networks find together; what one of them finds by itself has its number."""


def composed_row(config: Config, products: list[Path]) -> Hparams:
    """The row by which the blocks are joined."""
    run = map_run(config, NAME)
    return Hparams.own(row_of(config, NAME, mapped_version(config, NAME, params_of(products)), run.split))


def map_blocks(config: Config, params: dict[str, Any], workspace: Workspace) -> dict:
    """``craters.csv`` and ``prediction.npz`` of a cell's blocks."""
    options, run = map_options(config, NAME), map_run(config, NAME)
    blocks, tables, shares, ground = boxes_in(params), list[pd.DataFrame](), list[float](), {}
    weights, split = params["weights"][NAME], str(run.split)
    versions = [chosen_version(config, NAME, weights)] if run.versions[NAME] == BEST else params["versions"]
    with open_mosaic(config, NAME) as mosaic:
        means = [Mean(mosaic.grid, box) for box in blocks] if options.prediction else []
        resolution = options.resolution_m or mosaic.grid.resolution_m
        missing = None if mosaic.is_layered else options.missing  # heights and slopes of 0 are some
        for version in versions:
            paths = frozen_paths(config, NAME, version, run.split, weights[str(version)][split])
            predictor = kept(Predictor, paths, version, Computing.of(config.run.trainer))
            row = Hparams.own(row_of(config, NAME, version, run.split))
            reading = readings(config, version, run.split, row)
            for level in range(row.levels):
                pixel_m, margin = resolution * 2**level, reading.margin_px(row, resolution, level)
                if level and (not margin or is_too_wide(mosaic.grid.body, margin, pixel_m)):
                    continue
                grids = [around(mosaic.grid.body, box, pixel_m, margin, row.divisor) for box in blocks]
                looks = {TOGETHER: predictor} | dict(enumerate(predictor.alone() if options.agreement and len(versions) == 1 else []))
                seen: dict[int, list[np.ndarray]] = {member: [] for member in looks}
                for image in ahead(grids, lambda grid: mean_of_bands(*sample_masked(mosaic, grid))):
                    for member, look in looks.items():
                        workspace.keep_going()
                        probability, share = predict_image(look, image, options, missing)
                        seen[member].append(probability)
                    shares += [] if level else [share]
                for member, found in seen.items():
                    circles = circles_of_each(found, row, reading, resolution, level, str(predictor.ensemble.device))
                    tables += [found_in(*one, reading, level, version, member) for one in zip(circles, grids, blocks, strict=True)]
                probabilities, shown = seen[TOGETHER], predictor.ensemble.shown()
                if level == 0:  # coarser levels look unlike the training's tiles, and aren't compared
                    ground[f"version {version}"] = shown
                    for mean, probability, grid in zip(means, probabilities, grids, strict=bool(means)):
                        mean.add(reading.shown(probability), grid)
    write_table(workspace.folder / CRATERS, pd.concat(tables, ignore_index=True))
    if means:
        save(means, workspace.folder / PREDICTION)
    return {"craters": sum(map(len, tables)), "seen": float(np.mean(shares)), "ground": ground}


def predict_image(predictor: Predictor, image: np.ndarray, options: MapOptions, missing: float | None) -> tuple[np.ndarray, float]:
    """Probability (h, w) on a grey image, NaN where there are no data, and the share of it that has data."""
    gone = is_missing(image, missing)
    if gone.all():
        return np.full(image.shape, np.nan, np.float32), 0.0
    probability = predictor.wide(filled(image, missing), options.window_px, options.overlap)
    probability[gone] = np.nan
    return probability, float(1 - gone.mean())


def predict_pictures(config: Config, pictures: Sequence[Picture], workspace: Workspace) -> dict[str, Any]:
    """Craters and predictions of ready-made images, by the networks of the map at work."""
    run, options = map_run(config, NAME), map_options(config, NAME)
    version = int(run.versions[NAME])
    paths = list(checkpoint_paths(config, NAME, version, run.split).values())
    predictor = Predictor(paths, version, Computing.of(config.run.trainer))
    reading = readings(config, version, run.split, predictor.hparams)

    def look(image: np.ndarray, resolution_m: float) -> tuple[np.ndarray, np.ndarray | None]:
        row = predictor.hparams
        found = predictor.levels(image, row, lambda one: predict_image(predictor, one, options, options.missing)[0])
        circles = predictor.circles(found, row, reading, resolution_m)
        return circles[circles[:, 3] >= reading.confidence], reading.shown(found[0]) if options.prediction else None

    return craters_of_pictures(pictures, look, COLUMNS, workspace)


def read_masks(row: Hparams, pictures: Sequence[Picture], workspace: Workspace) -> dict[str, Any]:
    """Craters of masks or probabilities that somebody else drew, as the row says that craters are drawn and read."""
    reading = Reading.of(given_thresholds(row))

    def look(image: np.ndarray, resolution_m: float) -> tuple[np.ndarray, None]:
        circles = circles_of(mask_of(image), row, reading, resolution_m)
        return circles[circles[:, 3] >= reading.confidence], None

    return craters_of_pictures(pictures, look, COLUMNS, workspace)


def found_in(circles: np.ndarray, grid: Grid, box: Box, reading: Reading, level: int, version: int, member: int) -> pd.DataFrame:
    """The craters (LIST_COLUMNS) whose centres lie in a block, or so near that its neighbour may place them in it. ``circles``: in
    pixels of level 0; ``grid``: the level's own."""
    circles = circles[circles[:, 3] >= reading.confidence]
    circles = np.column_stack([(circles[:, :2] + 0.5) / 2**level - 0.5, circles[:, 2] / 2**level, circles[:, 3:]])
    circles = circles[nearly_held(circles, grid, box)]
    lon, lat = grid.lonlat(circles[:, 1], circles[:, 0])
    found = dict(zip(COLUMNS, circles.T, strict=True)) | {"lon": lon, "lat": lat, "radius_m": circles[:, 2] * grid.resolution_m}
    return pd.DataFrame(found | {"version": version, "member": member}, columns=list(LIST_COLUMNS))


def joined(products: list[Path], row: Hparams, body: Body) -> pd.DataFrame:
    """One list (lon, lat, radius_m, confidence, support and arc, with votes and spreads where networks were asked one by one; or votes and
    spreads of versions united): without neighbouring blocks' doubles."""
    # With their types: the columns of a block without craters would be of none.
    types = dict.fromkeys(LIST_COLUMNS, float) | {"version": int, "member": int}
    read = [pd.read_csv(product / CRATERS, dtype=types) for product in products]
    # Blocks made before networks could be asked one by one don't say who found what.
    everything = pd.concat([one if "member" in one else one.assign(member=TOGETHER) for one in read], ignore_index=True)
    columns = ["lon", "lat", "radius_m", "confidence"]
    together, alone = list[pd.DataFrame](), list[pd.DataFrame]()
    for (member, _), found in everything.groupby(["member", "version"]):
        one = found.drop(columns=["version", "member"]).reset_index(drop=True)
        one = one.iloc[without_doubles(one[columns].to_numpy(float), body)].reset_index(drop=True)
        (together if member == TOGETHER else alone).append(one)
    if row.union_of:
        missing = len(row.union_of) - len(together)
        arrays = [one[columns].to_numpy(float) for one in together] + [np.zeros((0, 4))] * missing
        return spreads_in_km(pd.DataFrame(union(arrays, row.votes, body), columns=list(UNION)))
    listed = together[0] if together else everything.drop(columns=["version", "member"]).iloc[:0]
    if not alone and not params_of(products).get("options", {}).get("agreement"):
        return listed
    said = agreement(listed[columns].to_numpy(float), [one[columns].to_numpy(float) for one in alone], body)
    return spreads_in_km(listed.assign(**dict(zip(AGREEMENT, said.T, strict=True))))
