"""The page of one family's training: leaderboard, learning curves and scores of every version."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..core.files import read_json
from ..core.paths import Project
from ..report import html
from ..report.training_pictures import leaderboard_picture, learning_curves

if TYPE_CHECKING:
    from ..families.base import Family

CELL = re.compile(r"train_test-set-(\d+)_iteration-(\d+)$")


def write_training_page(project: Project, family: Family) -> Path:
    """``results/{short}_results/index.html`` and its pictures, from what has been summarised so far."""
    short, folder = family.short, project.results / f"{family.short}_results"
    board = _read(folder / "leaderboard.csv")
    versions = sorted((int(path.name.removeprefix("version_")), path) for path in folder.glob("version_*") if path.is_dir())
    sections = [html.section("Versions side by side", *leaderboard(folder, board))]
    sections += [html.section(f"Version {version}", *version_parts(project, family, version, path)) for version, path in versions]
    return html.write_page(folder / "index.html", f"Training results: {short}", sections)


def leaderboard(folder: Path, board: pd.DataFrame) -> list[str]:
    picture = leaderboard_picture(folder / "leaderboard.png", board) if len(board) else None
    caption = "Test scores of the versions; the interval is over splits, or over iterations where there is one split."
    return [*([html.picture(picture, caption)] if picture else []), html.table(board)]


def version_parts(project: Project, family: Family, version: int, folder: Path) -> list[str]:
    """Learning curves, scores and hyper-parameters of one version, and which of its cells are missing."""
    hparams, parts = read_json(folder / "hparams.json", {}), []
    missing = read_json(folder / "missing.json", [])
    if missing:
        parts.append(html.paragraph(f"Missing cells: {', '.join(missing)}. Launch again to make them.", "warning"))
    picture = learning_curves(
        folder / "learning_curves.png",
        read_curves(project, family.short, version),
        hparams.get("val_metric", "loss"),
        family.hparams_model().validation_rank,
    )
    if picture:
        parts.append(html.picture(picture, "Learning curves of all cells; dots mark the epochs that were kept."))
    for name, what in (("test_metrics.csv", "Scores on the Test samples"), ("eval_metrics.csv", "Scores of the evaluation")):
        if (folder / name).exists():
            parts += [html.paragraph(f"{what} ({name}):"), html.table(_read(folder / name))]
    for picture in sorted(folder.glob("*.png")):
        if picture.name != "learning_curves.png":
            parts.append(html.picture(picture, picture.stem.replace("_", " ")))
    shown = {name: value for name, value in hparams.items() if value is not None and name != "keywords"} | hparams.get("keywords", {})
    parts.append(f"<details><summary>Hyper-parameters</summary>{html.facts(shown)}</details>")
    return parts


def read_curves(project: Project, short: str, version: int) -> dict[tuple[int, int], pd.DataFrame]:
    """The learning curve of every published train cell, by (split, iteration)."""
    paths = (project.version_log(short, version) / "cells").glob("train_*/curve.csv")
    found = {path: CELL.search(path.parent.name) for path in paths if (path.parent / "cell.json").exists()}
    return {(int(match[1]), int(match[2])): _read(path) for path, match in sorted(found.items()) if match}


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError):
        return pd.DataFrame()
