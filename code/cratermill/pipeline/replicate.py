"""Published work run again by one command each: its data, its rows, and tables that set what came out beside what was published."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import Field

from ..core.errors import InputError, nearest
from ..core.files import read_json, write_table, write_text
from ..core.models import Strict, checked, read_keys
from ..core.paths import Project, find_root
from ..families import get_family
from ..fetching import datasets

SMALL = "-small"
PLANET: dict[str, Any] = {
    "body": "mercury",
    "shape": (512, 1024),
    "seed": 2026,
    "n_fresh": 12,
    "train_fraction": 0.85,
    "tile_shape_px": (16, 32),
    "tiles_per_crater": (8, 12),
}
"""The synthetic planet that small runs train on, below data/replicate."""


class Line(Strict):
    """A line of a published table: the version that stands for it here, and what was published."""

    version: int
    published: dict[str, float] = Field(default_factory=dict, description="score: value; its name is that of the column here")


class Table(Strict):
    title: str
    family: str
    shows: tuple[str, ...] = Field((), description="hyper-parameters, and columns of test_metrics.csv such as time_per_epoch")
    scores: tuple[str, ...] = Field(description="columns of eval_metrics.csv or test_metrics.csv")
    epochs: tuple[int, ...] = Field((), description="also the scores on validation data after so many epochs, where as many were trained")
    lines: dict[str, Line]


class Replication(Strict):
    """configs/replicate/NAME.yaml."""

    title: str
    paper: str
    source: str = Field(description="where the published figures were read")
    differs: tuple[str, ...] = Field((), description="where this isn't what the paper did")
    needs: tuple[str, ...] = Field((), description="data sets that are fetched first")
    by_hand: dict[str, str] = Field(default_factory=dict, description="path: what to put there, where nothing public can be fetched")
    run: dict[str, Any] = Field(description="a run configuration")
    small: dict[str, Any] = Field(description="what a small run changes of it, on the synthetic planet; null takes a key away")
    small_differs: tuple[str, ...] = Field((), description="where a small run isn't what the paper did, besides")
    tables: tuple[Table, ...]
    pictures: tuple[str, ...] = Field((), description="patterns below results/*_results/GROUP/")
    tuning: bool = Field(False, description="also draw scores by split and hyper-parameter")


def replication_names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "configs" / "replicate").glob("*.yaml"))


def load_replication(root: Path, name: str) -> Replication:
    if name not in (known := replication_names(root)):
        raise InputError(f"there is no replication {name!r}", valid=nearest(name, known) or "none in configs/replicate")
    path = root / "configs" / "replicate" / f"{name}.yaml"
    return checked(Replication, read_keys(path), str(path))


def run_replication(name: str, small: bool = False, dry_run: bool = False, workers: int = 1) -> int:
    """Data, then everything in one launch, then the page; what is done already is left alone. Returns the exit code."""
    from .launch import launch
    from .load_config import load_config

    root = find_root(Path.cwd())
    spec = load_replication(root, name)
    run_name = f"replicate-{name.replace('_', '-')}{SMALL if small else ''}"
    if small:
        _planet(root, workers)
    else:
        _require_data(root, spec)
    path = _write_config(root, spec, run_name, small)
    print(f"{spec.title}: {path.relative_to(root)}", flush=True)
    code = launch("all", path, workers=workers, dry_run=dry_run)
    if code or dry_run:
        return code
    page = write_page(root, spec, run_name, load_config(path) if spec.tuning else None)
    print(f"\nDone. Beside the published figures: {page.relative_to(root)}")
    return 0


def _planet(root: Path, workers: int) -> None:
    from ..core.progress import shown
    from ..synthetic import synthesise

    with shown() as progress:
        synthesise(root / "data" / "replicate" / "planet", **PLANET, workers=max(2, workers), progress=progress)


def _require_data(root: Path, spec: Replication) -> None:
    """Raise ``InputError`` with the line that fetches what isn't here."""
    lacking = [name for name in spec.needs if not any(place.complete(name, datasets.load(root, name)) for place in datasets.places(root))]
    if lacking:
        raise InputError(
            f"{spec.title}: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not on this machine",
            valid="the published data, or --small, which runs on a synthetic planet",
            next_step=f"run: cratermill fetch {' '.join(lacking)}",
        )
    for path, what in spec.by_hand.items():
        if not (root / path).exists():
            raise InputError(
                f"{spec.title}: {path} is missing, and its data can't be fetched by name",
                valid=what,
                next_step="put it there, or give --small, which runs on a synthetic planet",
            )


