"""What a map of craters consists of, from the configuration and the files that it names; no library of networks is loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import band_marks
from ...core.errors import InputError
from ...craters.sightings import Levels
from ...samples.inputs import digest
from .. import map_options
from ..craters_common.ground_tiles import WIDEST_DEG, WIDEST_MAP_TILE_DEG, boxes, degree_m, extent, is_too_wide
from ..craters_common.maps import cells_of, map_run, mosaic_warnings, open_mosaic
from ..members import Trainings
from .hparams import Hparams

if TYPE_CHECKING:
    from ...config import Config
    from ...geo.bodies import Body
    from .options import MapOptions

NAME = "crater_detector"
MARGIN_PX = 48
"""Around a block, in the pixels of its level: the largest radius that a level sees, and half as much."""
FINEST_MARGINS, COARSER_MARGINS, COARSE_DEG = 4.0, 8.0, 60.0
"""A block is so many times as wide as its margins together, on the finest level and on coarser ones, where that is more than
``WIDEST_DEG``, up to ``COARSE_DEG``: else a coarse level would look at margins above all. At the corners circles are stretched by a tenth,
for which their radii are corrected; networks find less where meridians are turned by more than the 30° of the northernmost blocks."""


def scales_for(row: Hparams, options: MapOptions, body: Body, resolution_m: float) -> list[float]:
    """Scales of a map's levels: the finest, then ever half as fine until the largest craters are seen, or tiles become too wide."""
    largest_px = options.largest_radius_m / resolution_m if options.largest_radius_m else row.radii_px(resolution_m)[1]
    if not np.isfinite(largest_px):
        raise InputError("the row's size_max is no length on this mosaic", next_step="give map.options.largest_radius_m")
    scales = [options.finest_scale]
    seen_px = Levels((1.0,)).largest_px
    while seen_px / scales[-1] < largest_px:
        coarser = row.coarser(scales[-1])
        if is_too_wide(body, MARGIN_PX, resolution_m / coarser):
            break
        scales.append(coarser)
    return scales


def map_cells(config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
    """One cell per block of each level; its params hold all that what is seen there depends on."""
    run, options, trainings = map_run(config, NAME), map_options(config, NAME), trainings or Trainings(config)
    versions = trainings.versions(NAME, run.versions[NAME])
    rows = [Hparams.own(trainings.row(NAME, version, run.split)) for version in versions]
    with open_mosaic(config, NAME) as mosaic:
        resolution, body = options.resolution_m or mosaic.grid.resolution_m, mosaic.grid.body
        area = extent(mosaic.grid, options.latitudes)
        scales = max((scales_for(row, options, body, resolution) for row in rows), key=len)
        source = digest(mosaic.path)
    common = {
        "weights": {NAME: trainings.weights(NAME, run.versions[NAME], run.split)},
        "mosaic": source,
        "bands": band_marks(config.map_bands),
        "scales": scales,
        "resolution_m": resolution,
        "options": options.model_dump(mode="json", exclude={"units", "latitudes", "where", "columns", "layer"}),
    }
    cells = []
    for level, scale in enumerate(scales):
        side_m = min(options.block_px * resolution / scale, widest_deg(body, resolution / scale, level) * degree_m(body))
        for cell in cells_of(boxes(body, area, side_m), body, resolution / scale, MARGIN_PX, options.block_px):
            cells.append({**cell, "key": f"level_{level}_{cell['key']}", "level": level, **common})
    return cells


def widest_deg(body: Body, pixel_m: float, level: int) -> float:
    """Side of the widest blocks of a level in degrees, such that no tile with its margins is too wide."""
    margins = 2 * MARGIN_PX * pixel_m / degree_m(body)
    times = COARSER_MARGINS if level else FINEST_MARGINS
    return float(np.clip(times * margins, WIDEST_DEG, max(WIDEST_DEG, min(COARSE_DEG, WIDEST_MAP_TILE_DEG - margins))))


def map_warnings(config: Config) -> list[str]:
    run = map_run(config, NAME)
    with open_mosaic(config, NAME) as mosaic:
        if mosaic.is_layered:  # what networks see of other rasters isn't their own numbers; maps compare it when they are made
            return []
    return mosaic_warnings(config, NAME, Trainings(config).versions(NAME, run.versions[NAME]))
