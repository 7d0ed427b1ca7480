"""Reading a split off the tile tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ...core.delimited import read_frame
from ...core.errors import InputError, nearest


def require_splits(path: Path, splits: Iterable[int]) -> None:
    """Raise ``InputError`` where the table of pairs lacks one of these splits, or one of its sides is empty."""
    table = read_frame(path, next_step="run 'cratermill prepare CONFIG'")
    for split in splits:
        split_rows(table, split, path)


def split_rows(table: pd.DataFrame, split: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (TV, Test) of one TV-Test split; rows marked -1 are in neither."""
    column = f"test_{split}"
    if column not in table:
        known = [name.removeprefix("test_") for name in table.columns if name.startswith("test_")]
        raise InputError(
            f"unknown TV-Test split {split}: {path} has no column {column}",
            valid=nearest(str(split), known) if known else "none: no split has been made",
            next_step="correct the row's test-set, or set splits.count in the config and run 'cratermill prepare CONFIG'",
        )
    flags = table[column].to_numpy()
    tv, test = np.flatnonzero(flags == 0), np.flatnonzero(flags == 1)
    if not len(tv) or not len(test):
        raise InputError(f"split {split} has {len(tv)} TV and {len(test)} Test tiles", next_step="draw more tiles, or another split")
    return tv, test
