"""The tables of columns in the docs, made from the models of the rows. ``python -m tests.docs.columns`` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from cratermill.families import FAMILIES, row_model
from cratermill.tables.table import valid_values
from cratermill.training.hparams import RowHparams, TrainingHparams

PAGES = Path(__file__).parents[2] / "docs"
TABLE = re.compile(r"<!-- columns: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def tables() -> dict[str, str]:
    """Per table its name and its lines: ``every`` for all families, ``ejmap`` for both of the ejecta map, one per family."""
    every, ejmap = RowHparams, TrainingHparams
    found = {"every": _table(every, list(every.columns())), "ejmap": _table(ejmap, _beyond(ejmap, every))}
    for family in FAMILIES:
        model = row_model(family)
        found[family] = _table(model, _beyond(model, ejmap if issubclass(model, ejmap) else every))
    return found


def _beyond(model: type[RowHparams], base: type[RowHparams]) -> list[str]:
    """Columns that the base doesn't have, or explains otherwise."""
    shared = base.columns()
    return [column for column, name in model.columns().items() if column not in shared or _said(model, name) != _said(base, name)]


def _table(model: type[RowHparams], columns: list[str]) -> str:
    names = model.columns()
    rows = [f"| `{column}` | {_blank(model.model_fields[names[column]])} | {_meaning(model, names[column])} |" for column in columns]
    return "\n".join(["| column | when blank or missing | meaning |", "|---|---|---|", *rows])


def _blank(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "refused"
    return "none" if field.default is None else f"`{field.default}`"


def _meaning(model: type[RowHparams], name: str) -> str:
    """The description, and the names or the range that ``versions show`` and refusals give, too."""
    field = model.model_fields[name]
    valid = valid_values(field)
    return ((field.description or "") + (f". Valid: {valid}" if valid else "")).replace("|", "\\|")


def _said(model: type[RowHparams], name: str) -> tuple:
    field = model.model_fields[name]
    return field.description, field.default


def filled(page: str) -> str:
    """The page with each table between its marks, ``<!-- columns: NAME -->`` and ``<!-- end -->``."""
    made = tables()
    return TABLE.sub(lambda found: f"<!-- columns: {found[1]} -->\n{made[found[1]]}\n<!-- end -->", page)


def pages() -> dict[Path, str]:
    """Every page that has such a table, and its text."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    return {path: text for path, text in texts.items() if TABLE.search(text)}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(filled(text), encoding="utf-8")
