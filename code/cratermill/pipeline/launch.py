"""Launching: from a config to a frozen plan that is run, here or by a scheduler."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError, InputError, WorkError
from .load_config import load_config
from .map_room import joining_bytes, room_lines, warn_of_room
from .plan_maps import map_warnings, refuse_other_weights
from .planning import STAGES, Rows, all_plan, map_data_or_refuse, map_plan, prepared_or_refuse, train_plan, wanted_rows, whole_or_refuse

if TYPE_CHECKING:
    from ..batch.plan import Plan
    from ..config import Config

PREPARE = "prepare"


def launched(
    kind: str,
    config_path: Path,
    *,
    executor: str | None = None,
    profile: str | None = None,
    workers: int | None = None,
    wait: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    as_json: bool = False,
    freeze_only: bool = False,
    changes: Sequence[str] = (),
    until: str = STAGES[-1],
    picture: Path | None = None,
) -> tuple[int, Plan]:
    """Plan, freeze and run; returns the exit code (0 all done, 1 some cells failed) and the plan. ``kind``: train, map or all.

    ``executor`` is the profile's when left out, local without a profile; a cluster only submits, unless told to ``wait``.
    ``workers`` is the local profile's when left out, 1 without a profile. ``changes`` (key=value) overrule the config for this launch,
    ``until`` is the last stage of ``all``, ``picture`` a file for the plan's graph in a dry run.
    """
    if executor is not None:
        _require_executor(executor)
    config = load_config(config_path, changes)
    site = _site(executor, profile, config)
    workers = workers or (site.workers if site else 1)
    plan = make_plan(kind, config, until, dry_run, workers, as_json)
    if freeze_only and not dry_run:
        return _freeze(plan, kind, overwrite, as_json), plan
    if dry_run and kind == "all":
        _show_graph(plan, picture, as_json)
    if dry_run:
        return _dry_run(plan, site, workers, as_json), plan
    if kind != "train":
        refuse_other_weights(config, plan, overwrite)
        warn_of_room(plan, joining_bytes(plan))
    if site is not None and site.executor != "local":
        from ..batch import cluster

        return cluster.launch(plan, site, overwrite=overwrite, wait=wait, more_checks=lambda: _check_rows(config, plan)), plan
    side_by_side = site.workers_per_gpu if site else 1
    return run_plan(plan, workers=workers, workers_per_gpu=side_by_side, overwrite=overwrite, as_json=as_json), plan


def launch(kind: str, config_path: Path, **options: Any) -> int:
    """The exit code of :func:`launched`."""
    return launched(kind, config_path, **options)[0]


def _require_executor(name: str) -> None:
    from ..batch.profile import EXECUTORS, all_executors

    if name not in EXECUTORS and name not in (known := all_executors()):
        raise InputError(f"executor {name!r}", valid=", ".join(known), next_step="choose one of these")


def make_plan(kind: str, config: Config, until: str, dry_run: bool, workers: int, quiet: bool) -> Plan:
    """The plan of a launch; that of ``all`` prepares the data first where they aren't, but never in a dry run."""
    if kind not in (*PLANNERS, "all"):
        raise InputError(f"a launch of {kind!r}", valid=", ".join((*PLANNERS, "all")), next_step="choose one of these")
    if kind != "all":
        return PLANNERS[kind](config)
    if until not in (PREPARE, *STAGES):
        raise InputError(f"--until {until}", valid=", ".join((PREPARE, *STAGES)), next_step="choose one of these")
    rows = wanted_rows(config) if config.run.train else {}
    unprepared = not_prepared(config, rows)
    if unprepared and not dry_run:
        if not quiet:
            print(f"preparing the data first: {unprepared}", flush=True)
        _prepare_shown(config, rows, workers)
    elif unprepared and not quiet:
        print(f"prepare would run first: {unprepared}\n")
    return plan_all(config, rows, until, unprepared=bool(unprepared) and dry_run)


def not_prepared(config: Config, rows: Rows) -> str | None:
    """Why the data of these rows have to be prepared; None where they are."""
    try:
        prepared_or_refuse(config, rows)
    except InputError as error:
        return error.given
    return None


def _prepare_shown(config: Config, rows: Rows, workers: int) -> None:
    from ..core.progress import shown
    from .prepare import prepare as make

    whole_or_refuse(config)
    with shown() as progress:
        make(config, rows, progress, workers)


def _show_graph(plan: Plan, picture: Path | None, as_json: bool) -> None:
    from .show_plan import graph_text, level_of, nodes_of, table_text

    nodes = nodes_of(plan)
    if not as_json:
        print(f"{table_text(nodes)}\n\n{graph_text(nodes)}\n")
    if picture is not None:
        from ..report.plan_picture import draw_plan

        places = {key: place for place, key in enumerate(nodes)}
        boxes = [
            (node.label, node.count, level_of(nodes, node), [places[one] for one in node.after], node.done == node.cells)
            for node in nodes.values()
        ]
        draw_plan(picture, boxes)
    return None


