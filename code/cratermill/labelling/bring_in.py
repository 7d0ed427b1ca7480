"""What came back from drawing: looked at tile by tile, and added to the data that networks learn from."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..analysis.masks import Mask
from ..core.delimited import read_frame
from ..core.errors import InputError
from ..core.files import write_table
from ..core.frames import rows_of
from ..core.locks import held
from ..core.paths import DataFolder
from ..craters.catalogue import write_catalogue
from ..craters.columns import fids
from ..families.ejecta_common.craters import Crater
from ..families.ejecta_common.tile_positions import read_positions
from ..geo.grid import Grid, Window
from .drawing_folder import DrawingFolder, Start, Tile, digest_of
from .sparse_masks import Edited, mask_blocks, write_mask
from .tile_lists import read_frames, read_list

if TYPE_CHECKING:
    from collections.abc import Iterable

LOG_COLUMNS = ["time", "by", "crat_FID", "pos_index", "x", "y", "width", "height", "ejecta_px", "source", "folder", "pixels_sha256"]
Place = tuple[int, int, int, int]
POSITIONS = ["pos_index", "x", "y", "height", "width"]


@dataclass(frozen=True)
class Drawn:
    """A tile that is complete: its pixels (h, w), and where they began."""

    tile: Tile
    pixels: np.ndarray
    source: str


@dataclass
class Found:
    """What a folder holds: complete tiles, half-drawn ones, those that nobody touched, and remarks."""

    drawn: list[Drawn] = field(default_factory=list)
    half: list[Tile] = field(default_factory=list)
    untouched: list[Tile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(folder: DrawingFolder, grid: Grid, known: Iterable[int], touched: bool = False) -> Found:
    """Judge every tile of a folder. ``known``: FIDs of the crater list. ``touched``: tiles that were changed count as complete."""
    folder.require()
    found, starts, done = Found(), folder.starts(), read_frames(folder.frames)
    for fid in folder.fids():
        if fid not in set(known):
            given = f"{folder.tiles(fid)} is of a crater {fid} that the crater list lacks"
            raise InputError(given, next_step="name the list it was made with")
        tiles = read_list(folder, fid, grid)
        found.notes += _edited_by_hand(tiles, {tile for tile in starts if tile.fid == fid}, {tile for tile in done if tile.fid == fid})
        with Edited(folder.mask(fid), grid) as mask:
            inside = _judge(mask, {tile: one or tile in done for tile, one in tiles.items()}, starts, touched, found)
            outside = mask.pixels_drawn() - inside
        if outside > 0:
            found.notes.append(f"crater {fid}: {outside} pixels were painted outside its tiles, and are left out")
    for tile in found.half:
        found.notes.append(f"crater {tile.fid}: the tile at x {tile.x}, y {tile.y} is half-drawn: changed, but not marked as complete")
    return found


def _edited_by_hand(listed: Iterable[Tile], laid: set[Tile], done: set[Tile]) -> list[str]:
    """Remarks on places of a crater's list that nobody laid out: added, or edited, on purpose or by mistake."""
    listed, sizes = set(listed), {(tile.x, tile.y): f"one of {tile.width} × {tile.height}" for tile in laid}

    def said(tile: Tile) -> str:
        return f"of {tile.width} × {tile.height} pixels at x {tile.x}, y {tile.y}"

    notes = [
        f"crater {tile.fid}: the list has a tile {said(tile)}, where {sizes.get((tile.x, tile.y), 'none')} was laid out; it counts as a "
        "tile of its own"
        for tile in sorted(listed - laid)
    ]
    lost = [f"crater {tile.fid}: tiles.gpkg has the tile {said(tile)} as done, but the list lacks it" for tile in sorted(done - listed)]
    return notes + [f"{note}; it is left out" for note in lost]


def _judge(mask: Edited, tiles: dict[Tile, bool], starts: dict[Tile, Start], touched: bool, found: Found) -> int:
    """Sort a crater's tiles into ``found``; returns how many pixels they hold together (tiles may overlap)."""
    union: dict[tuple[int, int], np.ndarray] = {}
    for tile, complete in tiles.items():
        pixels, hidden = mask.read(tile.window)
        start = starts.get(tile, Start(digest_of(np.zeros_like(pixels))))
        changed = digest_of(pixels) != start.digest
        if hidden and (complete or changed):
            found.half.append(tile)
        elif complete or (changed and touched):
            found.drawn.append(Drawn(tile, pixels, start.source))
        else:
            (found.half if changed else found.untouched).append(tile)
        union[(tile.y, tile.x)] = pixels
    return _pixels_of(union)


def _pixels_of(tiles: dict[tuple[int, int], np.ndarray]) -> int:
    places = [np.argwhere(pixels) + corner for corner, pixels in tiles.items()]
    together = np.concatenate(places) if places else np.zeros((0, 2), int)
    return len(np.unique(together, axis=0))


