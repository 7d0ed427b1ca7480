"""Score against each hyper-parameter over all versions of a family, by split, and against the number of drawn tiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.errors import InputError
from ..core.files import read_json, write_table
from ..families import get_family
from .leaderboard import TEST, version_table

if TYPE_CHECKING:
    from ..config import Config
    from ..families.base import Family

NOT_TUNED = ("version", "version_run", "test_set", "test-set", "trainings_per_test")
"""Columns of a row that say which and how many, not what was learned."""


def run_tuning(config: Config) -> list[Path]:
    """``tuning.csv`` and its pictures in ``results/{short}_results/`` of every family that the config trains."""
    written: list[Path] = []
    for name in config.run.train:
        written += tune(config, get_family(name))
    if not written:
        raise InputError(
            f"no version of {', '.join(config.run.train) or 'any family'} has results yet",
            valid="results/{family}_results/version_N with eval_metrics.csv or test_metrics.csv",
            next_step="launch the training first",
        )
    return written


def tune(config: Config, family: Family) -> list[Path]:
    """The table and pictures of one family; nothing where no version has results."""
    from ..report.tuning_pictures import hparam_picture, split_picture, tiles_picture

    folder = config.project.family_results(family.short)
    table, score = scores_of(folder, family)
    if table.empty:
        return []
    tiles = drawn_tiles(config)
    table["drawn_tiles"] = table["split"].map(tiles) if tiles else float("nan")
    made = [write_table(folder / "tuning.csv", table)]
    varied = [name for name in map(str, table) if name.startswith("hparam ") and table[name].astype(str).nunique() > 1]
    pictures = [
        hparam_picture(folder / "tuning.png", table, varied, score),
        split_picture(folder / "tuning_splits.png", table, score),
        tiles_picture(folder / "tuning_tiles.png", table, score),
    ]
    return made + [path for path in pictures if path is not None]


def scores_of(folder: Path, family: Family) -> tuple[pd.DataFrame, str]:
    """One row per version, split and iteration: the family's first score and the version's hyper-parameters; and the score's name."""
    rows: list[dict[str, Any]] = []
    score = ""
    for path in sorted(folder.glob("version_*"), key=lambda path: int(path.name.removeprefix("version_"))):
        table, hparams = version_table(path), read_json(path / "hparams.json", {})
        names = (f"{prefix}{name}" for name in family.metrics for prefix in (TEST, ""))
        score = score or next((name for name in names if table is not None and name in table), "")
        if table is None or score not in table:
            continue
        hparams = {name: value for name, value in hparams.items() if name != "keywords"} | (hparams.get("keywords") or {})
        plain = {f"hparam {name}": value if isinstance(value, (int, float, str)) else json.dumps(value) for name, value in hparams.items()}
        plain = {name: value for name, value in plain.items() if name.removeprefix("hparam ") not in NOT_TUNED}
        version = int(path.name.removeprefix("version_"))
        for split, iteration, value in zip(table["test-set"], table["iteration"], table[score], strict=True):
            rows.append({"version": version, "split": int(split), "iteration": iteration, score: float(value), **plain})
    return pd.DataFrame(rows), score


def drawn_tiles(config: Config) -> dict[int, int]:
    """Drawn tiles with which each split trains and validates (``test_{S}`` = 0); none without such a table.

    Where the configuration makes subsets of a split, these and that split alone: the others test on other ground.
    """
    path = config.data.az_positions
    if not path.exists():
        return {}
    table = pd.read_csv(path)
    splits = [name for name in map(str, table) if name.startswith("test_") and name.removeprefix("test_").isdecimal()]
    asked = config.run.splits
    first = asked.count + len(asked.hold_out)
    alike = {asked.drawn_of, *range(first, first + len(asked.drawn_tiles))} if asked.drawn_tiles else None
    numbers = {int(name.removeprefix("test_")): name for name in splits}
    return {split: table.loc[table[name] == 0, "pos_index"].nunique() for split, name in numbers.items() if alike is None or split in alike}
