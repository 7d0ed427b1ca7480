"""What is odd about drawn masks: nothing drawn where tiles are, and values that no mask should hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...geo.band_statistics import block_windows
from ...geo.mosaic import Mosaic

if TYPE_CHECKING:
    from ...core.paths import DataFolder
    from .craters import Crater

SHOWN = 5


def mask_warnings(data: DataFolder, craters: list[Crater], table: pd.DataFrame) -> list[str]:
    """One line per kind, with the craters it holds for. ``table``: ``az_positions_all.csv``; only odd masks are read whole."""
    ejecta = table.groupby("crat_FID")["num_1"].sum()
    kinds: dict[str, list[int]] = {}
    for crater in craters:
        if not crater.train or not data.mask(crater.fid).exists():
            continue
        nothing = not ejecta.get(crater.fid, 0)
        oddity = _oddity(data.mask(crater.fid), nothing)
        if oddity:
            kinds.setdefault(oddity, []).append(crater.fid)
    return [f"{_named(fids)}: {oddity}" for oddity, fids in kinds.items()]


def _oddity(path: Path, nothing_in_tiles: bool) -> str:
    with Mosaic.open(path, labels=True) as mask:
        if mask.is_lossy:
            return "the mask is compressed as JPEG, which leaves values above 0, and so ejecta, around its edges: write it without losses"
        if mask.dtype.kind != "f" and not nothing_in_tiles:
            return ""
        low, high, data, fractions = np.inf, -np.inf, False, False
        for window in block_windows(mask):
            pixels, missing = mask.read_masked(window)
            values = pixels[0] if missing is None else pixels[0][~missing[0]]
            if values.size:
                data, low, high = True, min(low, float(values.min())), max(high, float(values.max()))
                fractions = fractions or bool(np.any(values != np.rint(values)))
    if not data:
        return "the mask holds nothing but nodata"
    if fractions:
        return f"the mask holds fractions, {low:g} to {high:g}, and all above 0 count as ejecta: write 0 and 1"
    if high <= 0:
        return f"the mask holds {low:g} everywhere, and no ejecta" if low == high else f"the mask holds {low:g} to {high:g}, and no ejecta"
    return "train is 1, but there are no ejecta in the drawn tiles" if nothing_in_tiles else ""


def _named(fids: list[int]) -> str:
    more = f" and {len(fids) - SHOWN} more" if len(fids) > SHOWN else ""
    return f"crater{'s' if len(fids) > 1 else ''} {', '.join(map(str, fids[:SHOWN]))}{more}"
