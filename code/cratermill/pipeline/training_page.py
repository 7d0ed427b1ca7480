"""The page of one family's training: leaderboard, learning curves and scores of every version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..core.files import read_json
from ..core.paths import Project
from ..report import html
from ..report.training_pictures import leaderboard_picture, learning_curves
from .leaderboard import CURVE, CURVE_COLUMNS, GROUPED, cell_tables, groups, read_table

if TYPE_CHECKING:
    from ..families.base import Family

MOST_VERSIONS = 40
"""Versions with a section of their own, the best ones and those with missing cells first: more would be a page that no browser likes."""
MOST_ROWS, LEAST_ROWS = 1200, 10
"""Rows of scores on the whole page, and of each table however many there are."""
EMBEDDED_BYTES = 1_200_000
"""Pictures that take more room than this together stay beside the page."""
MOST_NAMED, MOST_SHEETS = 20, 1


def write_training_page(project: Project, family: Family) -> Path:
    """``results/{short}_results/index.html`` and its pictures, from what has been summarised so far."""
    short, folder = family.short, project.family_results(family.short)
    board = read_table(folder / "leaderboard.csv")
    versions = dict(sorted((int(path.name.removeprefix("version_")), path) for path in folder.glob("version_*") if path.is_dir()))
    shown = shown_versions(board, versions)
    for version, path in versions.items():
        draw_curves(project, family, version, path, version in shown)
    look = Look(folder, [path for version, path in versions.items() if version in shown])
    parts = [part for number, named in enumerate(groups(board).items()) for part in leaderboard(folder, number, *named)]
    sections = [html.section("Versions side by side", *compared(folder), *parts, *left_out(len(shown), len(versions)))]
    sections += [
        html.section(f"Version {version}", *version_parts(look, versions[version], family.captions())) for version in sorted(shown)
    ]
    return html.write_page(folder / "index.html", f"Training results: {short}", sections)


def shown_versions(board: pd.DataFrame, versions: dict[int, Path]) -> set[int]:
    """All versions, or so many of the best ones and of those that lack cells."""
    if len(versions) <= MOST_VERSIONS:
        return set(versions)
    gaps = [version for version, path in versions.items() if read_json(path / "missing.json", [])]
    board = board.sort_values("rank", kind="stable") if "rank" in board else board
    best = [version for version in board["version"].tolist() if version in versions] if "version" in board else []
    return set(list(dict.fromkeys([*best[: MOST_VERSIONS // 2], *gaps, *best, *versions]))[:MOST_VERSIONS])


def compared(folder: Path) -> list[str]:
    link = '<p><a href="versions.html">Versions compared</a>: scores against hyper-parameters, splits, craters and cost.</p>'
    return [link] if (folder / "versions.html").exists() else []


def left_out(shown: int, there: int) -> list[str]:
    if shown == there:
        return []
    text = f"Below are {shown} of {there} versions, the best and those that lack cells; the tables of all are in their folders version_N."
    return [html.paragraph(text)]


class Look:
    """How much of each version a page shows, and whether it holds its pictures itself."""

    def __init__(self, folder: Path, versions: list[Path]):
        self.folder = folder
        pictures = [path for version in versions for kind in ("*.png", "*.jpg") for path in version.glob(kind)]
        self.embedded = sum(path.stat().st_size for path in pictures) <= EMBEDDED_BYTES
        self.rows = max(LEAST_ROWS, MOST_ROWS // max(1, 2 * len(versions)))

    def picture(self, path: Path, caption: str) -> str:
        return html.picture(path, caption, None if self.embedded else self.folder)


def leaderboard(folder: Path, number: int, data: tuple[str, str], board: pd.DataFrame) -> list[str]:
    """Picture and table of the versions of one data set and the same test-sets: those of others are no rivals."""
    name = f"leaderboard_{number + 1}.png" if number else "leaderboard.png"
    picture = leaderboard_picture(folder / name, board) if len(board) else None
    where = f"{data[0]}, test-sets {data[1]}" if data[0] else "data not recorded"
    caption = f"Test scores of the versions on {where}; the interval is over splits, or over iterations where there is one split."
    heading = f"<h3>{html.escape(where)}</h3>" if data[0] else ""
    return [heading, *([html.picture(picture, caption)] if picture else []), html.table(board.drop(columns=list(GROUPED), errors="ignore"))]


def draw_curves(project: Project, family: Family, version: int, folder: Path, shown: bool) -> None:
    """``learning_curves.png`` of a version; of one that isn't shown none, rather than an old one."""
    path = folder / "learning_curves.png"
    if not shown:
        path.unlink(missing_ok=True)
        return
    metric = read_json(folder / "hparams.json", {}).get("val_metric", "loss")
    curves = cell_tables(project, family.short, version, "train", CURVE, (*CURVE_COLUMNS, metric))
    learning_curves(path, curves, metric, family.hparams_model().validation_rank)


def version_parts(look: Look, folder: Path, captions: Mapping[str, str]) -> list[str]:
    """Learning curves, scores and hyper-parameters of one version, and which of its cells are missing."""
    hparams, parts = read_json(folder / "hparams.json", {}), []
    missing = read_json(folder / "missing.json", [])
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        parts.append(html.paragraph(f"Missing cells: {', '.join(missing[:MOST_NAMED])}{more}. Launch again to make them.", "warning"))
    if (folder / "learning_curves.png").exists():
        parts.append(look.picture(folder / "learning_curves.png", "Learning curves of all cells; dots mark the epochs that were kept."))
    for name, what in (("test_metrics.csv", "Scores on the Test samples"), ("eval_metrics.csv", "Scores of the evaluation")):
        if (folder / name).exists():
            parts += [html.paragraph(f"{what} ({name}):"), html.table(read_table(folder / name), most_rows=look.rows)]
    sheets = sorted(folder.glob("samples_test-set-*.jpg"))
    for sheet in sheets[:MOST_SHEETS]:
        split, more = sheet.stem.rpartition("-")[2], f" {len(sheets) - MOST_SHEETS} more beside it." if len(sheets) > MOST_SHEETS else ""
        parts.append(look.picture(sheet, f"Test samples of split {split}: those with the least, median and largest error.{more}"))
    for picture in sorted(folder.glob("*.png")):
        if picture.name != "learning_curves.png":
            parts.append(look.picture(picture, captions.get(picture.stem, picture.stem.replace("_", " "))))
    shown = {name: value for name, value in hparams.items() if value is not None and name != "keywords"} | hparams.get("keywords", {})
    parts.append(f"<details><summary>Hyper-parameters</summary>{html.facts(shown)}</details>")
    return parts
