"""Join the parts of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from ..core.errors import WorkError
from ..core.notices import notice
from ..families import get_family
from ..families.likeness import said
from .index import write_results_page
from .plan_maps import at_work, map_warnings, other_weights

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    parts = [plan.cells[need] for need in cell.needs if plan.cells[need].stage == "map"]
    present = [part for part in parts if (plan.product(part) / "cell.json").exists()]
    other = [(part.key, what) for part in present if (what := other_weights(config, plan, part))]
    if other:
        raise WorkError(f"{other[0][0]} was made with another {other[0][1]}", next_step="launch again with --overwrite")
    family, one = get_family(cell.params["family"]), at_work(config, cell.params)
    warnings = map_warnings(config, cell.params) if present else []
    for text in warnings:
        notice(text)
    result = family.composite(one, [plan.product(part) for part in present], workspace)
    doubts = said(result["name"], result) if "light" in result else []
    for text in doubts:
        notice(text)
    here = {part.index for part in present}
    made = [*result.get("results", []), config.project.relative(config.project.map_folder(cell.params["name"]))]
    made.append(config.project.relative(write_results_page(config.root)))
    return {**result, "results": made, "warnings": [*warnings, *doubts], "missing": [part.key for part in parts if part.index not in here]}
