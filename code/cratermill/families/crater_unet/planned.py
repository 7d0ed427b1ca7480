"""What a map of craters consists of, from the configuration and the files that it names; no library of networks is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import BEST, band_marks
from ...core.errors import InputError
from ...geo.box import Box
from ...samples.inputs import digest
from .. import map_options
from ..craters_common.ground_tiles import WIDEST_DEG, around, box_rows, columns_of, degree_m, extent
from ..craters_common.maps import cells_of, map_run, mosaic_warnings, open_mosaic, require_sizes
from ..members import Trainings
from .hparams import Hparams
from .reading import USUAL, Reading, forward_px, given_thresholds

if TYPE_CHECKING:
    from ...config import Config
    from ...geo.bodies import Body
    from ..craters_common.options import MapOptions

NAME = "crater_unet"
BLOCK_SHARES, NEARLY = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5), 1.05
"""Sides of blocks that are looked at, as shares of the option's, and how many times the fewest pixels are as good."""


def mapped_rows(config: Config, trainings: Trainings) -> dict[int, Hparams]:
    """The rows whose networks are needed: the map's, those that it joins, or all among which the best will be chosen."""
    run = map_run(config, NAME)
    rows = {version: Hparams.own(trainings.row(NAME, version, run.split)) for version in trainings.versions(NAME, run.versions[NAME])}
    if run.versions[NAME] == BEST:
        return {version: row for version, row in rows.items() if not row.union_of}
    joined = next(iter(rows.values())).union_of
    return {version: Hparams.own(trainings.row(NAME, version, run.split)) for version in joined} if joined else rows


def map_cells(config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
    """One cell per block; its params hold all that its craters depend on."""
    run, options, trainings = map_run(config, NAME), map_options(config, NAME), trainings or Trainings(config)
    rows = mapped_rows(config, trainings)
    with open_mosaic(config, NAME) as mosaic:
        resolution = options.resolution_m or mosaic.grid.resolution_m
        area = extent(mosaic.grid, options.latitudes)
        body = mosaic.grid.body
        require_sizes(rows, resolution, options.block_px)
        blocks = fitted_blocks(body, area, options, resolution, rows.values())
        cells = cells_of(blocks, body, resolution, margin_of(rows.values(), resolution), options.block_px)
        source = digest(mosaic.path)
    if run.versions[NAME] == BEST:
        weights = trainings.weights(NAME, BEST, run.split)
        weights = {version: weights[version] for version in map(str, rows)}
    else:
        weights = {str(version): {str(run.split): trainings.marks(NAME, version, run.split)} for version in rows}
    require_several(options, weights, run.split)
    common = {
        "versions": list(rows),
        "weights": {NAME: weights},
        "thresholds": {str(version): thresholds_mark(trainings, version, run.split, row) for version, row in rows.items()},
        "mosaic": source,
        "bands": band_marks(config.map_bands),
        "options": options.model_dump(mode="json", exclude={"units", "latitudes", "where", "columns"}),
    }
    return [{**cell, **common} for cell in cells]


def require_several(options: MapOptions, weights: dict[str, Any], split: int) -> None:
    """Raise ``InputError`` where the networks of a version are to be compared, and it has one, or several versions are joined."""
    if options.agreement and (len(weights) > 1 or any(len(marks[str(split)]) < 2 for marks in weights.values())):
        given = "several versions" if len(weights) > 1 else f"one training of version {next(iter(weights))}"
        raise InputError(
            f"map.options.agreement with {given}",
            valid="one version with several iterations",
            next_step="raise trainings_per_test and train, or leave it out; versions that are joined have votes of their own",
        )


def margin_of(rows: Iterable[Hparams], resolution_m: float) -> int:
    """Pixels around a block that show the craters of all these rows whole."""
    return max(Reading.of({}).margin_px(row, resolution_m) for row in rows)


def fitted_blocks(body: Body, area: Box, options: MapOptions, resolution: float, rows: Iterable[Hparams]) -> list[Box]:
    """The area in blocks of ``options.block_px`` or up to half less in height and width: the highest for which next to the fewest pixels go
    through the networks, since tiles and windows are multiples of what networks halve; each row of them as wide as is best there."""
    rows = list(rows)
    margin = margin_of(rows, resolution)
    divisor = max(row.divisor for row in rows)

    def pixels(row: Box, columns: int) -> int:
        shape = around(body, next(columns_of(row, columns)), resolution, margin, divisor).shape  # a row's are alike
        return columns * forward_px(shape, options.window_px, options.overlap, divisor)

    whole = min(options.block_px * resolution, WIDEST_DEG * degree_m(body))
    cuts: dict[float, list[tuple[int, Box, int]]] = {}
    for side_m in (whole * share for share in BLOCK_SHARES):
        cuts[side_m] = []
        for row, fewest in box_rows(body, area, side_m):
            tried = sorted({int(np.ceil(fewest / share)) for share in BLOCK_SHARES})
            cuts[side_m].append(min(((pixels(row, columns), row, columns) for columns in tried), key=lambda one: one[0]))
    costs = {side_m: sum(cost for cost, *_ in cut) for side_m, cut in cuts.items()}
    highest = max(side_m for side_m, cost in costs.items() if cost <= min(costs.values()) * NEARLY)
    return [box for _, row, columns in cuts[highest] for box in columns_of(row, columns)]


def thresholds_mark(trainings: Trainings, version: int, split: int, row: Hparams) -> Any:
    """What the thresholds follow from by which craters are read: the row's own, and the evaluations that choose the others."""
    given, levels = given_thresholds(row), [row.levels] if row.levels > 1 else []
    return [given, {} if len(given) == len(USUAL) else trainings.evaluations(NAME, version, split), *levels]


def map_warnings(config: Config) -> list[str]:
    return mosaic_warnings(config, NAME, mapped_rows(config, Trainings(config)))
