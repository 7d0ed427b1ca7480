"""The page of one comparison of a map with truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from . import html
from .analysis_page import Pictures

FILES = {
    "scores.csv": "all craters together, by quadrant, ring, distance, class of overlap and scale, with 95 % intervals over craters",
    "dl_hm_metrics.csv": "one row per crater: map against truth, and (…_tiles) training masks against truth inside the drawn tiles",
    "blankets.csv": "blanket radii of map (dl) and truth (hm) in pixels and metres, and the shares of the true ejecta inside",
    "dl_hm_f1_sq.csv": "F1 by quadrant; dl_hm_precision_sq.csv and dl_hm_recall_sq.csv the same",
    "dl_hm_f1_ring.csv": "F1 within circles: both blankets, then tenths of the true ejecta; also precision and recall",
    "calibration.csv": "the reliability diagram of vote shares and probabilities",
    "difference_all.tif": "the map's grid: 1 both, 2 the map alone, 3 the truth alone, 4 both, but ejecta of different craters",
    "scores.json": "the figures above",
}


def interval(summary: dict[str, Any], title: str) -> str:
    """The 95 % interval of a score in words."""
    low, high = summary[f"{title}_low"], summary[f"{title}_high"]
    return f"{low:.3f} to {high:.3f}" if low == low else "no interval of a single crater"


def write_compare_page(
    path: Path, name: str, summary: dict[str, object], tables: dict[str, pd.DataFrame], plots: Pictures, craters: Pictures
) -> Path:
    """``tables``: scores, dl_hm_metrics, blankets and EJMAP's others; ``plots`` of all craters, ``craters`` one by one."""
    facts = {"Truth": summary["truth"], "Craters": summary["craters"]}
    for title in ("F1", "Precision", "Recall", "IoU"):
        facts[title] = f"{summary[title]:.3f} ({interval(summary, title)})"
    low, high = summary["F1_of_craters_min"], summary["F1_of_craters_max"]
    facts["F1 of single craters"] = f"mean {summary['F1_of_craters_mean']:.3f}, from {low:.3f} to {high:.3f}"
    for what, km2 in (summary.get("difference_km2") or {}).items():  # type: ignore[attr-defined]
        facts[f"Ground of {what}".replace("_", " ")] = f"{km2:,.0f} km²"
    for kind, one in dict(summary.get("calibration") or {}).items():  # type: ignore[call-overload]
        facts[f"{kind}: expected calibration error, Brier score".replace("_", " ")] = f"{one['ECE']:.3f}, {one['Brier']:.3f}"
    sections = [html.facts(facts)]
    sections += [html.paragraph(note, "warning") for note in summary["notes"]]  # type: ignore[attr-defined]
    sections += [html.picture(*one) for one in plots]
    sections += [
        html.section(title, html.table(tables[table])) for table, title in (("scores", "Scores by part"), ("dl_hm_metrics", "Craters"))
    ]
    sections.append(html.section("Blankets", html.table(tables["blankets"])))
    if craters:
        sections.append(html.section("Side by side", *(html.picture(*one) for one in craters)))
    sections.append(html.section("Files", html.files(path.parent, FILES)))
    return html.write_page(path, f"{name} against {summary['truth']}", sections)
