"""What a configuration asks of a finished map: its analysis, and its comparison with a truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import AnalysisOptions, CompareOptions, Config
from ..core.errors import InputError
from ..geo.bodies import get_body
from .analyse import run_analysis
from .compare import run_comparison
from .compare_lists import compare_lists
from .counts import is_list, run_counts
from .plan_maps import at_work, truth_path

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace

OF_LISTS = ("area_km2", "chronology", "diameters", "where", "body")
OF_COMPARED_LISTS = ("by", "diameters", "where", "body")
"""Options of an analysis and of a comparison that only crater lists know: a map of ejecta must not take them without a word."""
OF_EJECTA, OF_COMPARED_EJECTA = ("min_size", "pictures", "band_names"), ("scales", "min_size", "pictures", "calibrate")
"""The other way round."""


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    """Analyse or compare the map of a cell; the files lie in the map's folder."""
    folder = config.project.map_folder(cell.params["name"])

    def report(doing: str, done: int, total: int) -> None:
        workspace.keep_going()
        workspace.report(item=done, items=total, doing=doing)

    at = at_work(config, cell.params)
    if cell.stage == "compare":
        one = at.map_run.compare[cell.params["number"]]
        found = compared(folder, truth_path(at, one.truth), one, progress=report)
    else:
        found = analysed(folder, at.map_run.analyse or AnalysisOptions(), progress=report)
    into = Path(str(found.get("folder", folder)))
    made = found.get("files") or [found["page"]]  # of a comparison the page comes last
    results = [config.project.relative(into / str(name)) for name in made] if isinstance(made, list) else []
    return {name: value for name, value in found.items() if name not in ("files", "folder", "page")} | {"results": results}


def analysed(folder: Path, options: AnalysisOptions, **named: Any) -> dict[str, Any]:
    """Patterns of a map's ejecta, or what a crater list counts."""
    if is_list(folder):
        refuse_ejecta_options(folder, options, OF_EJECTA, {name: named.get(name) for name in ("mosaic", "craters", "drawn")})
        asked: dict[str, Any] = {"area_km2": options.area_km2, "chronology": options.chronology, "diameters_km": options.diameters}
        asked |= {"where": options.where, "body": get_body(options.body) if options.body else None}
        return run_counts(folder, **asked, into=named.get("into"))
    refuse_list_options(folder, options, OF_LISTS, "analysed")
    return run_analysis(folder, options=options, **named)


def compared(folder: Path, truth: Path, options: CompareOptions, **named: Any) -> dict[str, Any]:
    """A map or a crater list against truth."""
    if is_list(folder):
        refuse_ejecta_options(folder, options, OF_COMPARED_EJECTA, {"craters": named.get("craters")})
        return compare_lists(folder, truth, options, mosaic=named.get("mosaic"), into=named.get("into"))
    refuse_list_options(folder, options, OF_COMPARED_LISTS, "compared")
    return run_comparison(folder, truth, options=options, **named)


def refuse_list_options(folder: Path, options: AnalysisOptions | CompareOptions, names: tuple[str, ...], done: str) -> None:
    if unread := given(options, names):
        raise InputError(
            f"{', '.join(unread)}: {folder.name} is a map of ejecta, all of whose craters are {done}",
            valid="a crater list, or a map of craters",
            next_step="leave it out; 'map.craters' in the configuration chooses the craters of a map",
        )


def refuse_ejecta_options(
    folder: Path, options: AnalysisOptions | CompareOptions, names: tuple[str, ...], files: dict[str, Path | None]
) -> None:
    if unread := [*given(options, names), *(name for name, path in files.items() if path is not None)]:
        raise InputError(
            f"{', '.join(unread)}: {folder.name} holds a crater list, for which that means nothing",
            valid="a map of ejecta",
            next_step="leave it out",
        )


def given(options: AnalysisOptions | CompareOptions, names: tuple[str, ...]) -> list[str]:
    """Which of these options aren't as when they are left out."""
    fields = type(options).model_fields
    return [name for name in names if getattr(options, name) != fields[name].get_default(call_default_factory=True)]
