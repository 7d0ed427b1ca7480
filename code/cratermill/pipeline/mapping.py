"""Make one independent part of a map."""

from __future__ import annotations

from typing import Any

from ..config import Config
from ..families import get_family


def run(config: Config, plan: Any, cell: Any, workspace: Any) -> dict:
    return get_family(cell.params["family"]).map(config, cell.params, workspace)
