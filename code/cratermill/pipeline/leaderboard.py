"""All versions of a family side by side, with the uncertainty that splits and iterations leave."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.files import read_json, stat_fingerprint, write_table
from ..core.frames import read_columns
from ..core.paths import Project
from ..core.statistics import interval
from .data_set import NOT_RECORDED

if TYPE_CHECKING:
    from ..families.base import Family

GROUPED = ("data_set", "test_sets")
"""Scores are compared among versions that agree in these."""
CURVE = "curve.csv"
CURVE_COLUMNS = ("epoch", "train_loss", "loss")
MOST_KEPT = 2**13
"""Tables of cells that are kept while pages are written."""
TEST = "test_"
"""Begins the names of evaluation scores that count the Test data alone."""


def leaderboard(project: Project, family: Family) -> Path:
    """Write ``results/{short}_results/leaderboard.csv`` from the versions summarised so far.

    Best first, and ranked only among versions of the same data set and the same TV-Test splits.
    """
    folder = project.family_results(family.short)
    rows = [row for path in sorted(folder.glob("version_*")) if (row := version_row(path, family.metrics))]
    table = pd.DataFrame(rows)
    shown = [(name, f"{prefix}{name}_mean") for name in family.metrics for prefix in (TEST, "")]
    deciding = next(((name, column) for name, column in shown if column in table), None)
    if deciding:
        table = ranked(table, deciding[1], lower_is_better=deciding[0] in family.lower_is_better)
    return write_table(folder / "leaderboard.csv", table)


def ranked(table: pd.DataFrame, column: str, lower_is_better: bool) -> pd.DataFrame:
    """With a ``rank`` within each of GROUPED, blank where a version lacks the score; groups one after another."""
    rank = table.groupby(list(GROUPED))[column].rank(method="min", ascending=lower_is_better).astype("Int64")
    table.insert(0, "rank", rank)
    return table.sort_values([*GROUPED, "rank", "version"], na_position="last")


def groups(board: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The parts of a leaderboard that may be ranked, by data set and test-sets; one of no name for a table that doesn't tell them."""
    if board.empty or not set(GROUPED) <= set(board):
        return {("", ""): board}
    filled = board.fillna(dict.fromkeys(GROUPED, ""))
    return {(str(data), str(splits)): part for (data, splits), part in filled.groupby(list(GROUPED), sort=False)}


def version_row(folder: Path, metrics: tuple[str, ...]) -> dict | None:
    """Mean, standard error and 95 % interval of each metric of one version; evaluation scores where there are any, else test scores."""
    missing = read_json(folder / "missing.json", [])
    table = version_table(folder)
    if table is None:
        return None
    row = {
        "version": int(folder.name.removeprefix("version_")),
        "data_set": data_set_of(table),
        "test_sets": " ".join(map(str, sorted(table["test-set"].unique()))),
        "splits": table["test-set"].nunique(),
        "cells": len(table),
        "missing": " ".join(missing),
        "interval_over": "splits" if table["test-set"].nunique() > 1 else "iterations",
    }
    prefix = TEST if any(f"{TEST}{name}" in table for name in metrics) else ""
    for name in (f"{prefix}{metric}" for metric in metrics):
        if name in table:
            mean, error, low, high = interval(table["test-set"].to_numpy(), table[name].to_numpy(float))
            row |= {f"{name}_mean": mean, f"{name}_se": error, f"{name}_ci95_low": low, f"{name}_ci95_high": high}
    return row | validation(folder, metrics)


def data_set_of(table: pd.DataFrame) -> str:
    """What a version's cells say that they learned from; all of it, where cells of several data were mixed."""
    said = sorted(table["data_set"].dropna().unique()) if "data_set" in table else []
    return " + ".join(said) or NOT_RECORDED


def validation(folder: Path, metrics: tuple[str, ...]) -> dict[str, float]:
    """The mean over splits of the first score that validation has: by this ``best`` is chosen, never by a test score."""
    if not (folder / "test_metrics.csv").exists():
        return {}
    table = pd.read_csv(folder / "test_metrics.csv")
    name = next((column for metric in (*metrics, "loss") if (column := f"val_{metric.removeprefix(TEST)}") in table), None)
    return {f"{name}_mean": float(table.groupby("test-set")[name].mean().mean())} if name else {}


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, or an empty table where there is none to read."""
    try:
        return pd.read_csv(path, dtype={"test_sets": str})
    except (OSError, ValueError):
        return pd.DataFrame()


def cell_tables(
    project: Project, short: str, version: int, stage: str, name: str, wanted: Collection[str]
) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """The ``wanted`` columns of a table of numbers, of every published cell by (split, iteration); empty where it is broken."""
    found = project.cells(short, version, stage, name)
    return {
        place: _columns(path, *stat_fingerprint(path), tuple(wanted))
        for place, path in found.items()
        if (path.parent / "cell.json").exists()
    }


@lru_cache(maxsize=MOST_KEPT)
def _columns(path: Path, size: int, modified_ns: int, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Two pages show the same curves."""
    return read_columns(path, wanted)


def version_table(folder: Path) -> pd.DataFrame | None:
    """A version's evaluation metrics, else its test metrics, one row per split and iteration; None where there are none."""
    for name in ("eval_metrics.csv", "test_metrics.csv"):
        if (folder / name).exists():
            table = pd.read_csv(folder / name)
            # A vote's row joins iterations that have rows of their own.
            return table[table["iteration"].astype(str) != "vote"]
    return None
