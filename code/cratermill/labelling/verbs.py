"""What ``cratermill label`` does, verb by verb: each opens the data of a configuration or a map, and lays tiles out or takes them in."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..analysis.masks import Mask, mask_files
from ..config import Tiles
from ..core.errors import InputError
from ..core.files import write_table
from ..core.frames import rows_of
from ..core.paths import DataFolder
from ..families.ejecta_common.craters import Crater, choose, read_craters
from ..geo.mosaic import Mosaic
from ..samples.inputs import digest
from .bring_in import Found, bring_in, look
from .drawing_folder import DrawingFolder, Tile
from .drawn_polygons import read_outlines
from .ground import Ground, drawn_tiles, spread_over_sizes, stratified, usual_tile
from .suggest import brightness, candidates, suggest
from .tiles_to_draw import Content, Desk, nothing

if TYPE_CHECKING:
    from ..geo.grid import Grid

DRAWN_BEFORE = "drawn before"


@dataclass(frozen=True)
class Sources:
    """The data folder that drawn tiles belong to, its mosaic and crater list. ``tiles``: how far from their craters tiles may lie."""

    data: DataFolder
    mosaic: Path
    craters: Path
    tiles: Tiles = Tiles()


@dataclass(frozen=True)
class Studio:
    """Sources that are open: the mosaic's grid and its craters, and the folder to draw in."""

    sources: Sources
    grid: Grid
    craters: dict[int, Crater]
    folder: DrawingFolder

    @property
    def desk(self) -> Desk:
        return Desk(self.folder, self.sources.mosaic, self.sources.craters, self.grid)

    def ground(self, tile_px: tuple[int, int] | None = None) -> Ground:
        half = self.grid.body.half_circumference_m
        reach = {fid: self.sources.tiles.max_distance_m(fid, half) for fid in self.craters}
        return Ground(self.grid, self.craters, tile_px or usual_tile(self.sources.data, self.grid), reach)

    def chosen(self, fids: list[int] | None) -> list[Crater]:
        return choose(sorted(self.craters.values(), key=lambda crater: crater.fid), "all" if fids is None else fids)

    def drawn_before(self, tile: Tile) -> tuple[np.ndarray, str]:
        """What the data hold in a tile already."""
        return self.content_of(self.sources.data.mask(tile.fid), DRAWN_BEFORE)(tile)

    def content_of(self, path: Path, source: str) -> Content:
        if not path.exists():
            return nothing
        mask = Mask.open(0, path, self.grid)

        def content(tile: Tile) -> tuple[np.ndarray, str]:
            pixels = mask.read(tile.window).astype(np.uint8)
            return (pixels, source) if pixels.any() or source != DRAWN_BEFORE else nothing(tile)

        return content


@contextmanager
def opened(sources: Sources, into: Path | None = None) -> Iterator[Studio]:
    for path, what in ((sources.mosaic, "mosaic"), (sources.craters, "crater list")):
        if not path.exists():
            raise InputError(
                f"there is no {what} {path}", valid="a data folder with a mosaic and a crater list", next_step="see docs/data.md"
            )
    with Mosaic.open(sources.mosaic) as mosaic:
        craters = {crater.fid: crater for crater in read_craters(sources.craters, mosaic)}
        yield Studio(sources, mosaic.grid, craters, DrawingFolder(into or sources.data.drawing))


@dataclass(frozen=True)
class Amount:
    """``tiles``: of each crater, those drawn before counted. ``most``: craters, spread over all sizes, where none are named."""

    tiles: int = 10
    most: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tiles < 1 or self.most < 1 or self.seed < 0:
            raise InputError(
                f"{self.tiles} tiles of {self.most} craters, seed {self.seed}", valid="one tile and one crater at least, a seed from 0"
            )


USUAL = Amount()


def start(
    sources: Sources,
    into: Path | None = None,
    craters: list[int] | None = None,
    tile_px: tuple[int, int] | None = None,
    amount: Amount = USUAL,
) -> tuple[DrawingFolder, list[Tile]]:
    """Lay out blank tiles around craters, spread over distance and overlap; returns the folder and the new tiles."""
    with opened(sources, into) as studio:
        ground = studio.ground(tile_px)
        fids = [crater.fid for crater in studio.chosen(craters)]
        if craters is None:
            fids = spread_over_sizes(studio.craters.values(), amount.most, amount.seed)
        laid = set(studio.folder.starts())
        tiles: list[Tile] = []
        for fid in fids:
            before = {*drawn_tiles(sources.data, fid), *(tile for tile in laid if tile.fid == fid)}
            tiles += stratified(ground, fid, amount.tiles, before, amount.seed)
        if not tiles and not laid:
            raise InputError(
                f"no tile is left to draw: each of the {len(fids)} craters has {amount.tiles} or more, or none within reach",
                next_step="ask for more (--tiles), for other craters (--craters), or set tiles.max_distance_fraction",
            )
        return studio.folder, studio.desk.lay(tiles, studio.drawn_before)


