"""Found craters against those of the list, on tiles, by every rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.files import write_table
from ...core.frames import rows_of
from ...craters.matching import STRICT, match
from ...craters.scores import all_rules, average_precision, precision_recall, score, size_table
from .family import CRATERS, CURVE, NEW, SCORES
from .tiles import Sizes, radii_px

if TYPE_CHECKING:
    from .prepare import TileSet

MOST_SHOWN, SHOWN_COLUMNS, SHOWN_RADII, LEAST_SHOWN_PX = 40, 8, 2.5, 14
"""Craters on a sheet, side by side, and how far each is shown around its centre."""


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
    truth = [within(tiles.circles[row], tiles.image.shape[-2:]) for row in rows]
    everything = [surest_first(within(circles, tiles.image.shape[-2:])) for circles in everything]
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
    table = pd.concat(parts, ignore_index=True)
    write_table(folder / CRATERS, table)
    show_new(folder / NEW, tiles, table[(table["new"] == 1) & table["radius_px"].between(*radii)])
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


def show_new(path: Path, tiles: TileSet, new: pd.DataFrame) -> None:
    """A sheet of the surest craters that the list lacks, for a person to judge: some are mistakes, some the list's gaps."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    from ...report.images import save_figure

    new = new.sort_values("confidence", ascending=False, kind="stable").head(MOST_SHOWN)
    rows = max(1, -(-len(new) // SHOWN_COLUMNS))
    figure = Figure(figsize=(1.5 * SHOWN_COLUMNS, 1.75 * rows + 0.3), layout="constrained")
    figure.suptitle(f"{len(new)} surest of the found craters that the list lacks: confidence, tile, radius in pixels", fontsize=9)
    places = figure.subplots(rows, SHOWN_COLUMNS, squeeze=False).ravel()
    for place in places:
        place.set_axis_off()
    low, high = tiles.spans[0]
    for place, crater in zip(places, rows_of(new), strict=False):
        reach = max(SHOWN_RADII * crater.radius_px, LEAST_SHOWN_PX)
        place.imshow(tiles.channels(crater.tile)[0], cmap="gray", vmin=low, vmax=high)
        place.add_patch(Circle((crater.x, crater.y), crater.radius_px, fill=False, color="#e69f00", lw=0.8))
        place.set(xlim=(crater.x - reach, crater.x + reach), ylim=(crater.y + reach, crater.y - reach))
        place.set_title(f"{crater.confidence:.2f}  {crater.tile}  {crater.radius_px:.1f}", fontsize=6.5)
    save_figure(figure, path, dpi=110)
