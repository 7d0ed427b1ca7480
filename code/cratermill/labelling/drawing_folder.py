"""A folder to draw in: masks that are edited in place, the lists of their tiles, and what each tile held at the start."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.files import read_json, write_json
from ..geo.grid import Window

LIST_NAME = re.compile(r"tiles_crater_(\d+)\.csv")
BLANK = "blank"


@dataclass(frozen=True, order=True)
class Tile:
    """A tile of the mosaic in which one crater's ejecta are drawn; pixels, ``x, y`` of its top-left corner."""

    fid: int
    y: int
    x: int
    height: int
    width: int

    @property
    def window(self) -> Window:
        return Window(self.y, self.x, self.height, self.width)

    @property
    def place(self) -> tuple[int, int, int, int]:
        return self.x, self.y, self.width, self.height


@dataclass(frozen=True)
class Start:
    """What a tile held before anybody drew: a digest of its pixels, and where they came from (``blank``, ``drawn before``, a map)."""

    digest: str
    source: str = BLANK


@dataclass(frozen=True)
class DrawingFolder:
    """Names of the files in a folder to draw in."""

    root: Path

    def mask(self, fid: int) -> Path:
        return self.root / f"mask_crater_{fid}.tif"

    def tiles(self, fid: int) -> Path:
        return self.root / f"tiles_crater_{fid}.csv"

    @property
    def frames(self) -> Path:
        """The tiles as rectangles, for QGIS; their column ``done`` may be edited there."""
        return self.root / "tiles.gpkg"

    @property
    def rims(self) -> Path:
        return self.root / "rims.gpkg"

    @property
    def project(self) -> Path:
        return self.root / "drawing.qgz"

    @property
    def suggestions(self) -> Path:
        return self.root / "suggested.csv"

    @property
    def record(self) -> Path:
        return self.root / "drawing.json"

    def fids(self) -> list[int]:
        """Craters with a list of tiles."""
        found = (LIST_NAME.fullmatch(path.name) for path in self.root.glob("tiles_crater_*.csv")) if self.root.is_dir() else ()
        return sorted(int(match[1]) for match in found if match)

    def require(self) -> None:
        if not self.fids() or not self.record.exists():
            raise InputError(
                f"{self.root} is no folder to draw in",
                valid="a folder that 'cratermill label start' made: tiles_crater_{FID}.csv, mask_crater_{FID}.tif, drawing.json",
                next_step="make one: cratermill label start CONFIG",
            )

    def starts(self) -> dict[Tile, Start]:
        """What is known of each tile's beginning; tiles that people add themselves have none."""
        rows = read_json(self.record, {}).get("tiles", [])
        return {Tile(*(row[name] for name in ("fid", "y", "x", "height", "width"))): Start(row["digest"], row["source"]) for row in rows}

    def remember(self, starts: dict[Tile, Start], mosaic: str) -> None:
        rows = [asdict(tile) | asdict(start) for tile, start in sorted(starts.items())]
        write_json(self.record, {"mosaic": mosaic, "tiles": rows})


def digest_of(pixels: np.ndarray) -> str:
    """A digest of a tile's pixels, ejecta or not."""
    return hashlib.sha256(np.packbits(pixels > 0).tobytes() + str(pixels.shape).encode()).hexdigest()[:32]


def by_crater(tiles: Iterable[Tile]) -> dict[int, list[Tile]]:
    found: dict[int, list[Tile]] = {}
    for tile in tiles:
        found.setdefault(tile.fid, []).append(tile)
    return found