def correct(
    sources: Sources, map_folder: Path, into: Path | None = None, craters: list[int] | None = None, amount: Amount = USUAL
) -> tuple[DrawingFolder, list[Tile]]:
    """Lay out tiles that begin with a map's ejecta, to be put right; spread like blank ones, and never those drawn before.

    Those of the same map that lie in the folder count, so that the same command lays out nothing more.
    """
    files = mask_files(map_folder)
    with opened(sources, into) as studio:
        fids = [crater.fid for crater in studio.chosen(craters if craters is not None else sorted(set(files) & set(studio.craters)))]
        missing = [fid for fid in fids if fid not in files]
        if missing:
            raise InputError(f"{map_folder} has no masks of the craters {missing}", valid=f"craters of the map: {sorted(files)[:20]}")
        ground, starts = studio.ground(), studio.folder.starts()
        tiles: list[Tile] = []
        contents: dict[int, Content] = {}
        for fid in fids:
            source = f"map {map_folder.name} {digest(files[fid])[:16]}"
            laid = {tile: start.source for tile, start in starts.items() if tile.fid == fid}
            before = {*drawn_tiles(sources.data, fid), *laid}
            others = len(before) - list(laid.values()).count(source)
            tiles += stratified(ground, fid, amount.tiles + others, before, amount.seed)
            contents[fid] = studio.content_of(files[fid], source)
        return studio.folder, studio.desk.lay(tiles, lambda tile: contents[tile.fid](tile))


def take_in(
    sources: Sources, drawing: Path | None = None, by: str | None = None, touched: bool = False, dry_run: bool = False
) -> tuple[Found, list[Path]]:
    """Judge what came back, and unless it is a dry run add it to the data; returns what was found and which files were written."""
    with opened(sources, drawing) as studio:
        found = look(studio.folder, studio.grid, studio.craters, touched)
        if dry_run:
            return found, []
        return found, bring_in(sources.data, studio.grid, studio.craters, studio.folder, found, by or getpass.getuser())


def from_polygons(
    sources: Sources, path: Path, looked: Path | None = None, into: Path | None = None, tile_px: tuple[int, int] | None = None
) -> tuple[DrawingFolder, list[Tile]]:
    """Make masks and complete tiles of polygons with ``crat_FID``; ``looked``: ground in which all of their ejecta was drawn."""
    with opened(sources, into) as studio:
        ground, new = studio.ground(tile_px), []
        for outlines in read_outlines(path, studio.grid.body, studio.craters, looked):
            held = dict(outlines.tiles(ground))
            new += studio.desk.lay(held, partial(_of, held, f"polygons {path.name}"), complete=True)
        if not new and not studio.folder.starts():
            raise InputError(
                f"{path} meets no tile within reach of its craters", next_step="check crat_FID, and tiles.max_distance_fraction"
            )
        return studio.folder, new


def _of(pixels: dict[Tile, np.ndarray], source: str, tile: Tile) -> tuple[np.ndarray, str]:
    return pixels[tile], source


def next_tiles(
    sources: Sources, map_folder: Path | None, count: int, craters: list[int] | None = None, into: Path | None = None
) -> tuple[DrawingFolder, pd.DataFrame]:
    """Lay out the tiles whose drawing would teach most; returns the folder and the table of them, which lies there as suggested.csv."""
    with opened(sources, into) as studio, Mosaic.open(sources.mosaic) as mosaic:
        ground = studio.ground()
        fids = [crater.fid for crater in studio.chosen(craters)]
        found = candidates(ground, brightness(mosaic, ground), fids, map_folder)
        drawn = {*studio.folder.starts(), *(tile for fid in fids for tile in drawn_tiles(sources.data, fid))}
        table = suggest(found, drawn, count)
        if table.empty:
            raise InputError(f"no tile of the {len(fids)} craters is left to draw", next_step="name other craters: --craters")
        tiles = [Tile(int(row.crat_FID), int(row.y), int(row.x), int(row.height), int(row.width)) for row in rows_of(table)]
        studio.desk.lay(tiles, studio.drawn_before)
        write_table(studio.folder.suggestions, table)
        return studio.folder, table
