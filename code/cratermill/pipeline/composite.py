"""Join the parts of a map."""

from __future__ import annotations

from typing import Any

from ..config import Config
from ..families import get_family


def run(config: Config, plan: Any, cell: Any, workspace: Any) -> dict:
    products = [plan.root / plan.cells[need].product for need in cell.needs]
    present = [product for product in products if (product / "cell.json").exists()]
    result = get_family(cell.params["family"]).composite(config, present, workspace)
    missing = [plan.cells[need].key for need, product in zip(cell.needs, products, strict=True) if product not in present]
    return {**result, "missing": missing}
