"""Maps: cells are blocks of one level each; every level reads the mosaic at its own resolution, so large craters cost next to nothing.

What the levels saw is joined when the blocks are, by distances on the body, so neither blocks nor levels leave seams.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.files import write_table
from ...craters.outputs import spreads_in_km
from ...craters.sightings import Levels, joined
from ...geo.box import Box
from ...geo.sampling import COARSE_SUBPIXELS, sample_masked
from ...training.device import Computing
from .. import map_options
from ..craters_common.certainty import Certainty, with_confidence
from ..craters_common.ground_tiles import around
from ..craters_common.judging import within
from ..craters_common.maps import CRATERS, boxes_in, map_run, mapped_version, nearly_held, open_mosaic, params_of
from ..craters_common.pictures import predict_pictures as craters_of_pictures
from ..craters_common.prepare import filled, without_gaps
from ..craters_common.tiles import wanted
from ..ensemble import ahead, kept
from ..members import checkpoint_paths, frozen_paths, row_of
from .evaluate import COLUMNS, reading_of
from .find import Finder, found_on, quantities
from .hparams import Hparams
from .planned import MARGIN_PX, NAME

if TYPE_CHECKING:
    from ...config import Config
    from ...geo.bodies import Body
    from ...geo.grid import Grid
    from ...geo.mosaic import Mosaic
    from ..craters_common.composite import Join
    from ..pictures import Picture

SEEN_COLUMNS = ("lon", "lat", "radius_m", "strength", "look")


def map_blocks(config: Config, params: dict[str, Any], workspace: Any) -> dict[str, Any]:
    """``craters.csv`` of one block of one level, or several: what its networks see there."""
    options, run = map_options(config, NAME), map_run(config, NAME)
    version, level = mapped_version(config, NAME, params), params["level"]
    paths = frozen_paths(config, NAME, version, run.split, marks_of(params, version, run.split))
    finder = kept(Finder, paths, version, Computing.of(config.run.trainer))
    resolution = params["resolution_m"] / params["scales"][level]
    levels = finder.levels(tuple(params["scales"]), params["resolution_m"])
    tables, shares = [], []
    with open_mosaic(config, NAME) as mosaic:
        boxes = boxes_in(params)
        grids = [around(mosaic.grid.body, box, resolution, MARGIN_PX, finder.divisor) for box in boxes]
        images = ahead(grids, lambda grid: pixels(mosaic, grid, options.missing))
        for box, grid, (image, share) in zip(boxes, grids, images, strict=True):
            finder.require(len(image), str(mosaic.path))
            workspace.keep_going()
            found = finder.look(image, levels, level) if share else np.zeros((0, 5))
            tables.append(seen_in(found, grid, box))
            shares.append(share)
    table = pd.concat(tables, ignore_index=True)
    write_table(workspace.folder / CRATERS, table)
    # Networks learn from pieces of several scales, which look alike; the level that is as fine as the mosaic is compared.
    ground = {f"version {version}": finder.ensemble.shown()} if params["scales"][level] == 1 else {}
    return {"craters": len(table), "seen": float(np.mean(shares)), "ground": ground}


def marks_of(params: dict[str, Any], version: int, split: int) -> dict[str, str]:
    """The trainings of a version that a map's cells were planned with."""
    marks: dict[str, str] = params["weights"][NAME][str(version)][str(split)]
    return marks


def pixels(mosaic: Mosaic, grid: Grid, missing: float | None) -> tuple[np.ndarray, float]:
    """A tile (C, h, w) without gaps, and the share of it that has data."""
    return without_gaps(mosaic, *sample_masked(mosaic, grid, subpixels=COARSE_SUBPIXELS), missing)


def predict_pictures(config: Config, pictures: Sequence[Picture], workspace: Any) -> dict[str, Any]:
    """Craters of ready-made images at the scales of the row, by the networks of the map at work."""
    run, missing = map_run(config, NAME), map_options(config, NAME).missing
    version = int(run.versions[NAME])
    finder = Finder(list(checkpoint_paths(config, NAME, version, run.split).values()), version, Computing.of(config.run.trainer))
    finder.require(1, "an image")
    reading = reading_of(config, version, run.split, finder.hparams)

    def look(image: np.ndarray, resolution_m: float) -> tuple[np.ndarray, None]:
        craters = within(found_on(finder, filled(image, missing)[None]), image.shape)
        craters = wanted(craters, finder.hparams, resolution_m)
        craters = with_confidence(craters, reading.calibration, quantities(craters))
        return craters[craters[:, 3] >= reading.threshold], None

    return craters_of_pictures(pictures, look, COLUMNS, workspace)


def seen_in(found: np.ndarray, grid: Grid, box: Box) -> pd.DataFrame:
    """Sightings (SEEN_COLUMNS) whose centres lie in a block or nearly; ``found``: x, y in pixels, radius in metres, strength, look."""
    found = found[nearly_held(np.column_stack([found[:, :2], found[:, 2] / grid.resolution_m]), grid, box)]
    lon, lat = grid.lonlat(found[:, 1], found[:, 0])
    # Azimuthal equidistant: true along the direction from the middle, stretched by c ÷ sin c across it, an angle of c away.
    away = grid.body.distance_m(*box.centre, lon, lat) / grid.body.semi_major_m
    radius_m = found[:, 2] * np.sqrt(np.sinc(away / np.pi))
    return pd.DataFrame({"lon": lon, "lat": lat, "radius_m": radius_m, "strength": found[:, 3], "look": found[:, 4].astype(int)})


def composed(config: Config, products: list[Path]) -> tuple[Hparams, Join]:
    """The row of a map's version, and what makes one list of the blocks' sightings."""
    split, params = map_run(config, NAME).split, params_of(products)
    version = mapped_version(config, NAME, params)
    row = Hparams.own(row_of(config, NAME, version, split))
    reading, members = reading_of(config, version, split, row), len(marks_of(params, version, split))

    def join(products: list[Path], row: Hparams, body: Body) -> pd.DataFrame:
        types = dict.fromkeys(SEEN_COLUMNS, float)
        seen = pd.concat([pd.read_csv(product / CRATERS, dtype=types) for product in products], ignore_index=True)
        return made_of_sightings(seen, params["scales"], params["resolution_m"], members, reading, body)

    return row, join


def made_of_sightings(
    seen: pd.DataFrame, scales: list[float], resolution_m: float, members: int, reading: Certainty, body: Body
) -> pd.DataFrame:
    """Craters of a map above the threshold, the surest first; spreads in kilometres."""
    levels = Levels(tuple(resolution_m / scale for scale in scales), members=members)
    together = joined(seen[list(SEEN_COLUMNS)].to_numpy(float), levels, body)
    craters = with_confidence(together, reading.calibration, quantities(together, resolution_m))
    table = pd.DataFrame(craters, columns=["lon", "lat", "radius_m", *COLUMNS[3:]])
    for name in ("spread_place", "spread_size"):
        table[name] *= table["radius_m"]
    return spreads_in_km(table[table["confidence"] >= reading.threshold].reset_index(drop=True))
