"""Rows and columns of tables."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def read_columns(path: Path, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Columns of numbers of a CSV of our own (the ``wanted`` ones that it has, or all), NaN where nothing stands; none where it is broken.

    For thousands of small files, over each of which pandas takes its time.
    """
    import numpy as np

    try:
        with path.open(encoding="utf-8", newline="") as file:
            names, *rows = csv.reader(file)
        columns = {name: column for name, *column in zip(names, *rows, strict=True) if wanted is None or name in wanted}
        return {name: np.array([float(value or "nan") for value in column]) for name, column in columns.items()}
    except (OSError, ValueError):
        return {}


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples. ``Any``: what a column holds is checked when its file is read, and no type knows it."""
    return iter(table.itertuples())
