"""Masks of craters in a folder: which there are, where they lie on the mosaic, and windows of them across the seam."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..geo.grid import Grid, Window
from ..geo.mosaic import Mosaic

MASK_NAME = re.compile(r"(?:cylindrical_)?mask_crater_(\d+)\.tif")
SHARE_NAME = "vote_share_crater_{fid}.tif"
OWN, OTHERS = 1, 2
"""Bits of a claim: this crater's ejecta, and those of any other crater."""
KEEP_PX, MOST_OPEN = 64 * 2**20, 200
"""Masks are kept in memory up to so many pixels, and open up to so many files, all together."""


@dataclass(frozen=True)
class Mask:
    """One crater's mask: 1 is ejecta. ``place``: its window of the mosaic's grid, which may begin on any turn."""

    fid: int
    path: Path
    place: Window
    grid: Grid

    @classmethod
    def open(cls, fid: int, path: Path, grid: Grid) -> Mask:
        with Mosaic.open(path, [1]) as mosaic:
            return cls(fid, path, grid.window_of(mosaic.grid, f"the mask {path}"), grid)

    @property
    def pixels(self) -> int:
        return self.place.height * self.place.width

    @property
    def is_read(self) -> bool:
        return "_mosaic" in self.__dict__

    @cached_property
    def _mosaic(self) -> Mosaic:
        return Mosaic.open(self.path, [1])

    @cached_property
    def _pixels(self) -> np.ndarray | None:
        """All of a mask that isn't too large to be kept."""
        if self.pixels > KEEP_PX // 4:
            return None
        return self._file(Window(0, 0, self.place.height, self.place.width))

    def _file(self, window: Window) -> np.ndarray:
        """A window of the file, (h, w) bool."""
        return self._mosaic.read_mask(window)

    def read(self, window: Window) -> np.ndarray:
        """A window of the mosaic's grid, of any turn: (h, w) bool, False outside the mask."""
        out = np.zeros((window.height, window.width), bool)
        for here, part in window.shared(self.place, self.grid.period_px):
            out[here.slices] |= self._file(part) if self._pixels is None else self._pixels[part.slices]
        return out

    def blocks(self, side: int) -> Iterable[tuple[Window, np.ndarray]]:
        """The mask in squares of at most ``side`` pixels that hold ejecta, each with its window of the mosaic."""
        for window in self.place.squares(side):
            part = window.within(self.place)
            pixels = self._file(part) if self._pixels is None else self._pixels[part.slices]
            if pixels.any():
                yield window, pixels

    def close(self) -> None:
        """Forget what was read and close the file."""
        for name in ("_pixels", "_mosaic"):
            self.__dict__.pop(name, None)


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
        """All masks, by FID; their pixels are read when they are asked for. Raises ``InputError`` for one on another grid."""
        return [self.open(fid) for fid in sorted(self.files)]


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