def _write_config(root: Path, spec: Replication, run_name: str, small: bool) -> Path:
    import yaml

    content = merged(spec.run, spec.small) if small else deepcopy(spec.run)
    content = {"name": run_name, "group": run_name, **content}
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    text = f"# Written by cratermill replicate; a configuration like any other.\n{written}"
    return write_text(Project(root).log / "replicate" / f"{run_name}.yaml", text)


def merged(base: Any, change: Any) -> Any:
    """``change`` over ``base``, key by key; None takes a key away."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return deepcopy(change)
    kept = {key: deepcopy(value) for key, value in base.items() if key not in change}
    return kept | {key: merged(base.get(key), value) for key, value in change.items() if value is not None}


# --- what came out, beside what was published -----------------------------------------------------------------------------------


def write_page(root: Path, spec: Replication, group: str, tuned: Any = None) -> Path:
    """``results/replicate/<group>/``: a CSV for each table of the paper, and all of it on one page."""
    from ..report import html

    project = Project(root, group)
    folder = project.results / "replicate" / group
    sections = [html.facts({"Paper": spec.paper, "Published figures from": spec.source})]
    small = group.endswith(SMALL)
    differs = (*spec.differs, *(spec.small_differs if small else ()))
    sections += [html.paragraph("Differs from the paper: " + "; ".join(differs) + ".", "warning")] if differs else []
    if small:
        sections.append(
            html.paragraph("A small run on a synthetic planet: it shows that everything runs; its figures aren't the paper's.", "warning")
        )
    for number, table in enumerate(spec.tables, start=1):
        frame = table_of(project, table)
        if len(frame):
            write_table(folder / f"table_{number}.csv", frame)
            sections.append(html.section(table.title, html.table(frame)))
    pictures = _pictures(project, spec, group, tuned)
    sections += [html.section("Figures", *(html.picture(path, _caption(root, path)) for path in pictures))] if pictures else []
    return html.write_page(folder / html.INDEX, f"{spec.title}{' (small)' if small else ''}", sections)


def table_of(project: Project, table: Table) -> Any:
    """The published table with the means of the same test scores here (and over how many cells) beside, and validation scores after the
    table's epochs; lines that weren't run are left out."""
    import pandas as pd

    rows = []
    for label, line in table.lines.items():
        folder = project.version_results(get_family(table.family).short, line.version)
        frames = [pd.read_csv(path) for name in ("eval_metrics", "test_metrics") if (path := folder / f"{name}.csv").exists()]
        if not frames:
            continue
        hparams = read_json(folder / "hparams.json", {})
        columns = {str(name): frame[name] for frame in reversed(frames) for name in frame}
        row: dict[str, Any] = {"test": label, "version": line.version, "cells": len(frames[0])}
        row |= {name: hparams.get(name, columns[name].median() if name in columns else None) for name in table.shows}
        for score in table.scores:
            row |= {score: columns[score].mean() if score in columns else None, f"{score} published": line.published.get(score)}
        rows.append(row | _after_epochs(project, table, line.version))
    return pd.DataFrame(rows)


def _after_epochs(project: Project, table: Table, version: int) -> dict[str, float]:
    """Means over the cells of a version of validation scores after as many epochs as the table asks for."""
    import pandas as pd

    from .leaderboard import CURVE

    cells = project.cells(get_family(table.family).short, version, "train", CURVE) if table.epochs else {}
    curves = pd.concat([pd.read_csv(path) for path in cells.values()]) if cells else pd.DataFrame({"epoch": []})
    found = dict[str, float]()
    for epoch in table.epochs:
        reached = curves[curves["epoch"] == epoch - 1]
        scores = [score for score in table.scores if score in reached and len(reached)]
        found |= {f"{score} validation, epoch {epoch}": reached[score].mean() for score in scores}
    return found


def _pictures(project: Project, spec: Replication, group: str, tuned: Any) -> list[Path]:
    if tuned is not None:
        from .tuning import run_tuning

        run_tuning(tuned)
    found = [path for pattern in spec.pictures for path in sorted(project.results.glob(f"*_results/{group}/{pattern}"))]
    return list(dict.fromkeys(found))


def _caption(root: Path, path: Path) -> str:
    return os.fspath(path.relative_to(root / "results"))
