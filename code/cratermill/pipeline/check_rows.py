"""Before a training plan is queued: does every row of it build, on the data that are there?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..families import cell_params, get_family
from ..training.cell import FIRST, CellParams
from .train import build_task, row_and_data

if TYPE_CHECKING:
    from ..config import Config


def check_rows(config: Config, plan: Any, say: Callable[[str], None] = lambda _: None) -> Iterator[tuple[str, str | None]]:
    """For each row with something left to train its name, and why its network, optimiser or data can't be made (None: they can)."""
    for params in rows_to_train(plan):
        name = f"{params.family} version {params.version}"
        say(f"checking {name}")
        try:
            build(config, params)
        except Exception as error:  # noqa: BLE001 - libraries raise all sorts of things at what they can't build
            lines = [line for line in str(error).splitlines() if line.strip()] or [""]
            yield name, f"{type(error).__name__}: {lines[0]}"
        else:
            yield name, None


def rows_to_train(plan: Any) -> list[CellParams]:
    """The first cell of each row that isn't trained yet."""
    from ..batch.state import is_done

    found: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in plan.cells:
        if cell.stage == "train" and not is_done(plan, cell):
            found.setdefault((cell.params["family"], cell.params["version"]), cell.params)
    return [cell_params(one) for one in found.values()]


def build(config: Config, params: CellParams) -> None:
    """All that a training makes before its first step, on the CPU; nothing is kept."""
    family = get_family(params.family)
    hparams, data = row_and_data(config, family, params, FIRST)
    build_task(family, params, hparams, data).optimizers()
