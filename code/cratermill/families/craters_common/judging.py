"""Found craters against those of the list, on tiles, by every rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.files import copy_file, write_table
from ...core.frames import rows_of
from ...craters.matching import STRICT, match
from ...craters.scores import all_rules, average_precision, precision_recall, score, size_table
from .tiles import Sizes, radii_px

if TYPE_CHECKING:
    from .prepare import TileSet

CRATERS, SCORES, CURVE = "craters.csv", "scores.csv", "precision_recall.csv"


def judge(
    tiles: TileSet,
    rows: np.ndarray,
    everything: list[np.ndarray],
    threshold: float,
    columns: Sequence[str],
    hparams: Sizes,
    folder: Path,
) -> dict[str, float]:
    """Write the tables of what was found on these tiles; returns the scores by every rule of what is as sure as ``threshold``, and the
    average precision of all.

    ``columns`` name those of ``everything`` (N, …), which begin with x, y, radius_px and confidence; tables are sorted by the latter.
    """
    truth = [within(tiles.circles[row], tiles.image.shape[1:]) for row in rows]
    everything = [surest_first(within(circles, tiles.image.shape[1:])) for circles in everything]
    found = [circles[circles[:, 3] >= threshold] for circles in everything]
    radii = radii_px(hparams, float(tiles.tiles["resolution_m"].iloc[0]))
    tallies = all_rules(found, truth, radii)
    curve = precision_recall(everything, truth, STRICT, radii)
    write_table(folder / CURVE, curve)
    parts = []
    for row, circles, known in zip(rows, found, truth, strict=True):
        new = np.ones(len(circles), bool)
        new[match(circles, known).pairs[:, 0]] = False
        table = pd.DataFrame(circles[:, : len(columns)], columns=list(columns)[: circles.shape[1]]).assign(new=new.astype(int))
        table.insert(0, "tile", row)
        table.insert(1, "name", tiles.tiles["name"].iloc[row])
        parts.append(table)
    write_table(folder / CRATERS, pd.concat(parts, ignore_index=True))
    write_table(folder / SCORES, pd.concat([size_table(one, name) for name, one in tallies.items()], ignore_index=True))
    metrics: dict[str, float] = {}
    for name, one in tallies.items():
        metrics |= score(one, name)
    counts = tallies["strict"].counts()
    metrics["AP_strict"] = average_precision(curve)
    return metrics | {"craters_found": counts[1], "craters_known": counts[3], "craters_new": counts[1] - counts[0]}


def surest_first(circles: np.ndarray) -> np.ndarray:
    return circles[np.argsort(-circles[:, 3], kind="stable")]


def within(circles: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The circles whose centres lie on the tile: others belong to its neighbours."""
    inside = (circles[:, 0] >= -0.5) & (circles[:, 0] < shape[1] - 0.5) & (circles[:, 1] >= -0.5) & (circles[:, 1] < shape[0] - 0.5)
    return circles[inside]


def gather(cells: pd.DataFrame, into: Path) -> list[dict]:
    """Crater lists and scores by size of all evaluated cells, side by side in ``results/``."""
    for cell in rows_of(cells[cells["stage"] == "evaluate"]):
        tag = f"test-set-{cell.split}_iteration-{cell.iteration}"
        for name in (name for name in (CRATERS, SCORES, CURVE) if (cell.product / name).exists()):  # earlier versions made no curve
            copy_file(cell.product / name, into / "craters" / f"{Path(name).stem}_{tag}.csv")
    return []
