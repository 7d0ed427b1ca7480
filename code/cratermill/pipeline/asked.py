"""What a configuration asks of a finished map: its analysis, and its comparison with a truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from .analyse import run_analysis
from .compare import run_comparison
from .plan_maps import at_work

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    """Analyse or compare the map of a cell; the files lie in the map's folder."""
    folder = config.project.map_folder(cell.params["name"])

    def report(doing: str, done: int, total: int) -> None:
        workspace.keep_going()
        workspace.report(item=done, items=total, doing=doing)

    if cell.stage == "compare":
        truth = at_work(config, cell.params).map_run.compare
        found = run_comparison(folder, config.path(truth or ""), progress=report)
    else:
        found = run_analysis(folder, progress=report)
    into = Path(str(found.get("folder", folder)))
    made = found.get("files") or [found["page"]]  # of a comparison the page comes last
    results = [config.project.relative(into / str(name)) for name in made] if isinstance(made, list) else []
    return {name: value for name, value in found.items() if name not in ("files", "folder", "page")} | {"results": results}