def bring_in(data: DataFolder, grid: Grid, craters: dict[int, Crater], folder: DrawingFolder, found: Found, by: str) -> list[Path]:
    """Add complete tiles to masks, tile lists and crater list of a data folder, and note who drew them; returns the files written."""
    if not found.drawn:
        return []
    with held(data.lock, "takes drawn tiles in", wait_s=600):
        numbers = _numbered(data, [one.tile for one in found.drawn])
        windows = list(dict.fromkeys(one.tile.window for one in found.drawn))
        residue = _of_none(data, grid, windows, found.drawn) if data.human_mask.exists() else None
        written: list[Path] = []
        for fid in sorted({one.tile.fid for one in found.drawn}):
            drawn = [one for one in found.drawn if one.tile.fid == fid]
            blocks = [*mask_blocks(data.mask(fid), grid), *((one.tile.window, one.pixels) for one in drawn)]
            written += [write_mask(data.mask(fid), grid, blocks), _write_positions(data, craters[fid], drawn, numbers)]
        if residue is not None:
            written.append(_write_joint(data, grid, windows, residue))
        written.append(_add_positions(data.human_positions, found.drawn, numbers))
        written += [_log(data, folder, found.drawn, numbers, by), *_mark_train(data.craters, {one.tile.fid for one in found.drawn})]
    return written


# --- tile lists ----------------------------------------------------------------------------------------------------------


def _numbered(data: DataFolder, tiles: list[Tile]) -> dict[Place, int]:
    """``pos_index`` of places on the mosaic: the same for all craters; new places get new numbers."""
    known: dict[Place, int] = {}
    highest = -1
    for path in (data.human_positions, *sorted(data.positions(0).parent.glob("positions_crater_*.csv"))):
        for row in rows_of(read_positions(path)) if path.exists() else ():
            known.setdefault((int(row.x), int(row.y), int(row.width), int(row.height)), int(row.pos_index))
            highest = max(highest, int(row.pos_index))
    for tile in tiles:
        if tile.place not in known:
            highest += 1
            known[tile.place] = highest
    return known


def _write_positions(data: DataFolder, crater: Crater, drawn: list[Drawn], numbers: dict[Place, int]) -> Path:
    path = data.positions(crater.fid)
    if crater.train and not path.exists() and data.human_positions.exists():
        # Until now the list of all tiles stood for this crater's own.
        write_table(path, read_positions(data.human_positions))
    return _add_positions(path, drawn, numbers)


def _add_positions(path: Path, drawn: list[Drawn], numbers: dict[Place, int]) -> Path:
    table = read_positions(path) if path.exists() else pd.DataFrame(columns=POSITIONS)
    there = set(table["pos_index"].astype(int))
    new = dict.fromkeys((numbers[one.tile.place], one.tile.place) for one in drawn)
    rows = [(number, x, y, height, width) for number, (x, y, width, height) in new if number not in there]
    added = pd.DataFrame(rows, columns=POSITIONS)
    return write_table(path, pd.concat([table, added], ignore_index=True) if len(table) else added)


# --- the mask of any crater's ejecta ---------------------------------------------------------------------------------------


def _of_none(data: DataFolder, grid: Grid, windows: list[Window], drawn: list[Drawn]) -> dict[Window, np.ndarray]:
    """What the joint mask holds in each window beside the former ejecta of the craters that are drawn anew there."""
    joint = Mask.open(0, data.human_mask, grid)
    found = {window: joint.read(window) for window in windows}
    joint.close()
    for fid in {one.tile.fid for one in drawn}:
        if data.mask(fid).exists():
            mask = Mask.open(fid, data.mask(fid), grid)
            for window in {one.tile.window for one in drawn if one.tile.fid == fid}:
                found[window] &= ~mask.read(window)
            mask.close()
    return found


def _write_joint(data: DataFolder, grid: Grid, windows: list[Window], residue: dict[Window, np.ndarray]) -> Path:
    """Add every crater's ejecta, the new ones among them, to what is left."""
    for path in sorted(data.mask(0).parent.glob("mask_crater_*.tif")):
        mask = Mask.open(0, path, grid)
        for window in windows:
            residue[window] |= mask.read(window)
        mask.close()
    return write_mask(data.human_mask, grid, [*mask_blocks(data.human_mask, grid), *residue.items()])


# --- who drew what, and the crater list ------------------------------------------------------------------------------------


def _log(data: DataFolder, folder: DrawingFolder, drawn: list[Drawn], numbers: dict[Place, int], by: str) -> Path:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    where = folder.root.name
    rows = [
        (now, by, one.tile.fid, numbers[one.tile.place], *one.tile.place, int(one.pixels.sum()), one.source, where, digest_of(one.pixels))
        for one in drawn
    ]
    path, new = data.drawing_log, pd.DataFrame(rows, columns=LOG_COLUMNS)
    return write_table(path, pd.concat([read_frame(path), new], ignore_index=True) if path.exists() else new)


def _mark_train(path: Path, drawn: set[int]) -> list[Path]:
    """Set ``train`` of the craters that were drawn; everything else in the list stays. Nothing is written where it is so already."""
    import geopandas

    if path.suffix not in (".csv", ".gpkg", ".shp", ".geojson"):
        raise InputError(f"train can't be set in {path}", valid="a crater list as .gpkg, .shp, .geojson or .csv")
    text = path.suffix == ".csv"
    table = read_frame(path, texts=True) if text else geopandas.read_file(path)
    numbers, _ = fids(read_frame(path) if text else table, path)
    before = pd.to_numeric(table["train"], errors="coerce").fillna(0).astype(int) if "train" in table else pd.Series(0, table.index)
    now = before.where(~np.isin(np.asarray(numbers), sorted(drawn)), 1)
    if "train" in table and (now == before).all():
        return []
    table["train"] = now.astype(str) if text else now
    return [write_table(path, table) if text else write_catalogue(path, table.rename(columns={"crat_FID": "FID"}))]
