"""The lines with which a person submits a frozen plan without a profile: one sbatch per level of its graph."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from .jobscript import output_pattern
from .plan import Plan


def submission_lines(plan: Plan, template: str, folder: Path) -> list[str]:
    """Shell lines to give in `folder`, each array to begin when the one before has ended; they run the launcher's line per cell."""
    lines, levels = [], levels_of(plan)
    where = shlex.quote(os.path.relpath(plan.path, folder))
    output = shlex.quote(output_pattern(str(plan.path) if "%" in str(plan.path) else os.path.relpath(plan.path, folder)))
    for level in sorted(set(levels)):
        indices = [cell.index for cell, its in zip(plan.cells, levels, strict=True) if its == level]
        after = " --dependency=afterany:$job" if lines else ""
        lines.append(f"job=$(sbatch --parsable{after} --array={ranges(indices)} -o {output} {template} {where})")
    return lines


def levels_of(plan: Plan) -> list[int]:
    """For each cell how many others stand before it, one waiting for the other."""
    levels: list[int] = []
    for cell in plan.cells:
        levels.append(1 + max((levels[need] for need in cell.needs), default=-1))
    return levels


def ranges(indices: list[int]) -> str:
    """Sorted numbers as sbatch's --array takes them: 0-3,7."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
