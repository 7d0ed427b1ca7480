"""Colours that mean something: one per crater, the same in every map, and those of hits, misses and new craters."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FOUND, NEW, MISSED, OTHER = "#56b4e9", "#e69f00", "#cc79a7", "#ffffff"
"""Rims of craters that a list has, too, of new ones, of missed ones, and of further lists: told apart by the colour-blind."""
BOTH, ONLY_MAP, ONLY_TRUTH, DIFFERENT = "#009e73", "#d55e00", "#0072b2", "#e69f00"
"""Ground of a map and of truth: on both, on either alone, on both but not of the same craters; likewise."""
CIVIDIS = ((0, 34, 78), (124, 123, 120), (253, 231, 55))
"""Lowest, middle and highest value of a ramp, read alike by the colour-blind."""
CLUSTERS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8b00ff", "#742e5d", "#00ff8b", "#a20000")
NO_CLUSTER = "#c4c4c4"
"""Of clusters, on white and on a mosaic: Okabe and Ito's, and those farthest from them in the eyes of the colour-blind, too."""
GOLDEN = 0.6180339887498949
"""Steps of the golden ratio around the colour circle keep neighbouring FIDs far apart."""
FILE = "colours.csv"
"""Within a map's folder: the colours of its craters, as its page, its viewer and QGIS use them."""


@dataclass(frozen=True)
class Colours:
    """A fixed colour per crater, whichever other craters are on a map: its own, one of a list in turn, else one by its FID."""

    own: dict[int, str] = field(default_factory=dict)
    listed: tuple[str, ...] = ()

    def hex(self, fid: int) -> str:
        if fid in self.own:
            return self.own[fid]
        return self.listed[fid % len(self.listed)] if self.listed else by_fid(fid)

    def rgb(self, fid: int) -> tuple[int, int, int]:
        return channels(self.hex(fid))

    def of(self, fids: pd.Series) -> dict[int, str]:
        return {int(fid): self.hex(int(fid)) for fid in fids}


CRATERS = Colours()
"""Where nobody says otherwise: by FID alone."""


def read_colours(path: Path) -> Colours:
    """A text file: on each line a colour (``#rrggbb`` or a name of CSS), as in EJMAP's colorlist.txt, or a FID and its colour.

    Lines that begin with ``crat_FID`` are headers. Raises ``InputError`` for what is no colour.
    """
    own: dict[int, str] = {}
    listed: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the colours {path} can't be read", valid="a text file", next_step="correct map.colours") from error
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").replace(";", " ").replace("\t", " ").split()
        if not words or words[0] in ("crat_FID", "//"):
            continue
        if len(words) == 2 and words[0].isdecimal():
            own[int(words[0])] = _colour(words[1], path, number)
        elif len(words) == 1:
            listed.append(_colour(words[0], path, number))
        else:
            raise _no_colour(line, path, number)
    if not own and not listed:
        raise InputError(f"{path} names no colour", valid="a colour on each line, or a FID and its colour", next_step="correct map.colours")
    return Colours(own, tuple(listed))


def colours_of(folder: Path) -> Colours:
    """Those that a map was drawn with."""
    return read_colours(folder / FILE) if (folder / FILE).exists() else Colours()


def _colour(word: str, path: Path, number: int) -> str:
    from matplotlib.colors import to_hex

    try:
        return to_hex(word)
    except ValueError:
        raise _no_colour(word, path, number) from None


def _no_colour(text: str, path: Path, number: int) -> InputError:
    return InputError(
        f"{path}, line {number}: {text.strip()} is no colour",
        valid="#rrggbb or a name such as red, alone or behind a FID",
        next_step="correct the file",
    )


def cluster_colour(cluster: int) -> str:
    """A fixed colour per cluster, the same again after ten; one of its own for what belongs to none (below 0)."""
    return NO_CLUSTER if cluster < 0 else CLUSTERS[cluster % len(CLUSTERS)]


def by_fid(fid: int) -> str:
    """Hue by the FID, three saturations and two brightnesses to tell near hues apart."""
    hue = (fid * GOLDEN) % 1.0
    saturation = (0.55, 0.75, 0.95)[fid % 3]
    value = (1.0, 0.85)[fid % 2]
    return "#{:02x}{:02x}{:02x}".format(*(round(channel * 255) for channel in colorsys.hsv_to_rgb(hue, saturation, value)))


def channels(colour: str) -> tuple[int, int, int]:
    """RGB 0–255 of ``#rrggbb``."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
