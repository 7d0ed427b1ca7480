"""The lines with which a person submits a frozen plan without a profile: one sbatch per level of its graph."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from .plan import Plan


def submission_lines(plan: Plan, template: str, folder: Path) -> list[str]:
    """Shell lines to give in `folder`, each array to begin when the one before has ended; they run the launcher's line per cell."""
    lines: list[str] = []
    where = shlex.quote(os.path.relpath(plan.path, folder))
    said = f"{plan.folder}/slurm".replace("%", "%%") if "%" in str(plan.folder) else f"{os.path.relpath(plan.folder, folder)}/slurm"
    output = shlex.quote(f"{said}/%A_%a.out")
    for indices in plan.levels():
        after = " --dependency=afterany:$job" if lines else ""
        lines.append(f"job=$(sbatch --parsable{after} --array={ranges(indices)} -o {output} {template} {where})")
    return lines


def ranges(indices: list[int]) -> str:
    """Sorted numbers as sbatch's --array takes them: 0-3,7."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
