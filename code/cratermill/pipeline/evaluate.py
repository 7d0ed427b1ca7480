"""Apply one trained cell to the whole of its data and score it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from ..families import get_family
from ..training.cell import CellParams

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    params = CellParams(**cell.params)
    return get_family(params.family).evaluate(config, params, workspace)
