"""``results/index.html``: what there is in a project, looked up on the disk, whichever run made it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.errors import CratermillError
from ..core.files import read_json
from ..core.paths import Project
from ..report.index_page import Card, write_index
from .data_set import NOT_RECORDED
from .leaderboard import read_table

PAGE, SEARCH = "index.html", "search.html"
PAGES = {PAGE: "", SEARCH: ": search", "analysis.html": ": patterns of craters"}
"""Pages that are led to, and what is said of them beside their folders' names."""
PICTURES = ("preview.png", "craters.png", "clusters.png", "leaderboard.png")
FAMILIES, MAPS, OTHERS = "Trained versions", "Maps", "Comparisons, analyses and others"
MOST_RUNS = 200


def write_results_page(root: Path) -> Path:
    """Made anew whenever a part of the results was; cheap enough for that: it reads no rasters."""
    project = Project(root)
    project.results.mkdir(exist_ok=True)
    cards: dict[str, list[Card]] = {FAMILIES: [], MAPS: [], OTHERS: []}
    for page in sorted(found for name in PAGES for found in project.results.rglob(name)):
        if page.parent != project.results:
            heading = _kind(project, page)
            cards[heading].append(_card(project, page, heading))
    return write_index(project.results / PAGE, cards, _runs(project), _bodies(project))


def refresh(folder: Path) -> None:
    """Make the page of those results anew below which a folder lies; nothing where it lies elsewhere."""
    results = next((one for one in folder.resolve().parents if one.name == "results"), None)
    if results is not None:
        write_results_page(results.parent)


def _kind(project: Project, page: Path) -> str:
    if page.name == PAGE and (page.parent / "leaderboard.csv").exists():
        return FAMILIES
    return MAPS if page.name == PAGE and page.parent.parent == project.map_folder("any").parent else OTHERS


def _card(project: Project, page: Path, heading: str) -> Card:
    folder = page.parent
    own = sorted((folder / page.stem).glob("*.png"))  # pictures of an analysis lie beside its page
    pictures = [*own, *(folder / name for name in PICTURES), *sorted(folder.glob("*.png"))]
    picture = next((path for path in pictures if path.exists()), None)
    title = project.relative(folder).removeprefix("results/").removeprefix("output_masks/")
    return Card(page, title + PAGES[page.name], _facts(folder, heading), _date(page), picture)


def _facts(folder: Path, heading: str) -> str:
    if heading == FAMILIES:
        board = read_table(folder / "leaderboard.csv")
        return f"{len(board)} {'version' if len(board) == 1 else 'versions'}"
    made = read_json(folder / "provenance.json") or {}
    missing = len(made.get("missing") or ())
    said = [", ".join(f"{family} {version}" for family, version in (made.get("versions") or {}).items())]
    return ", ".join(filter(None, [*said, f"{missing} parts missing" if missing else ""]))


def _runs(project: Project) -> pd.DataFrame:
    """By what their cells have left on the disk; the scheduler isn't asked: this is written within jobs, too."""
    paths = sorted(project.run("any").parent.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime)[:MOST_RUNS]
    return pd.DataFrame([row for path in paths if (row := _run(path)) is not None])


def _run(path: Path) -> dict[str, Any] | None:
    from ..batch import plan as plans
    from ..batch.state import is_done

    try:
        plan = plans.load(path)
    except CratermillError:
        return None
    # This page is written by cells that always run, so they can't be done when it says how many are.
    cells = [cell for cell in plan.cells if not cell.always]
    stages = Counter(cell.stage for cell in cells)
    done = sum(is_done(plan, cell) for cell in cells)
    known = {"config": plan.config.get("name"), "body": plan.config.get("body"), "data": plan.config.get("data")}
    what = ", ".join(f"{count} {stage}" for stage, count in stages.items())
    return {"run": plan.run, "launched": _date(path), **known, "cells": len(cells), "done": done, "of": what}


def _bodies(project: Project) -> pd.DataFrame:
    """Each data set that versions were trained on: how many, in which families, and the best rank's version."""
    rows = []
    for board in sorted(project.results.rglob("leaderboard.csv")):
        table = read_table(board)
        if "data_set" not in table:
            continue
        for data, part in table.fillna({"data_set": NOT_RECORDED}).groupby("data_set"):
            body = str(data).split(" · ")[0] if " · " in str(data) else ""
            family = project.relative(board.parent).removeprefix("results/")
            rows.append({"body": body, "data set": data, "family": family, "versions": len(part)})
    return pd.DataFrame(rows)


def _date(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
