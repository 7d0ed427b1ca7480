"""Rows of tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples. ``Any``: what a column holds is checked when its file is read, and no type knows it."""
    return iter(table.itertuples())
