"""Craters chosen, and columns derived, by formulas over a list's own columns; see core/formulas.py for what formulas may hold.

Columns go by their names, with ``_`` for whatever no name may hold; FID, lon, lat and radius_m (degrees and metres) are always there. A
crater that lacks a value which an expression uses isn't chosen, and has none in a derived column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import pandas as pd

from ..core.errors import InputError
from ..core.formulas import NUMBER, TEXT, TRUTH, Formula, parse_formula
from ..core.notices import notice

Table = TypeVar("Table", bound=pd.DataFrame)
PLACED = ("FID", "lon", "lat", "radius_m", "geometry")


def chosen(table: Table, where: str | None, columns: Mapping[str, str], what: str) -> Table:
    """A table with the derived columns, of the rows (numbered anew) for which ``where`` holds. ``InputError`` where none is left."""
    for name, text in columns.items():
        if not str(name).isidentifier() or name in PLACED:
            raise InputError(
                f"{what}: a column can't be called {name!r}", valid=f"a name of letters, digits and _, but {', '.join(PLACED)}"
            )
        values, whole = _computed(table, parse_formula(text, _kinds(table), f"{what}: column {name}"))
        table = table.assign(**{name: np.where(whole, values, np.nan)})
    if not where:
        return table
    holds, whole = _computed(table, parse_formula(where, _kinds(table), what, TRUTH))
    if not whole.all():
        notice(f"{what}: {int((~whole).sum())} of {len(table)} rows lack a value that {where!r} uses, and are not chosen")
    kept = table[holds & whole]
    if not len(kept):
        raise InputError(f"{what}: {where!r} holds for none of the {len(table)} craters", next_step="widen the expression")
    return kept.reset_index(drop=True)


def _columns(table: pd.DataFrame) -> dict[str, str]:
    """Names in formulas, and the columns that they stand for; of two with one name the first."""
    names: dict[str, str] = {}
    for column in table:
        if column != "geometry":
            names.setdefault(re.sub(r"\W|^(?=\d)", "_", str(column)), str(column))
    return names


def _kinds(table: pd.DataFrame) -> dict[str, str]:
    return {name: NUMBER if pd.api.types.is_numeric_dtype(table[column]) else TEXT for name, column in _columns(table).items()}


def _computed(table: pd.DataFrame, formula: Formula) -> tuple[np.ndarray, np.ndarray]:
    """A formula's values (N,), and for which rows (N,) nothing that it uses is missing."""
    columns, kinds = _columns(table), _kinds(table)
    used = {name: table[columns[name]] for name in formula.names}
    values = formula(
        {name: one.to_numpy(np.float64, na_value=np.nan) if kinds[name] == NUMBER else one.to_numpy(object) for name, one in used.items()}
    )
    whole = ~np.any([one.isna() for one in used.values()], axis=0)
    return values, whole if formula.kind == TRUTH else whole & np.isfinite(values)