def _check_rows(config: Config, plan: Plan) -> list:
    from ..batch.preflight import Check
    from .check_rows import check_rows

    return [Check(name, problem is None, problem or "builds") for name, problem in check_rows(config, plan, print)]


def _freeze(plan: Plan, kind: str, overwrite: bool, as_json: bool) -> int:
    """Write the plan and say how its cells are submitted by hand."""
    from ..batch import submissions
    from ..batch.by_hand import submission_lines
    from ..batch.plan import freeze
    from ..batch.workspace import check_products

    check_products(plan, overwrite)
    path = freeze(plan)
    submissions.folder(plan).mkdir(exist_ok=True)  # for what jobs say; Slurm doesn't make folders
    lines = submission_lines(plan, f"slurm/{'map' if kind == 'map' else 'train'}.slurm", plan.root)
    if as_json:
        print(json.dumps({"run": plan.run, "plan": str(path), "cells": len(plan.cells), "by_hand": lines}))
    else:
        print(f"{path}\nTo submit it by hand, in {plan.root} (options of sbatch win over those of the template):")
        print("\n".join(f"  {line}" for line in lines))
    return 0


def _site(executor: str | None, profile: str | None, config: Config):
    """The profile to run by, None where there is none; refuses an executor that is not the profile's."""
    if profile is None and executor in (None, "local"):
        return None
    from ..batch.cluster import choose_profile
    from . import STAGES

    site = choose_profile(profile, config.root, STAGES)
    if executor == "local" and site.executor != "local":
        return None  # the profile may come from the environment, and this once the work is to stay here
    if executor not in (None, site.executor):
        raise InputError(
            f"--executor {executor} with profile {site.name}, whose executor is {site.executor}", next_step="leave one of them out"
        )
    return site


def plan_training(config: Config) -> Plan:
    """The training plan of a config whose data are prepared and whose weights are there."""
    rows = wanted_rows(config)
    require_launchable(config, rows)
    prepared_or_refuse(config, rows)
    return train_plan(config, rows)


def plan_mapping(config: Config) -> Plan:
    require_bodies(config)
    map_data_or_refuse(config)
    plan = map_plan(config)
    _warn_of_mosaics(config, plan)
    return plan


def require_bodies(config: Config) -> None:
    """Raise ``InputError`` where the config's body isn't that of the mosaic it trains on and maps."""
    from ..samples.answers import remembered
    from ..samples.inputs import mark

    def check() -> None:
        from .prepare import check_body

        mark(config.mosaic)  # the answer stands while this file does
        check_body(config)

    if any(not (one.mosaic or one.data) for one in config.maps) and config.mosaic.exists():
        remembered(config, ["body", config.run.body, str(config.mosaic)], check)


def _warn_of_mosaics(config: Config, plan: Plan) -> None:
    """What a map's family has to say of its mosaic, before its first part is made; finished maps have said it."""
    from ..batch.state import is_done
    from ..core.notices import notice

    for cell in {cell.params["map"]: cell for cell in plan.cells if cell.stage == "map" and not is_done(plan, cell)}.values():
        for text in map_warnings(config, cell.params):
            notice(text)


def plan_all(config: Config, rows: Rows, until: str = STAGES[-1], unprepared: bool = False) -> Plan:
    """The plan from the rows to the finished maps."""
    if config.run.train:
        require_launchable(config, rows)
    if not unprepared:
        require_bodies(config)
        map_data_or_refuse(config)
    return all_plan(config, rows, until, unprepared)


def require_launchable(config: Config, rows: Rows) -> None:
    """Raise ``InputError`` where there is nothing to do, weights are missing, or a row's loss, optimiser or schedule can't be made."""
    from ..networks.weights import require_weights
    from ..tables.versions import require_trainable

    if not any(rows.values()) and not config.maps:
        raise InputError(
            f"{config.source} trains nothing: no row of {', '.join(run.table for run in config.run.train.values())} has version_run True",
            valid="a row with version_run True, or train.<family>.versions",
            next_step="set version_run in the table, or name versions in the config",
        )
    require_weights([row for found in rows.values() for row in found], shlex.quote(str(config.source)))
    for name, found in rows.items():
        require_trainable(name, found)


PLANNERS: dict[str, Callable[[Any], Any]] = {"train": plan_training, "map": plan_mapping}


