"""Masks of craters in a folder: which there are, where they lie on the mosaic, and windows of them across the seam."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..geo.grid import Grid, Window
from ..geo.mosaic import Mosaic, kept_open

MASK_NAME = re.compile(r"(?:cylindrical_)?mask_crater_(\d+)\.tif")
SHARE_NAME = "vote_share_crater_{fid}.tif"
OWN, OTHERS = 1, 2
"""Bits of a claim: this crater's ejecta, and those of any other crater."""
KEEP_BYTES, MOST_OPEN = 32 * 2**20, 200
"""Of one set of masks so many bytes are kept in memory, 8 pixels in each, and so many files stay open."""
MOST_PX, STRIP_PX = 16 * 2**20, 2**20
"""Masks of more pixels are never kept; those that are kept are read in strips of so many pixels."""


class Reader:
    """Reads the masks of one set, and keeps what there is room for: memory and open files don't grow with the number of masks."""

    def __init__(self) -> None:
        self.bits: dict[Path, np.ndarray] = {}
        self.files: dict[Path, Mosaic] = {}
        self.used: set[Path] = set()

    def read(self, path: Path, whole: Window, window: Window) -> np.ndarray:
        """A window of a mask's file, (h, w) bool; ``whole``: the file's size."""
        self.used.add(path)
        if path not in self.bits and whole.height * whole.width <= MOST_PX and self._kept() + whole.height * whole.width / 8 <= KEEP_BYTES:
            self.bits[path] = _packed(path, whole)
        if path not in self.bits:
            return self._from_file(path, window)
        first = window.col // 8
        part = np.unpackbits(self.bits[path][window.row : window.stop_row, first : -(-window.stop_col // 8)], axis=1)
        return part[:, window.col - 8 * first : window.stop_col - 8 * first].view(bool)

    def _kept(self) -> int:
        return sum(bits.nbytes for bits in self.bits.values())

    def _from_file(self, path: Path, window: Window) -> np.ndarray:
        if path not in self.files and len(self.files) >= MOST_OPEN:
            with Mosaic.open(path, [1], labels=True) as mosaic:
                return mosaic.read_mask(window)
        if path not in self.files:
            self.files[path] = Mosaic.open(path, [1], labels=True)
        return self.files[path].read_mask(window)

    def make_room(self) -> None:
        """Between craters: where room gets scarce, let go of what wasn't used since the last time."""
        scarce = self._kept() > KEEP_BYTES / 2 or len(self.files) > MOST_OPEN / 2
        self._forget({*self.bits, *self.files} - self.used if scarce else set())
        self.used = set()

    def close(self) -> None:
        self._forget({*self.bits, *self.files})

    def _forget(self, paths: set[Path]) -> None:
        for path in paths:
            self.bits.pop(path, None)
            if path in self.files:
                self.files.pop(path).close()


def _packed(path: Path, whole: Window) -> np.ndarray:
    """A whole mask, 8 pixels of a row in each byte."""
    bits, rows = np.zeros((whole.height, -(-whole.width // 8)), np.uint8), max(STRIP_PX // whole.width, 1)
    with Mosaic.open(path, [1], labels=True) as mosaic:
        for row in range(0, whole.height, rows):
            strip = Window(row, 0, min(rows, whole.height - row), whole.width)
            bits[row : strip.stop_row] = np.packbits(mosaic.read_mask(strip), axis=1)
    return bits


@dataclass(frozen=True)
class Mask:
    """One crater's mask: 1 is ejecta. ``place``: its window of the mosaic's grid, which may begin on any turn."""

    fid: int
    path: Path
    place: Window
    grid: Grid
    reader: Reader = field(default_factory=Reader, compare=False, repr=False)

    @classmethod
    def open(cls, fid: int, path: Path, grid: Grid, reader: Reader | None = None) -> Mask:
        """Pixels are read when they are asked for. ``reader``: shared by the masks of a set."""
        own = kept_open(path, (1,), labels=True).grid
        return cls(fid, path, grid.window_of(own, f"the mask {path}"), grid, reader or Reader())

    def _file(self, part: Window) -> np.ndarray:
        return self.reader.read(self.path, Window(0, 0, self.place.height, self.place.width), part)

    def close(self) -> None:
        """Forget what was read and close the file."""
        self.reader.close()

    def read(self, window: Window) -> np.ndarray:
        """A window of the mosaic's grid, of any turn: (h, w) bool, False outside the mask."""
        return self._of(self._file, window)

    def read_block(self, window: Window) -> np.ndarray:
        """The same by a file that is kept open for the next blocks, nothing of which is kept in memory."""
        return self._of(kept_open(self.path, (1,), labels=True).read_mask, window)

    def _of(self, read: Callable[[Window], np.ndarray], window: Window) -> np.ndarray:
        out = np.zeros((window.height, window.width), bool)
        for here, part in window.shared(self.place, self.grid.period_px):
            out[here.slices] |= read(part)
        return out

    def blocks(self, side: int) -> Iterable[tuple[Window, np.ndarray]]:
        """The mask in squares of at most ``side`` pixels that hold ejecta, each with its window of the mosaic."""
        for window in self.place.squares(side):
            pixels = self._file(window.within(self.place))
            if pixels.any():
                yield window, pixels


@dataclass(frozen=True)
class MaskSet:
    """The masks of a folder by FID. ``folder`` holds ``cylindrical_mask_crater_{FID}.tif`` (a map) or ``mask_crater_{FID}.tif``."""

    folder: Path
    files: dict[int, Path]
    grid: Grid

    @classmethod
    def of(cls, folder: Path, grid: Grid) -> MaskSet:
        """The masks of a map's folder, of a folder of drawn masks, or of a data folder; InputError if there are none."""
        return cls(Path(folder), mask_files(folder), grid)

    def open(self, fid: int) -> Mask:
        return Mask.open(fid, self.files[fid], self.grid)

    def all(self) -> list[Mask]:
        """All masks, by FID, with one reader. Raises ``InputError`` for one on another grid."""
        reader = Reader()
        return [Mask.open(fid, self.files[fid], self.grid, reader) for fid in sorted(self.files)]


def mask_files(folder: Path) -> dict[int, Path]:
    """FID → file of the masks in a folder, or in the ``cyl_data`` of a data folder; InputError, saying what is looked for, without any."""
    folder = Path(folder)
    places = [place for place in (folder, folder / "cyl_data") if place.is_dir()]
    for place in places:
        found = {int(match[1]): path for path in sorted(place.iterdir()) if (match := MASK_NAME.fullmatch(path.name))}
        if found:
            return found
    raise InputError(
        f"{folder} holds no masks of craters" if places else f"there is no folder {folder}",
        valid="a folder with cylindrical_mask_crater_{FID}.tif (a map), mask_crater_{FID}.tif, or a data folder with cyl_data/",
        next_step="name the folder of a finished map, such as results/output_masks/NAME",
    )


@dataclass(frozen=True)
class Claims:
    """What is claimed of the mosaic's ground: by one crater, and by any of its neighbours."""

    own: Mask
    others: list[Mask]

    @classmethod
    def of(cls, own: Mask, masks: Iterable[Mask]) -> Claims:
        """Of all masks those that may meet the crater's."""
        period = own.grid.period_px
        return cls(own, [mask for mask in masks if mask.fid != own.fid and own.place.turns(mask.place, period)])

    def read(self, window: Window) -> np.ndarray:
        """(h, w) uint8 of bits ``OWN`` and ``OTHERS``; others' only where the crater's own is."""
        own = self.own.read(window)
        code = own.astype(np.uint8)
        if own.any():
            for mask in self.others:
                if window.turns(mask.place, mask.grid.period_px):
                    code |= (own & mask.read(window)).astype(np.uint8) * np.uint8(OTHERS)
        return code
