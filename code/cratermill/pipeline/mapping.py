"""Make one independent part of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from ..families import get_family
from ..families.members import used_weights
from .plan_maps import at_work

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    one = at_work(config, cell.params)
    used = used_weights(one, cell.params["weights"], one.map_run.split)
    return {**get_family(cell.params["family"]).map(one, cell.params, workspace), "weights": used}
