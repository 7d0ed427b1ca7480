"""Laying tiles out to be drawn: masks with what is known already, lists, rectangles, and a QGIS project that opens all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.files import read_json
from ..craters.catalogue import read_catalogue, write_catalogue
from ..geo.grid import Grid
from ..report.qgis import NOTHING, MapLayer, write_project
from .drawing_folder import BLANK, DrawingFolder, Start, Tile, by_crater, digest_of
from .sparse_masks import repaint, write_mask
from .tile_lists import read_list, write_frames, write_list

TILE, EJECTA = "#ffff00", {0: NOTHING, 1: "#ff8c00"}
Content = Callable[[Tile], tuple[np.ndarray, str]]
"""The pixels (h, w) that a tile begins with, and where they come from."""


def nothing(tile: Tile) -> tuple[np.ndarray, str]:
    """A blank tile."""
    return np.zeros((tile.height, tile.width), np.uint8), BLANK


@dataclass(frozen=True)
class Desk:
    """Where drawing goes on: a folder, and the mosaic and craters that it shows."""

    folder: DrawingFolder
    mosaic: Path
    craters: Path
    grid: Grid

    def lay(self, tiles: Iterable[Tile], content: Content = nothing, complete: bool = False) -> list[Tile]:
        """Add tiles that aren't there yet, in the given order; masks and lists that are there keep what was drawn. Returns the new ones."""
        self._require_same_mosaic()
        starts = self.folder.starts()
        new = [tile for tile in dict.fromkeys(tiles) if tile not in starts]
        for fid, own in by_crater(new).items():
            starts |= self._lay_crater(fid, own, content, complete)
        self.folder.remember(starts, str(self.mosaic.resolve()))
        self._show()
        return new

    def _lay_crater(self, fid: int, tiles: list[Tile], content: Content, complete: bool) -> dict[Tile, Start]:
        path, known = self.folder.mask(fid), {}
        listed = read_list(self.folder, fid, self.grid) if self.folder.tiles(fid).exists() else {}
        if not path.exists():
            write_mask(path, self.grid)
        starts = {}
        for tile in tiles:
            pixels, source = content(tile)
            known[tile] = pixels
            # Complete from the start (polygons): what it held before anybody drew is nothing.
            starts[tile] = Start(digest_of(np.zeros_like(pixels) if complete else pixels), source)
        painted = [(tile.window, pixels) for tile, pixels in known.items() if pixels.any()]
        if painted:
            repaint(path, self.grid, painted)
        write_list(self.folder, fid, [*listed.items(), *((tile, complete) for tile in tiles if tile not in listed)])
        return starts

    def _require_same_mosaic(self) -> None:
        before = read_json(self.folder.record, {}).get("mosaic")
        if before and before != str(self.mosaic.resolve()):
            raise InputError(
                f"{self.folder.root} was begun on the mosaic {before}, not on {self.mosaic}",
                valid="one mosaic in each folder to draw in",
                next_step="name another folder: --into FOLDER",
            )

    def _show(self) -> None:
        every = {tile: done for fid in self.folder.fids() for tile, done in read_list(self.folder, fid, self.grid).items()}
        write_frames(self.folder.frames, every, self.grid)
        write_catalogue(self.folder.rims, read_catalogue(self.craters, self.grid.body), self.grid.body)
        masks = [self.folder.mask(fid) for fid in self.folder.fids()]
        degrees, own = self.grid.body.geographic_crs(), self.grid.crs
        layers = [
            MapLayer(self.folder.rims, "rims", "outlines", degrees),
            MapLayer(self.folder.frames, "tiles", "outlines", own, TILE, table="tiles"),
        ]
        layers += [MapLayer(path, path.stem, "numbers", own, colours=EJECTA, group="masks", opacity=0.5) for path in masks]
        write_project(self.folder.project, "Drawing ejecta", self.grid, [*layers, MapLayer(self.mosaic, "mosaic", "picture", own)])
