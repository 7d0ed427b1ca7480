"""What a run configuration says about a map of craters, and what its blocks list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import BEST
from ...core.errors import InputError, WorkError
from ...core.files import read_json
from ...geo import layers
from ...geo.bodies import Body
from ...geo.box import Box
from ...geo.grid import Grid
from ...geo.mosaic import Mosaic
from ...samples.brightness import far_from
from ..members import checkpoint_paths, chosen_version, plain_of
from .ground_tiles import degree_m

if TYPE_CHECKING:
    from ...config import Config, MapRun

CRATERS, PREDICTION = "craters.csv", "prediction.npz"


def map_run(config: Config, family: str) -> MapRun:
    run = config.map
    if run is None or family not in run.versions:
        raise InputError("the config makes no map of craters", valid=f"map: {{versions: {{{family}: 1}}}}", next_step="add a 'map' part")
    return run


def map_name(config: Config, family: str) -> str:
    run = map_run(config, family)
    return run.name or f"{family}-{run.versions[family]}_test-set-{run.split}"


def open_mosaic(config: Config, family: str) -> Mosaic:
    run = map_run(config, family)
    path = config.path(run.mosaic) if run.mosaic else config.mosaic
    return layers.open_mosaic(path, config.map_bands)


def mosaic_warnings(config: Config, family: str, versions: Iterable[int]) -> list[str]:
    """How far a map's mosaic is from what the networks of these versions learned from."""
    run, said = map_run(config, family), list[str]()
    with open_mosaic(config, family) as mosaic:
        for version in versions:
            path = next(iter(checkpoint_paths(config, family, version, run.split).values()))
            seen = plain_of(path, family, version)["seen"]
            said += far_from(seen, mosaic, f"version {version}", grey=False, remembered=config.data.statistics)
    return said


def require_sizes(rows: dict[int, Any], resolution_m: float, block_px: int) -> None:
    for version, row in rows.items():
        low, high = row.radii_px(resolution_m)
        if low > block_px / 2:
            raise InputError(
                f"version {version} looks for radii of {low:.4g} to {high:.4g} px in blocks of {block_px} px",
                valid="craters that are smaller than half a block",
                next_step="raise map.options.block_px, or resolution_m",
            )


def cells_of(blocks: Iterable[Box], body: Body, pixel_m: float, margin_px: int, block_px: int) -> Iterator[dict[str, Any]]:
    """Blocks as cells, ``key`` and ``box``: each one of its own, or with its next ones (``boxes``) as long as their tiles together have no
    more pixels than one of ``block_px``, as where a mosaic is so coarse that blocks are small."""
    groups: list[list[Box]] = []
    room, metres = 0.0, degree_m(body)
    for box in blocks:
        wide = 1.0 if box.south <= 0 <= box.north else np.cos(np.radians(min(abs(box.south), abs(box.north))))
        across, down = (box.east - box.west) * wide * metres / pixel_m, (box.north - box.south) * metres / pixel_m
        tile_px = float((across + 2 * margin_px) * (down + 2 * margin_px))
        if tile_px > room:
            groups.append([])
            room = float(block_px**2)
        groups[-1].append(box)
        room -= tile_px
    first = 0
    for group in groups:
        places = [[box.west, box.south, box.east, box.north] for box in group]
        if len(group) == 1:
            yield {"key": f"block_{first:05d}", "box": places[0]}
        else:
            yield {"key": f"blocks_{first:05d}_{first + len(group) - 1:05d}", "boxes": places}
        first += len(group)


def boxes_in(params: dict[str, Any]) -> list[Box]:
    """The blocks of a cell."""
    return [Box(*place) for place in params.get("boxes") or [params["box"]]]


def nearly_held(circles: np.ndarray, grid: Grid, box: Box) -> np.ndarray:
    """Which centres lie in a box or a tenth of their radius off it, 2 px at least: neighbours see the same crater a little elsewhere, and
    one on the border would belong to neither. Doubles are removed when blocks are joined."""
    off = np.maximum(2.0, 0.1 * circles[:, 2])
    down, across = (side.reshape(-1, 1) * off for side in np.meshgrid((-1, 0, 1), (-1, 0, 1)))
    return np.asarray(np.any(box.holds(*grid.lonlat(circles[:, 1] + down, circles[:, 0] + across)), axis=0))


def params_of(products: list[Path]) -> dict[str, Any]:
    """What the blocks of a map were made with; ``WorkError`` where there are none."""
    if not products:
        raise WorkError("no block has been mapped", next_step="see 'cratermill status' for why, then launch the map again")
    made: dict[str, Any] = (read_json(min(products) / "cell.json") or {}).get("params", {})
    return made


def mapped_version(config: Config, family: str, params: dict[str, Any]) -> int:
    """The version that a map shows: the configuration's, or the best of those that its cells were planned with."""
    wanted = map_run(config, family).versions[family]
    return chosen_version(config, family, params["weights"][family]) if wanted == BEST else int(wanted)
