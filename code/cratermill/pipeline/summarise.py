"""Gather the cells of a run into ``results/``: tables, checkpoints, a leaderboard, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..batch.state import is_done
from ..config import Config
from ..core.errors import first_line
from ..core.files import link_or_copy, read_json, write_json, write_table
from ..core.frames import rows_of
from ..core.notices import notice
from ..families import cell_params, get_family
from ..families.base import Family
from ..families.members import CHECKPOINT, validation_scores
from ..training.binary_scores import SCORES
from ..training.cell import SAMPLES, CellParams
from .index import write_results_page
from .leaderboard import leaderboard
from .summarised import FILES, cells_mark, files_mark, require_complete
from .training_page import write_training_page
from .versions_page import write_versions_page

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace

FIRST_COLUMNS = (
    "test-set",
    "iteration",
    "conn_version",
    "loss",
    *SCORES,
    "epochs_run",
    "runtime",
    "test_loss",
    *(f"test_{name}" for name in SCORES),
)


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    """Write what there is, then name what is missing: an incomplete summary is a failed cell."""
    missing = [(one.key, one.params) for one in plan.cells if one.stage in ("train", "evaluate") and not is_done(plan, one)]
    cells = cells_mark(plan)  # before the work: they may change meanwhile
    result = summarise(config, missing, plan)
    require_complete(result)
    write_json(workspace.folder / FILES, {"cells": cells, "files": files_mark(plan)})
    return result


def summarise(config: Config, missing: list[tuple[str, dict]], plan: Any) -> dict:
    """Summarise every version of a plan, then the leaderboards and pages of its families."""
    versions = sorted({(cell.params["family"], cell.params["version"]) for cell in plan.cells if cell.stage == "train"})
    written: list[Path] = []
    warnings: list[str] = []
    for name, version in versions:
        gone = [key for key, params in missing if (params["family"], params["version"]) == (name, version)]
        written += summarise_version(config, get_family(name), version, gone, warnings)
    for family in map(get_family, sorted({name for name, _ in versions})):
        written.append(leaderboard(config.project, family))
        written += filter(None, [write_versions_page(config.project, family, config.run.cost)])
        written.append(write_training_page(config.project, family))
    written.append(write_results_page(config.root))
    for text in warnings:
        notice(text)
    return {"missing": [key for key, _ in missing], "warnings": warnings, "results": [config.project.relative(path) for path in written]}


def summarise_version(config: Config, family: Family, version: int, missing: list[str], warnings: list[str]) -> list[Path]:
    """``results/{short}_results/version_N`` from all of the version's done cells, whichever run made them; adds to ``warnings``."""
    into = config.project.version_results(family.short, version)
    cells = done_cells(config, family, version)
    if cells.empty:
        return []
    name_products(config, family, version, cells)
    trained = cells[cells["stage"] == "train"]
    if not trained.empty:
        write_table(into / "test_metrics.csv", metrics_table(trained))
        keep_checkpoints(family, trained, into)
        keep_samples(trained, into)
    extra = family.gather(config, version, cells, into)
    evaluated = cells[cells["stage"] == "evaluate"]
    if not evaluated.empty:
        warnings += [f"{family.name} version {version}: {text}" for text in family.result_warnings(list(evaluated["metrics"]))]
        write_table(into / "eval_metrics.csv", metrics_table(evaluated, extra))
    write_json(into / "hparams.json", cells.iloc[0]["hparams"])
    write_json(into / "missing.json", missing)
    return [into]


def metrics_table(cells: pd.DataFrame, extra: list[dict] | None = None) -> pd.DataFrame:
    """The cells' metrics by split and iteration, the columns that users look for first."""
    rows = sorted(cells["metrics"], key=lambda row: (row["test-set"], row["iteration"]))
    table = pd.DataFrame(rows + (extra or []))
    first = [column for column in FIRST_COLUMNS if column in table]
    return table[first + [column for column in table if column not in first]]


def done_cells(config: Config, family: Family, version: int) -> pd.DataFrame:
    """One row per published cell of a version: stage, split, iteration, product, metrics, hparams."""
    rows = []
    for path in sorted((config.project.version_log(family.short, version) / "cells").glob("*/cell.json")):
        try:
            if path.parent.suffix or (made := read_json(path)) is None:
                continue  # a replaced or unfinished product
            params = made["params"]
            one = {"stage": made["stage"], "split": params["split"], "iteration": params["iteration"], "product": path.parent}
            rows.append(one | {"params": params, "metrics": dict(made["metrics"]), "hparams": params["hparams"]})
        except (TypeError, KeyError, ValueError):
            notice(f"{path} is no whole record of a cell and is left out: remove its folder and launch again")
    return pd.DataFrame(rows)


def name_products(config: Config, family: Family, version: int, cells: pd.DataFrame) -> None:
    """The names below ``log/`` that users' notebooks read, as further names of the cells' files."""
    folder = config.project.version_log(family.short, version)
    row: Any = None
    for cell in rows_of(cells):
        try:
            if cell.hparams != row:  # nearly always all cells of a version have one and the same, which is checked once
                row, model = cell.hparams, cell_params(cell.params).hparams
            names = family.log_names(cell.stage, CellParams(**{**cell.params, "hparams": model}))
        except (ValueError, TypeError) as error:  # of a row as earlier versions of the program knew it
            why = f"{family.name} version {version}: rows of its cells are no longer valid ({first_line(error)})"
            notice(f"{why}: their files get no names in {folder}, see {folder / 'cells'}; or train the row as it is now", once=str(folder))
            continue
        for name, source in names.items():
            if (cell.product / source).exists():
                link_or_copy(cell.product / source, folder / name)


def keep_checkpoints(family: Family, trained: pd.DataFrame, into: Path) -> None:
    """Every iteration's checkpoint, and per split the best one, chosen by its validation score and never by its test score."""
    rank = family.hparams_model().validation_rank
    for split, cells in trained.groupby("split"):
        there = [cell for cell in rows_of(cells) if (cell.product / CHECKPOINT).exists()]  # others were pruned
        for cell in there:
            link_or_copy(cell.product / CHECKPOINT, into / f"best-checkpoint_test-set-{split}_iteration-{cell.iteration}.ckpt")
        if len(there) < len(cells):
            continue  # the best of all stays where it was put
        best = max(there, key=lambda cell: rank(cell.hparams["val_metric"], validation_scores(cell.metrics)))
        link_or_copy(best.product / CHECKPOINT, into / f"best-checkpoint_test-set-{split}.ckpt")
        link_or_copy(best.product / "norm.npy", into / f"best-norm_test-set-{split}.npy")


def keep_samples(trained: pd.DataFrame, into: Path) -> None:
    """The sheet of samples of each split, which its first iteration has made."""
    for cell in rows_of(trained):
        if (cell.product / SAMPLES).exists():
            link_or_copy(cell.product / SAMPLES, into / f"samples_test-set-{cell.split}{Path(SAMPLES).suffix}")
