"""Apply one trained cell to the whole of its data and score it."""

from __future__ import annotations

from typing import Any

from ..config import Config
from ..families import get_family
from ..training.cell import CellParams


def run(config: Config, plan: Any, cell: Any, workspace: Any) -> dict:
    params = CellParams(**cell.params)
    return get_family(params.family).evaluate(config, params, workspace)
