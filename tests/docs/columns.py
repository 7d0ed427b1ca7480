"""The tables of columns in docs/families.md, made from the models of the rows. ``python -m tests.docs.columns`` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from cratermill.families.table import hparams_model
from cratermill.families.training import TrainingHparams

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
FAMILIES = ("connection", "ejecta")


def tables() -> dict[str, str]:
    """Per table its name (``shared`` or a family) and its lines."""
    shared = TrainingHparams.columns()
    found = {"shared": _table(TrainingHparams, list(shared))}
    for family in FAMILIES:
        model = hparams_model(family)
        changed = [column for column, name in shared.items() if _said(model, name) != _said(TrainingHparams, name)]
        own = [column for column in model.columns() if column not in shared or column in changed]
        found[family] = _table(model, own)
    return found


def _table(model: type[TrainingHparams], columns: list[str]) -> str:
    names = model.columns()
    rows = [f"| `{column}` | {_blank(model.model_fields[names[column]])} | {_meaning(model, names[column])} |" for column in columns]
    return "\n".join(["| column | when blank or missing | meaning |", "|---|---|---|", *rows])


def _blank(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "refused"
    return "none" if field.default is None else f"`{field.default}`"


def _meaning(model: type[TrainingHparams], name: str) -> str:
    return (model.model_fields[name].description or "").replace("|", "\\|")


def _said(model: type[TrainingHparams], name: str) -> tuple:
    field = model.model_fields[name]
    return field.description, field.default


def filled(page: str) -> str:
    """The page with each table between its marks."""
    for name, table in tables().items():
        begin, end = f"<!-- columns: {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}{table}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
