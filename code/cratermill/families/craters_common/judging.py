"""Found craters against those of the list, on tiles, by every rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.files import write_table
from ...core.frames import rows_of
from ...craters.matching import STRICT
from ...craters.score_tables import size_table
from ...craters.scores import Tally, all_rules, average_precision, precision_recall, score
from .family import COMPLETENESS, CRATERS, CURVE, MISSED, NEW, SCORES
from .tiles import Sizes, radii_px

if TYPE_CHECKING:
    from ...report.contact_sheet import Shown
    from .prepare import TileSet


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
    strict = tallies["strict"]
    curve = precision_recall(everything, truth, STRICT, radii)
    write_table(folder / CURVE, curve)
    parts, lost = [], []
    hits = (
        np.split(hit, np.cumsum([len(one) for one in lists])[:-1]) for hit, lists in ((strict.found_hit, found), (strict.truth_hit, truth))
    )
    for row, circles, known, right, seen in zip(rows, found, truth, *hits, strict=True):
        lost.append(pd.DataFrame(known[~seen, :3], columns=["x", "y", "radius_px"]).assign(tile=row))
        table = pd.DataFrame(circles[:, : len(columns)], columns=list(columns)[: circles.shape[1]]).assign(new=(~right).astype(int))
        table.insert(0, "tile", row)
        table.insert(1, "name", tiles.tiles["name"].iloc[row])
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    write_table(folder / CRATERS, table)
    show(folder, tiles, table[table["new"] == 1], pd.concat(lost, ignore_index=True), strict, radii)
    write_table(folder / SCORES, pd.concat([size_table(one, name) for name, one in tallies.items()], ignore_index=True))
    metrics: dict[str, float] = {}
    for name, one in tallies.items():
        metrics |= score(one, name)
    counts = strict.counts()
    metrics["AP_strict"] = average_precision(curve)
    return metrics | {"craters_found": counts[1], "craters_known": counts[3], "craters_new": counts[1] - counts[0]}


def surest_first(circles: np.ndarray) -> np.ndarray:
    return circles[np.argsort(-circles[:, 3], kind="stable")]


def within(circles: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The circles whose centres lie on the tile: others belong to its neighbours."""
    inside = (circles[:, 0] >= -0.5) & (circles[:, 0] < shape[1] - 0.5) & (circles[:, 1] >= -0.5) & (circles[:, 1] < shape[0] - 0.5)
    return circles[inside]


def show(folder: Path, tiles: TileSet, new: pd.DataFrame, missed: pd.DataFrame, strict: Tally, radii: tuple[float, float]) -> None:
    """``completeness.png``, and sheets of the surest craters that the list lacks (some are mistakes, some the list's gaps) and of the
    largest that were missed, for a person to judge."""
    from ...report.completeness import PER_OCTAVE, completeness
    from ...report.contact_sheet import MOST_SHOWN, contact_sheet
    from ...report.palette import MISSED as OF_MISSED
    from ...report.palette import NEW as OF_NEW

    completeness(folder / COMPLETENESS, size_table(strict, "strict", per_octave=PER_OCTAVE), *strict.diameters(), "px")
    for name, table, by, title, colour in (
        (NEW, new, "confidence", "surest of the found craters that the list lacks: confidence, tile, radius in pixels", OF_NEW),
        (MISSED, missed, "radius_px", "largest of the list's craters that were not found: tile, radius in pixels", OF_MISSED),
    ):
        counted = table[table["radius_px"].between(*radii)].sort_values(by, ascending=False, kind="stable").head(MOST_SHOWN)
        contact_sheet(folder / name, f"{len(counted)} {title}", [on_tile(tiles, crater) for crater in rows_of(counted)], colour)


def on_tile(tiles: TileSet, crater: Any) -> Shown:
    from ...report.contact_sheet import Shown

    sure = f"{crater.confidence:.2f}  " if hasattr(crater, "confidence") else ""
    caption = f"{sure}{crater.tile}  {crater.radius_px:.1f}"
    return Shown(tiles.channels(crater.tile)[0], crater.x, crater.y, crater.radius_px, caption, tiles.spans[0])
