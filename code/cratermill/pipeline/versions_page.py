"""``results/{short}_results/versions.html``: the versions of a family beside each other, with what made their scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.files import read_json
from ..core.paths import Project
from ..core.statistics import interval
from ..report import html, plots
from ..report.assets import PLOTS
from .leaderboard import CURVE, CURVE_COLUMNS, cell_tables, groups, read_table
from .tuning import scores_of

if TYPE_CHECKING:
    from ..config import Cost
    from ..families.base import Family

PAGE = "versions.html"
MOST_GROUPS, MOST_CURVES, MOST_ROWS, MOST_POINTS = 3, 40, 40, 150
"""Data sets with figures of their own; versions in figures of curves and of splits, the best ones; points of a curve."""
CRATERS = "eval_craters.csv"


def write_versions_page(project: Project, family: Family, price: Cost | None = None) -> Path | None:
    """Figures and tables of every data set's versions; None where no version has a score."""
    folder = project.family_results(family.short)
    cells, score = scores_of(folder, family)
    board = read_table(folder / "leaderboard.csv")
    if cells.empty or board.empty:
        return None
    cells = cells.rename(columns=lambda name: name.removeprefix("hparam ") if name.removeprefix("hparam ") not in KEPT else name)
    cells = cells.replace("null", None).infer_objects()  # numbers with blanks stay numbers
    found = sorted(groups(board).items(), key=lambda one: -len(one[1]))
    sections = [plots.WHEN_SEEN, html.section("Versions", *_left_out(found))]
    for number, (data, part) in enumerate(found[:MOST_GROUPS]):
        own = cells[cells["version"].isin(part["version"])]
        one = _Group(project, family, number, versions_of(own, part, score, spent(folder), price), own, score)
        where = f"{data[0]}, test-sets {data[1]}" if data[0] else "data not recorded"
        sections.append(html.section(where, *one.parts()))
    shown = cells.drop(columns=[name for name in cells if name not in ("version", "split", "iteration", score)])
    sections.append(html.section("Every cell", plots.rows("cells", shown)))
    return html.write_page(folder / PAGE, f"Versions compared: {folder.relative_to(project.results)}", sections, PLOTS)


KEPT = ("version", "split", "iteration", "low", "high", "rank")
"""Names of this page's own, which a hyper-parameter of the same name must not replace."""


def _left_out(found: list[Any]) -> list[str]:
    text = "Score against any hyper-parameter, versions side by side, learning curves, splits, craters and cost. "
    text += "Versions of other data or other test-sets are never drawn together."
    more = found[MOST_GROUPS:]
    parts = [html.paragraph(text)]
    if more:
        parts.append(html.paragraph(f"{len(more)} more data sets with fewer versions are in leaderboard.csv.", "warning"))
    return parts


def versions_of(cells: pd.DataFrame, board: pd.DataFrame, score: str, runtime: pd.DataFrame, price: Cost | None) -> pd.DataFrame:
    """One row per version: rank, score with its interval, validation, hours of training, and the hyper-parameters that differ."""
    rows = []
    fixed = {"version", "split", "iteration", score}
    differing = [name for name in cells if name not in fixed and cells[name].astype(str).nunique(dropna=False) > 1]
    ranks = dict(zip(board["version"], board["rank"], strict=True)) if "rank" in board else {}
    validation = next((name for name in map(str, board) if name.startswith("val_")), None)
    known = dict(zip(board["version"], board[validation], strict=True)) if validation else {}
    for version, own in cells.groupby("version"):
        mean, _, low, high = interval(own["split"].to_numpy(), own[score].to_numpy(float))
        row: dict[str, Any] = {"rank": ranks.get(version), "version": version, score: mean, "low": low, "high": high}
        row |= {validation: known.get(version)} if validation else {}
        rows.append(row | {name: own[name].iloc[0] for name in differing})
    table = pd.DataFrame(rows).merge(runtime, on="version", how="left")
    if price is not None:
        table["cost [€]"] = table["hours"] * price.watts / 1000 * price.eur_per_kwh
    return table.sort_values("rank", na_position="last")


