"""Classes of craters by a column of their list: degradation states, or whatever a user names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import InputError, nearest
from .columns import CLASS_NAMES, find

FEW = 12
"""Values of a column that are classes as they are; numbers of more are cut into quarters."""
BLANK = "blank"


@dataclass(frozen=True)
class Classes:
    """``labels`` in order, and for each crater the number (N,) of its own."""

    column: str
    labels: list[str]
    numbers: np.ndarray


def classes_of(craters: pd.DataFrame, by: str | None, counted: np.ndarray, path: Path) -> Classes | None:
    """Classes by the column ``by``, or by the first that lists of degradation usually have; None where there is no such column.

    ``counted`` (N,) bool: the craters whose values decide which classes there are. InputError for a column that isn't there, and for more
    than ``FEW`` different texts in a column that was named.
    """
    column = find(craters, [by] if by else CLASS_NAMES)
    if column is None:
        if not by:
            return None
        there = [str(name) for name in craters if name != "geometry"]
        raise InputError(f"{path} has no column {by}", valid=", ".join(there), next_step=f"name a column that it has: {nearest(by, there)}")
    values = craters[column]
    figures = pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan)
    blank = values.isna().to_numpy(bool)
    are_numbers = bool(np.isfinite(figures[~blank]).all())
    shown = [f"{figure:g}" for figure in figures] if are_numbers else values.astype(str).str.strip().to_list()
    named = np.array([BLANK if empty else text for text, empty in zip(shown, blank, strict=True)])
    there = sorted(set(named[counted & ~blank]), key=float if are_numbers else str)
    if len(there) > FEW and not are_numbers:
        if not by:
            return None
        raise InputError(f"{path}: {column} holds {len(there)} different texts", valid=f"a column of numbers, or of up to {FEW} texts")
    if len(there) > FEW:
        there, named = _quarters(figures, counted & ~blank, blank)
    labels = [*there, BLANK] if (blank & counted).any() else there
    places = {label: number for number, label in enumerate(labels)}
    return Classes(str(column), labels, np.array([places.get(label, -1) for label in named]))


def _quarters(figures: np.ndarray, counted: np.ndarray, blank: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Labels of the quarters of the counted figures, and the label of each; equal figures are of one quarter."""
    edges = np.unique(np.quantile(figures[counted], (0, 0.25, 0.5, 0.75, 1)))
    labels = [f"{low:.4g} to {high:.4g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    inside = np.clip(np.searchsorted(edges, figures, side="right") - 1, 0, len(labels) - 1)
    return labels, np.where(blank, BLANK, np.array(labels)[inside])
