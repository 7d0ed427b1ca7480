"""A list of craters against another one: scores in all, by size, latitude and class, and the lists of what is new and what was missed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.files import write_json, write_table
from ..geo.bodies import Body
from .catalogue import write_catalogue
from .classes import Classes
from .matching import RULES, STRICT
from .score_tables import class_table, latitude_table, size_table
from .scores import Tally, score, sectors, tally

SCORES = "scores.json"
BY_SIZE, BY_LATITUDE, BY_CLASS = "scores_by_size.csv", "scores_by_latitude.csv", "recall_by_class.csv"
NEW, MISSED = "new_craters", "missed_craters"


@dataclass(frozen=True)
class Comparison:
    """``new`` and ``missed`` are of the sizes that count, by the rule ``strict``. ``found_km``, ``known_km``: diameters that count."""

    scores: dict[str, float]
    tables: dict[str, pd.DataFrame]
    strict: Tally
    new: pd.DataFrame
    missed: pd.DataFrame

    @property
    def found_km(self) -> np.ndarray:
        return self.strict.diameters()[0] / 1e3

    @property
    def known_km(self) -> np.ndarray:
        return self.strict.diameters()[1] / 1e3


def compare(
    found: pd.DataFrame, known: pd.DataFrame, radii_m: tuple[float, float], body: Body, classes: Classes | None = None
) -> Comparison:
    """Tables with lon, lat, radius_m, and of what was found the confidence, if there is one; ``classes`` of ``known``.

    ``found`` may hold craters of all sizes: one of the catalogue's that was measured a little beyond ``radii_m`` is found.
    """
    columns = ["lon", "lat", "radius_m"]
    one = found[[*columns, *(["confidence"] if "confidence" in found else [])]].to_numpy(float)
    other = known[columns].to_numpy(float)
    blocks = sectors(one), sectors(other)
    tallies = {rule.name: tally(one, other, rule, radii_m, body, found_block=blocks[0], truth_block=blocks[1]) for rule in RULES}
    scores: dict[str, float] = {}
    for name, counts in tallies.items():
        scores |= score(counts, name)
    strict = tallies[STRICT.name]
    scores |= dict(zip(("found_right", "found", "known_found", "known"), strict.counts(), strict=True))
    tables = {BY_SIZE: pd.concat([size_table(counts, name, 1000.0) for name, counts in tallies.items()], ignore_index=True)}
    by_latitude = [latitude_table(counts, name, one[:, 1], other[:, 1]) for name, counts in tallies.items()]
    tables[BY_LATITUDE] = pd.concat(by_latitude, ignore_index=True)
    if classes is not None:
        tables[BY_CLASS] = pd.concat([class_table(counts, name, classes) for name, counts in tallies.items()], ignore_index=True)
    new, missed = (_left(table, hit, radii_m) for table, hit in ((found, strict.found_hit), (known, strict.truth_hit)))
    return Comparison(scores, tables, strict, new, missed)


def _left(table: pd.DataFrame, hit: np.ndarray, radii_m: tuple[float, float]) -> pd.DataFrame:
    """What has no partner and is of the sizes that count."""
    return table[~hit & table["radius_m"].between(*radii_m).to_numpy(bool)].reset_index(drop=True)


def strict_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["rule"] == STRICT.name].drop(columns="rule").reset_index(drop=True)


def write_comparison(folder: Path, made: Comparison, body: Body) -> list[str]:
    """Scores, tables and lists; the names of the files."""
    for name, table in made.tables.items():
        write_table(folder / name, table)
    for name, table in ((NEW, made.new), (MISSED, made.missed)):
        write_catalogue(folder / f"{name}.gpkg", table, body)
        write_table(folder / f"{name}.csv", pd.DataFrame(table).drop(columns="geometry", errors="ignore"))
    write_json(folder / SCORES, made.scores)
    return [SCORES, *made.tables, *(f"{name}{suffix}" for name in (NEW, MISSED) for suffix in (".csv", ".gpkg"))]