def spent(folder: Path) -> pd.DataFrame:
    """Hours of training of every version, all its cells together, and on what."""
    rows = []
    for path in folder.glob("version_*"):
        table = read_table(path / "test_metrics.csv")
        if "runtime" in table:
            device = ", ".join(sorted(table["gpu_name"].dropna().astype(str).unique())) if "gpu_name" in table else ""
            number = int(path.name.removeprefix("version_"))
            rows.append({"version": number, "hours": float(table["runtime"].sum()) / 3600, "device": device})
    return pd.DataFrame(rows, columns=["version", "hours", "device"])


class _Group:
    """The versions of one data set."""

    def __init__(self, project: Project, family: Family, number: int, table: pd.DataFrame, cells: pd.DataFrame, score: str):
        self.project, self.family, self.number, self.table, self.cells, self.score = project, family, number, table, cells, score
        own = {"rank", "version", score, "low", "high"}
        names = [str(name) for name in table if name not in own and table[name].notna().any()]
        # Columns of rows first: they are what people choose.
        self.names = sorted(names, key=lambda name: name in ("hours", "device", "cost [€]") or name.startswith("val_"))
        self.best = table["version"].tolist()[:MOST_ROWS]

    def parts(self) -> Iterator[str]:
        yield plots.rows(f"versions{self.number}", self.table)
        for name, figure, caption in self.figures():
            yield plots.shown(f"{name}{self.number}", figure, caption)

    def figures(self) -> Iterator[tuple[str, plots.Figure, str]]:
        table, score = self.table, self.score
        names = self.names or ["version"]
        yield "against", plots.against(table, names, score), f"{score} of each version with its 95 % interval; choose columns above."
        if len(table) > 1:
            varied = [name for name in names if table[name].astype(str).nunique(dropna=False) > 1]
            yield "parallel", plots.parallel(table, varied[:12], score), "Parallel coordinates: drag along an axis to choose versions."
        yield from self.overlaid()
        by_split = self.cells.pivot_table(index="version", columns="split", values=score).reindex(self.best)
        yield "splits", plots.heat(by_split, score, "test-set"), f"{score} by TV-Test split, mean over iterations; the best versions."
        yield from self.craters()
        if table["hours"].notna().any():
            spent_on = "cost [€]" if "cost [€]" in table else "hours"
            yield "cost", plots.cost(table, score, spent_on), f"{score} against {spent_on} of training, all cells of a version together."

    def overlaid(self) -> Iterator[tuple[str, plots.Figure, str]]:
        lines: dict[str, dict[str, pd.DataFrame]] = {}
        for version in self.table["version"].tolist()[:MOST_CURVES]:
            metric = read_json(self.project.version_results(self.family.short, version) / "hparams.json", {}).get("val_metric", "loss")
            found = [table for table in self.tables(version, "train", CURVE, (*CURVE_COLUMNS, metric)) if metric in table]
            if found:
                columns = {name: np.concatenate([table[name] for table in found]) for name in ("epoch", metric)}
                mean = pd.DataFrame(columns).groupby("epoch", as_index=False).mean()
                lines.setdefault(metric, {})[f"version {version}"] = mean.iloc[:: max(1, -(-len(mean) // MOST_POINTS))]
        for number, (metric, own) in enumerate(lines.items()):
            caption = f"Validation {metric} by epoch, mean of a version's cells; a click on a name hides its curve."
            yield f"curves{number}_", plots.curves(own, metric), caption

    def craters(self) -> Iterator[tuple[str, plots.Figure, str]]:
        score, names = "F1_Score", ("crat_FID", "F1_Score")
        found = [(version, table) for version in self.best for table in self.tables(version, "evaluate", CRATERS, names) if score in table]
        if found:
            columns = {name: np.concatenate([table[name] for _, table in found]) for name in names}
            columns["version"] = np.repeat([version for version, _ in found], [len(table[score]) for _, table in found])
            by_crater = (
                pd.DataFrame(columns)
                .astype({"crat_FID": int})
                .pivot_table(index="version", columns="crat_FID", values=score)
                .reindex(self.best)
                .dropna(how="all")
            )
            caption = f"{score} of the pixels of each drawn crater's tiles, those of training included; the best versions."
            yield "craters", plots.heat(by_crater, score, "crater (crat_FID)"), caption

    def tables(self, version: int, stage: str, name: str, wanted: Collection[str]) -> Iterable[dict[str, np.ndarray]]:
        return cell_tables(self.project, self.family.short, version, stage, name, wanted).values()
