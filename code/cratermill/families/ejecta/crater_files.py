"""The files of one crater's map: mask, vote share and probability, connected tiles, facts.

The rasters are windows of the mosaic's grid. In the mask 1 is ejecta, and 0 is none or nobody looked (no nodata value); the bands of
the other are ``vote_share`` and ``probability``, NaN (nodata) where no connected tile lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import WorkError
from ...core.files import read_json, write_json, write_table
from ...geo.cog import write_cog
from ...geo.grid import Grid, Window, hull, pixel_areas_m2
from ...geo.pixel_maps import Link
from ..ejecta_common.stitch import Pieces

if TYPE_CHECKING:
    from ..ejecta_common.craters import Crater

SHARE, PROBABILITY = 0, 1
"""Layers of a crater's pieces, and (plus one) bands of its second raster."""
STRIP_ROWS = 256
KEPT_BITS = 12
"""Of a float's 23 fraction bits: 0.0001 of a share near 1, in three quarters of the space and half the time."""


@dataclass(frozen=True)
class CraterFiles:
    """Names of one crater's files in a folder."""

    folder: Path
    fid: int

    @property
    def mask(self) -> Path:
        return self.folder / f"cylindrical_mask_crater_{self.fid}.tif"

    @property
    def shares(self) -> Path:
        return self.folder / f"vote_share_crater_{self.fid}.tif"

    @property
    def tiles(self) -> Path:
        return self.folder / f"connected_tiles_crater_{self.fid}.csv"

    @property
    def published(self) -> list[Path]:
        """What a user gets; the facts go into the tables."""
        return [self.mask, self.shares, self.tiles]


def facts_path(folder: Path) -> Path:
    return folder / "crater.json"


def read_facts(folder: Path) -> dict:
    facts = read_json(facts_path(folder))
    if not facts:
        raise WorkError(f"{facts_path(folder)} is missing or damaged", next_step=f"remove {folder} and launch the map again")
    return facts


def write_crater(folder: Path, crater: Crater, grid: Grid, pieces: Pieces, connected: pd.DataFrame, tiles: int, threshold: float) -> dict:
    """Write a crater's files from its pieces (2, h, w) on the mosaic's grid; returns its facts.

    ``connected``: those of the ``tiles`` around the crater that hold its ejecta. Without one the rasters hold the crater's own pixel, 0 and
    NaN.
    """
    files, window = CraterFiles(folder, crater.fid), place(crater, grid, pieces)
    masks = [(part, mask_of(values[SHARE], threshold)) for part, values in pieces]
    tags: dict[str, Any] = {"crat_FID": crater.fid, "threshold": threshold}
    write_mask(files, masks, grid, window, tags)
    look: dict[str, Any] = {"bands": 2, "names": ("vote_share", "probability"), "resampling": "average", "tags": tags}
    stored = ((strip, truncated(values)) for strip, values in _strips(pieces))
    write_cog(files.shares, stored, grid, window=window, nodata=np.nan, dtype="float32", **look)
    write_table(files.tiles, connected)
    facts: dict[str, Any] = {"crat_FID": crater.fid, "lon": crater.lon, "lat": crater.lat, "radius_m": crater.radius_m}
    facts |= {"tiles": tiles, "connected": len(connected), "window": [window.row, window.col, window.height, window.width]}
    return write_facts(folder, facts | {"threshold": threshold, "smallest_cluster_px": 0}, masks, grid, crater)


def write_mask(files: CraterFiles, masks: Pieces, grid: Grid, window: Window, tags: dict[str, Any]) -> None:
    write_cog(files.mask, masks, grid, window=window, dtype="uint8", bands=1, names=["ejecta"], tags=tags)


def write_facts(folder: Path, facts: dict[str, Any], masks: Pieces, grid: Grid, crater: Crater) -> dict[str, Any]:
    """The facts of a crater with what its mask says."""
    facts = facts | measure(masks, grid, crater)
    facts["note"] = "" if facts["pixels"] else "no ejecta" if facts["connected"] else "no connected tiles"
    write_json(facts_path(folder), facts)
    return facts


def mask_of(share: np.ndarray, threshold: float) -> np.ndarray:
    """The mean of the members' masks (h, w), thresholded: uint8. The only place where a map is rounded; NaN is no ejecta.

    The threshold is compared as it would be stored, so that a mask cut from saved shares is the same: what is cut down to no less than it
    was no less before.
    """
    return (share >= truncated(np.full(1, threshold, np.float32))).astype(np.uint8)


def truncated(values: np.ndarray) -> np.ndarray:
    """Values cut down to ``KEPT_BITS``, which compress; towards zero, so that none gets over the threshold of one half."""
    return (values.view(np.uint32) & np.uint32(0xFFFFFFFF << (23 - KEPT_BITS) & 0xFFFFFFFF)).view(np.float32)


def place(crater: Crater, grid: Grid, pieces: Pieces) -> Window:
    """The window of the mosaic that holds a crater's pieces: whole rows if they lie on both sides of the seam."""
    if pieces:
        return hull(window for window, _ in pieces)
    row, col = (round(float(value)) for value in grid.rowcol_of_lonlat(crater.lon, crater.lat))
    return Window(min(max(row, 0), grid.height - 1), min(max(col, 0), grid.width - 1), 1, 1)


def measure(masks: Pieces, grid: Grid, crater: Crater) -> dict:
    """Pixels and area of a crater's ejecta, mean (by area) and largest geodesic distance from its centre; no distance without ejecta."""
    areas_m2 = pixel_areas_m2(grid)
    pixels, area_m2, moment, farthest = 0, 0.0, 0.0, None
    for window, mask in _strips(masks):
        if not mask.any():
            continue
        counts = np.count_nonzero(mask, axis=1)
        areas = areas_m2[window.row : window.stop_row]
        distance = np.where(mask, crater_distances_m(window, grid, crater), 0)
        pixels, area_m2 = pixels + int(counts.sum()), area_m2 + float(counts @ areas)
        moment += float(distance.sum(axis=1, dtype=np.float64) @ areas)
        row, col = np.unravel_index(distance.argmax(), distance.shape)
        farthest = max(farthest or (0.0,), (float(distance[row, col]), row + window.row, col + window.col))
    if farthest is None:
        return {"pixels": 0, "area_km2": 0.0, "mean_extent_m": None, "max_extent_m": None}
    largest = float(grid.body.distance_m(crater.lon, crater.lat, *grid.lonlat(*farthest[1:])))
    return {"pixels": pixels, "area_km2": area_m2 / 1e6, "mean_extent_m": moment / area_m2, "max_extent_m": largest}


def _strips(pieces: Pieces) -> Iterator[tuple[Window, np.ndarray]]:
    """Pieces (h, w) or (K, h, w) a few rows at a time."""
    for window, values in pieces:
        for start in range(0, window.height, STRIP_ROWS):
            part = values[..., start : start + STRIP_ROWS, :]
            yield Window(window.row + start, window.col, part.shape[-2], window.width), part


def crater_distances_m(window: Window, grid: Grid, crater: Crater) -> np.ndarray:
    """Geodesic distance from the crater of the mosaic's pixels, (h, w) float32, good to a thousandth of a pixel: an azimuthal radius."""
    azimuthal = crater.grid(grid)
    link = Link(azimuthal, grid)
    rows, cols = link.tile_positions(Window(window.row, window.col - link.anchor, window.height, window.width))
    centre = np.float32((azimuthal.height - 1) / 2)
    return np.hypot(rows - centre, cols - centre) * np.float32(azimuthal.resolution_m)
