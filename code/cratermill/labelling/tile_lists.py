"""Lists of tiles as QClassiPy takes them: ``filename`` of the mask, ``priority``, and integer ``x, y, width, height``.

A priority of 0 says that the tile is complete; so the plugin writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.delimited import read_frame
from ..core.errors import InputError
from ..core.files import atomic_path, write_table
from ..core.frames import rows_of
from ..geo.geopackage import keep_authority
from ..geo.grid import Grid
from .drawing_folder import DrawingFolder, Tile

if TYPE_CHECKING:
    import pandas as pd

COMPLETE, OPEN = 0, 1
PLACE = ("x", "y", "width", "height")


def write_list(folder: DrawingFolder, fid: int, tiles: Iterable[tuple[Tile, bool]]) -> Path:
    """Tiles of one crater, most useful first, and whether each is complete."""
    import pandas as pd

    rows = [(str(folder.mask(fid).resolve()), COMPLETE if complete else OPEN, *tile.place) for tile, complete in tiles]
    return write_table(folder.tiles(fid), pd.DataFrame(rows, columns=["filename", "priority", *PLACE]))


def read_list(folder: DrawingFolder, fid: int, grid: Grid) -> dict[Tile, bool]:
    """Tiles of one crater, and whether they are complete; ``InputError`` for a list that was edited into something else."""
    path = folder.tiles(fid)
    table = read_frame(path)
    missing = [name for name in ("priority", *PLACE) if name not in table]
    if missing:
        raise InputError(
            f"{path} lacks the columns {missing}; it has {list(table.columns)}", valid=f"filename, priority, {', '.join(PLACE)}"
        )
    found: dict[Tile, bool] = {}
    for number, row in enumerate(rows_of(table), start=1):
        x, y, width, height, priority = (_whole(path, number, name, getattr(row, name)) for name in (*PLACE, "priority"))
        tile = Tile(fid, y, x, height, width)
        _require_inside(path, number, tile, grid)
        if tile in found:
            raise InputError(f"{path}, row {number}: the tile at x {x}, y {y} is listed twice", next_step="remove one of the two rows")
        found[tile] = priority == COMPLETE
    return found


def _whole(path: Path, number: int, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not float(value).is_integer():
        raise InputError(f"{path}, row {number}: {name} is {value!r}", valid="a whole number", next_step="correct this row")
    return int(value)


def _require_inside(path: Path, number: int, tile: Tile, grid: Grid) -> None:
    inside = tile.width > 0 and tile.height > 0 and tile.y >= 0 and tile.x >= 0
    if not inside or tile.y + tile.height > grid.height or tile.x + tile.width > grid.width:
        raise InputError(
            f"{path}, row {number}: a tile of {tile.width} × {tile.height} pixels at x {tile.x}, y {tile.y}",
            valid=f"tiles inside the mosaic's {grid.width} columns and {grid.height} rows",
            next_step="correct this row, or remove it",
        )


def write_frames(path: Path, tiles: dict[Tile, bool], grid: Grid) -> Path:
    """All tiles as rectangles in the mosaic's CRS, with ``done``."""
    import geopandas
    import shapely

    rows = [(tile.fid, *tile.place, int(complete)) for tile, complete in tiles.items()]
    frame = geopandas.GeoDataFrame(
        dict(zip(("crat_FID", *PLACE, "done"), zip(*rows, strict=True), strict=True)) if rows else {},
        geometry=[shapely.box(*grid.window(tile.window).bounds) for tile in tiles],
        crs=grid.crs,
    )
    with atomic_path(path) as temporary:
        frame.to_file(temporary, layer="tiles")
        keep_authority(temporary, frame.crs)
    return path


def read_frames(path: Path) -> set[Tile]:
    """Tiles that somebody marked as done in QGIS."""
    if not path.exists():
        return set()
    import geopandas

    table: pd.DataFrame = geopandas.read_file(path, ignore_geometry=True)
    missing = [name for name in ("crat_FID", "done", *PLACE) if name not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {missing}", valid="the file that label start wrote, with the column done edited")
    done = table[table["done"].fillna(0).astype(float) > 0]
    return {Tile(int(row.crat_FID), int(row.y), int(row.x), int(row.height), int(row.width)) for row in rows_of(done)}
