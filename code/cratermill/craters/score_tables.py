"""Scores by part: by size, by latitude, by a class of the truth; one row per rule and part, with 95 % intervals over blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .classes import Classes
from .scores import TITLES, Tally, with_intervals

BAND_DEGREES = 30
INTERVALS = tuple(f"{title}{end}" for title in TITLES for end in ("", "_low", "_high"))


def size_table(one: Tally, rule: str, unit: float = 1.0, per_octave: int = 1) -> pd.DataFrame:
    """By bins of the diameter, ``per_octave`` of them to its double; found craters in the bin of their own diameter. ``unit``: of the
    table's diameters."""
    diameters = np.concatenate(one.diameters()) / unit
    steps = np.floor(per_octave * np.log2(diameters)) if len(diameters) else np.zeros(0)
    first, last = (int(steps.min()), int(steps.max())) if len(steps) else (0, -1)
    edges = 2.0 ** (np.arange(first, last + 2) / per_octave)
    parts = [{"diameter_from": low, "diameter_to": high} for low, high in zip(edges[:-1], edges[1:], strict=True)]
    found, truth = (np.digitize(2 * radius / unit, edges) - 1 for radius in (one.found_radius, one.truth_radius))
    return _table(one, rule, ("diameter_from", "diameter_to"), parts, found, truth)


def latitude_table(one: Tally, rule: str, found_lat: np.ndarray, truth_lat: np.ndarray) -> pd.DataFrame:
    """By bands of ``BAND_DEGREES`` of latitude, from the south."""
    souths = np.arange(-90, 90, BAND_DEGREES)
    parts = [{"latitude_from": south, "latitude_to": south + BAND_DEGREES} for south in souths.tolist()]
    found, truth = (np.digitize(lat, souths[1:]) for lat in (found_lat, truth_lat))
    return _table(one, rule, ("latitude_from", "latitude_to"), parts, found, truth)


def class_table(one: Tally, rule: str, classes: Classes) -> pd.DataFrame:
    """Recall by class of the truth; what was found and is in no list has no class, so there is no precision."""
    parts = [{"column": classes.column, "class": label} for label in classes.labels]
    table = _table(one, rule, ("column", "class"), parts, np.full(len(one.found_hit), -1), classes.numbers)
    table["known_found"] = (table["known"] * table["Recall"]).round().astype(int)
    return table[["rule", "column", "class", "known", "known_found", "Recall", "Recall_low", "Recall_high"]]


def _table(
    one: Tally, rule: str, names: Sequence[str], parts: Sequence[Mapping[str, object]], found: np.ndarray, truth: np.ndarray
) -> pd.DataFrame:
    """One row for each part that has a crater; ``found`` and ``truth`` say in which part each crater is. Of no crater there is no rate."""
    rows = []
    for number, labels in enumerate(parts):
        part = one.part(found == number, truth == number)
        _, listed, _, known = part.counts()
        if listed or known:
            scores = with_intervals(part)
            scores |= {} if listed else {"Precision": np.nan}
            scores |= {} if known else {"Recall": np.nan}
            rows.append({"rule": rule, **labels, "known": known, "found": listed, **scores})
    return pd.DataFrame(rows, columns=["rule", *names, "known", "found", *INTERVALS])
