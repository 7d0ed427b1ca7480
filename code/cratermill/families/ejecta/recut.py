"""Masks cut anew from the vote shares that mapping saved: another threshold, or without small clusters. Nothing is predicted again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.files import link_or_copy, read_json, write_json
from ...geo.grid import Grid, Window
from ...geo.mosaic import Mosaic
from ..ejecta_common.craters import Crater
from ..ejecta_common.stitch import Pieces
from .crater_files import CraterFiles, facts_path, mask_of, read_facts, write_facts, write_mask

MARK = "recut.json"
STRIP_ROWS = 1024


def recut(product: Path, folder: Path, grid: Grid, threshold: float, smallest_px: int) -> Path:
    """The folder of a mapped crater's files as this threshold and smallest cluster make them: the product where they are its own, else
    ``folder``, made only if it isn't there already."""
    facts = read_facts(product)
    if (facts.get("threshold", threshold), facts.get("smallest_cluster_px", 0)) == (threshold, smallest_px):
        return product
    mark = {"threshold": threshold, "smallest_cluster_px": smallest_px, "made": facts_path(product).stat().st_mtime_ns}
    if read_json(folder / MARK) == mark:
        return folder
    (folder / MARK).unlink(missing_ok=True)
    _cut(product, folder, facts, grid, threshold, smallest_px)
    write_json(folder / MARK, mark)
    return folder


def _cut(product: Path, folder: Path, facts: dict, grid: Grid, threshold: float, smallest_px: int) -> None:
    crater = Crater(facts["crat_FID"], facts["lon"], facts["lat"], facts["radius_m"])
    old, new, window = CraterFiles(product, crater.fid), CraterFiles(folder, crater.fid), Window(*facts["window"])
    for source, target in ((old.shares, new.shares), (old.tiles, new.tiles)):
        link_or_copy(source, target)
    mask = whole_mask(old.shares, window, threshold)
    if smallest_px > 1:
        drop_small(mask, smallest_px, wraps=bool(grid.period_px) and window.width == grid.width)
    pieces = strips(mask, window)
    write_mask(new, pieces, grid, window, {"crat_FID": crater.fid, "threshold": threshold, "smallest_cluster_px": smallest_px})
    write_facts(folder, facts | {"threshold": threshold, "smallest_cluster_px": smallest_px}, pieces, grid, crater)


def whole_mask(shares: Path, window: Window, threshold: float) -> np.ndarray:
    """The mask (h, w) uint8 of a crater's window, read a few rows at a time."""
    mask = np.zeros((window.height, window.width), np.uint8)
    with Mosaic.open(shares, [1]) as file:
        for row in range(0, window.height, STRIP_ROWS):
            rows = min(STRIP_ROWS, window.height - row)
            mask[row : row + rows] = mask_of(file.read(Window(row, 0, rows, window.width))[0], threshold)
    return mask


def drop_small(mask: np.ndarray, smallest_px: int, wraps: bool) -> None:
    """Empty the 4-connected clusters of fewer pixels, in place; ``wraps``: the first column lies beside the last."""
    from scipy.ndimage import label

    labels, count = label(mask)
    if wraps and count:
        across = (labels[:, 0] > 0) & (labels[:, -1] > 0)
        joined = np.arange(count + 1)
        for one, other in zip(labels[across, 0], labels[across, -1], strict=True):
            first, last = sorted((joined[one], joined[other]))
            joined[joined == last] = first
        labels = joined[labels]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    mask[sizes[labels] < smallest_px] = 0


def strips(mask: np.ndarray, window: Window) -> Pieces:
    """A mask in pieces on the mosaic's grid; empty ones are left out."""
    parts = [(row, mask[row : row + STRIP_ROWS]) for row in range(0, window.height, STRIP_ROWS)]
    return [(Window(window.row + row, window.col, len(part), window.width), part) for row, part in parts if part.any()]
