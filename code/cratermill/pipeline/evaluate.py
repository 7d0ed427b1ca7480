"""Apply one trained cell to the whole of its data and score it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from ..core.files import fingerprint
from ..families import cell_params, get_family
from .data_set import data_set

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace
    from ..training.cell import CellParams


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    params = cell_params(cell.params)
    require_its_data(config, params)
    metrics = get_family(params.family).evaluate(config, params, workspace)
    return {**metrics, "data_set": data_set(config, params.family)}


def require_its_data(config: Config, params: CellParams) -> None:
    """Raise ``InputError`` where the trained cell learned from other data than those that it would be scored on."""
    from ..training.checkpoint import require_data

    family = get_family(params.family)
    path = config.project.cell_product(family.short, params.version, "train", params.split, params.iteration) / "best.ckpt"
    if path.exists():
        require_data(path, lambda: fingerprint(family.data_fingerprint(config, params.hparams)))