def run_plan(plan: Plan, *, workers: int = 1, workers_per_gpu: int = 1, overwrite: bool = False, as_json: bool = False) -> int:
    """Run what a plan still lacks on this machine."""
    from ..batch.local import LocalExecutor
    from ..batch.observe import make_observer
    from ..batch.plan import freeze
    from ..batch.status import results_line
    from ..batch.workspace import check_products

    check_products(plan, overwrite)
    freeze(plan)
    result = LocalExecutor(plan, workers=workers, workers_per_gpu=workers_per_gpu, observer=None if as_json else make_observer()).submit()
    troubles = result.troubles()
    if as_json:
        failed = [{"cell": key, "state": state, "cause": cause} for key, state, cause in troubles]
        print(json.dumps({"run": plan.run, "cells": result.counts, "failed": failed, "exit_code": result.exit_code}))
    elif troubles:
        print(f"\n{len(troubles)} of {len(plan.cells)} cells failed or had to wait for one that did:")
        print("\n".join(f"  {key}  {state}: {cause}" for key, state, cause in troubles))
        print(f"Next: read their logs in {plan.folder / 'cells'}, then give the same command again: it does only what is missing")
    elif line := results_line(plan):
        print(line)
    return result.exit_code


def run_rows(config_path: Path, executor: str | None, profile: str | None, workers: int | None) -> Callable[[Plan], int]:
    """A function that runs a plan to its end, here or on a cluster, as ``launch`` with the same options would."""
    site = _site(executor, profile, load_config(config_path))
    count = workers or (site.workers if site else 1)

    def run(plan: Plan) -> int:
        if site is not None and site.executor != "local":
            from ..batch import cluster

            return cluster.launch(plan, site, overwrite=False, wait=True)
        return run_plan(plan, workers=count, workers_per_gpu=site.workers_per_gpu if site else 1)

    return run


def _dry_run(plan: Plan, site: Any, workers: int, as_json: bool) -> int:
    """Say what a launch would do, on a cluster or here, and what room its maps take."""
    joining = joining_bytes(plan)
    if site is not None and site.executor != "local":
        from ..batch import cluster

        cluster.dry_run(plan, site, as_json)
    else:
        from ..batch.estimate import describe, describe_text

        found = describe(plan, workers) | {"joining_bytes": joining}
        print(json.dumps(found) if as_json else describe_text(found))
    if not as_json:
        print("".join(f"  {line}\n" for line in room_lines(plan, joining)), end="")
    warn_of_room(plan, joining)
    return 0


def prepare(
    config_path: Path, workers: int = 1, progress: Callable[[str, int, int], None] | None = None, changes: Sequence[str] = ()
) -> dict[str, dict]:
    """Prepare the data of every row that the config trains; ``changes`` (key=value) overrule it."""
    from .prepare import prepare as make

    config = load_config(config_path, changes)
    whole_or_refuse(config)
    rows = wanted_rows(config)
    made = make(config, rows, progress or (lambda *_: None), workers)
    _say_what_is_carried(config, rows, made)
    with contextlib.suppress(CratermillError):
        # What launches ask of the data is remembered in log/.
        config.project.log.mkdir(parents=True, exist_ok=True)
        prepared_or_refuse(config, rows)
        plan_all(config, rows)
    return made


def _say_what_is_carried(config: Config, rows: Rows, made: dict[str, dict]) -> None:
    from .sample_counts import carried, smallest_crater

    for number, (name, facts) in enumerate(made.items()):
        found = carried(config, name, rows[name])
        more = smallest_crater(config) if number == 0 else ([], [])
        for what, own, other in zip(("notes", "warnings"), found, more, strict=True):
            if own or other:
                facts[what] = [*facts.get(what, []), *own, *other]


def summarise_run(plan: Plan) -> dict:
    """Summarise a training run again, unless nothing has changed since: what was written (``results``), which cells are ``missing``."""
    from ..batch.cell import run_cell
    from ..batch.state import CELL_FILE, DONE
    from ..core.files import read_json
    from . import run_cell as science
    from .summarised import Incomplete, standing

    cell = next((cell for cell in plan.cells if cell.stage == "summarise"), None)
    if cell is None:
        raise InputError(f"run {plan.run} has nothing to summarise", valid="a run of 'launch train'")
    if made := standing(plan, cell):
        return made
    caught: list[CratermillError] = []

    def work(*given: Any) -> dict | None:
        # A cell tells of a failure as one text; here its parts are wanted.
        try:
            return science(*given)
        except CratermillError as error:
            caught.append(error)
            raise

    result = run_cell(plan, cell.index, work, log_to_file=True)  # said once: by whoever called us
    if result.state == DONE:
        return read_json(plan.product(cell) / CELL_FILE)["metrics"]
    if not caught:
        raise WorkError(f"summarise: {result.cause}", next_step=f"read {plan.log_path(cell.index)}")
    if isinstance(caught[0], Incomplete):
        return caught[0].made
    raise caught[0]
