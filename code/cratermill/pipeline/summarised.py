"""Whether a run's summary still stands: nothing that it was made of, or that it made, has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch.state import CELL_FILE, is_settled
from ..core.errors import WorkError
from ..core.files import fingerprint, read_json
from ..core.paths import Project
from ..families import get_family
from ..samples.answers import files_below

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan

FILES = "files.json"
"""In a summary's product: the marks of the cells that it was made of and of the files that it left."""


class Incomplete(WorkError):
    """Cells are missing; ``made`` is what was summarised of the others."""

    made: dict


def require_complete(result: dict) -> None:
    """Raise ``Incomplete`` naming the missing cells, after everything there is has been written."""
    if result["missing"]:
        count = "1 cell is" if len(result["missing"]) == 1 else f"{len(result['missing'])} cells are"
        error = Incomplete(f"{count} missing: {', '.join(result['missing'][:5])}", next_step="launch again to make them")
        error.made = result
        raise error


def standing(plan: Plan, cell: Cell) -> dict[str, Any] | None:
    """What a run's summary told, where it needn't be made again."""
    product = plan.product(cell)
    if not is_settled(plan, cell) or read_json(product / FILES) != {"cells": cells_mark(plan), "files": files_mark(plan)}:
        return None
    made: dict[str, Any] = read_json(product / CELL_FILE)["metrics"]
    return made


def cells_mark(plan: Plan) -> str:
    """Changes when a cell of one of the plan's versions does, whichever run it is of."""
    return _mark(log / "cells" for _, log in _versions(plan))


def files_mark(plan: Plan) -> str:
    """Changes when anything in the logs and results of the plan's families does: they are compared, version by version."""
    return _mark({folder for results, log in _versions(plan) for folder in (results.parent, log)})


def _versions(plan: Plan) -> list[tuple[Path, Path]]:
    """The folders of each version of the plan: results and log."""
    project = Project(plan.root, plan.config.get("group") or "")
    found = sorted({(get_family(cell.params["family"]).short, cell.params["version"]) for cell in plan.cells if cell.stage == "train"})
    return [(project.version_results(*version), project.version_log(*version)) for version in found]


def _mark(folders: Iterable[Path]) -> str:
    return fingerprint([sorted(files_below(str(folder))) for folder in sorted(folders)])
