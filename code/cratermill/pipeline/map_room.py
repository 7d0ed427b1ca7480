"""The room that a plan's maps take while they are joined, by what finished parts keep: said before the parts are made."""

from __future__ import annotations

import shutil
import statistics
from typing import TYPE_CHECKING

from ..core.notices import notice
from ..core.paths import Project
from ..core.room import readable
from ..families import get_family

if TYPE_CHECKING:
    from ..batch.plan import Plan


def joining_bytes(plan: Plan) -> dict[str, float]:
    """Bytes below ``results/`` that joining each of a plan's unfinished maps takes, about; those alone whose parts are rasters, and of
    which this project has made some."""
    from ..batch.estimate import known_rates
    from ..batch.state import is_done

    joined = [cell for cell in plan.cells if cell.stage == "composite" and get_family(cell.params["family"]).joining_room]
    joined = [cell for cell in joined if not is_done(plan, cell)]
    rates = known_rates(plan.root, statistics.fmean) if joined else {}  # a few parts are much larger than the others
    found = {}
    for cell in joined:
        family = cell.params["family"]
        each = max((rates.get((("map", family), gpu), {}).get("bytes", 0.0) for gpu in (False, True)), default=0.0)
        if each:
            found[cell.params["name"]] = get_family(family).joining_room * each * len(cell.needs)
    return found


def room_lines(plan: Plan, joining: dict[str, float]) -> list[str]:
    """What that means for the disk of ``results/``."""
    free = readable(free_bytes(plan))
    return [
        f"joining the map {name}: about {readable(size)} in results/, by earlier cells; {free} are free" for name, size in joining.items()
    ]


def warn_of_room(plan: Plan, joining: dict[str, float]) -> None:
    """Say which maps won't fit on the disk once their parts are made."""
    free = free_bytes(plan)
    for line in room_lines(plan, {name: size for name, size in joining.items() if size > free}):
        notice(f"{line}: make room first, or map fewer craters at a time")


def free_bytes(plan: Plan) -> int:
    results = Project(plan.root).results
    return shutil.disk_usage(results if results.exists() else plan.root).free
