"""Verbs for runs on a cluster: ``retry``, ``cancel``, ``logs``, ``report efficiency``."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import app, group
from .output import JSON, print_json, print_table
from .runs import RUN, find_plan

report = group("report", "Tables about a run.")
dask = group("dask", "Workers of dask for steps over whole rasters.")

CELLS = typer.Argument(None, metavar="[CELL...]", help="Numbers or ranges as status shows them, e.g. 3 7-9; without: all.")
RETRY_PROFILE = typer.Option(None, "--profile", help="A file of configs/clusters, without .yaml; that of the last launch when left out.")


def parse_cells(words: list[str] | None, plan) -> set[int] | None:
    """Cell numbers of `3`, `7-9`, `1,4` or a cell's name; None without any word."""
    from ..core.errors import InputError

    if not words:
        return None
    names = {cell.key: cell.index for cell in plan.cells}
    found: set[int] = set()
    for word in words:
        if word in names:
            found.add(names[word])
            continue
        for part in word.split(","):
            first, dash, last = part.partition("-")
            # isdigit() would take superscripts, which are no numbers to int().
            if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
                raise InputError(f"{part!r} is no cell of {plan.run}", valid=f"0 to {len(plan.cells) - 1}, ranges such as 2-5, or names")
            found |= {plan.cell(index).index for index in range(int(first), int(last or first) + 1)}
    return found


@app.command()
def retry(
    run: str = RUN,
    cells: list[str] = CELLS,
    failed: bool = typer.Option(False, "--failed", help="Only cells that failed or were lost."),
    missing: bool = typer.Option(False, "--missing", help="Only cells that never ran to an end."),
    errors: bool = typer.Option(False, "--errors", help="Also cells that failed by their own error (Python)."),
    profile: str = RETRY_PROFILE,
    as_json: bool = JSON,
) -> None:
    """Submit failed and missing cells of a run again.

    After OOM with more memory, after a time-out with more time, from their checkpoints; what the cluster did goes as it was.
    """
    from ..batch import operations, preflight
    from ..batch.cluster import choose_profile, require_slurm
    from ..batch.slurm import SlurmExecutor
    from ..pipeline import STAGES

    plan = find_plan(run)
    launched_by = operations.require_submitted(plan)
    site = choose_profile(profile or launched_by, plan.root, STAGES)
    require_slurm(site)
    site = preflight.with_site_limits(site)
    say = (lambda _: None) if as_json else typer.echo
    both = failed == missing
    choice = {"failed": failed or both, "missing": missing or both, "errors": errors, "only": parse_cells(cells, plan)}
    executor = SlurmExecutor(plan, site, say)
    chosen, submitted = operations.retry(executor, **choice)
    if as_json:
        again = {index: asked.model_dump() for index, asked in chosen.resources.items()}
        print_json({"run": plan.run, "again": again, "not_again": chosen.not_again})
    for index, why in chosen.because.items():
        say(f"again: {plan.cells[index].key}: {why}")
    for index, why in chosen.not_again.items():
        say(f"not again: {plan.cells[index].key}: {why}")
    if submitted is None:
        say("nothing to retry")
        return
    if submitted.left:
        executor.feed(submitted, chosen.resources)
    say(f"Next: cratermill status {plan.run} --watch")


@app.command()
def cancel(run: str = RUN, cells: list[str] = CELLS) -> None:
    """Cancel the jobs of a run on a cluster, or those of some cells.

    Running cells save themselves first; retry or the next launch goes on from there.
    """
    from ..batch.cluster import cancel as cancel_cells
    from ..batch.estimate import number_of

    plan = find_plan(run)
    concerned = cancel_cells(plan, parse_cells(cells, plan))
    typer.echo(f"{number_of(len(concerned), 'cell')} cancelled" if concerned else "none of these cells is queued or running")


@app.command()
def logs(
    run: str = RUN,
    cell: str = typer.Argument(metavar="CELL", help="The cell's number or name."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until the cell has ended."),
) -> None:
    """Print what a cell has said, and what the scheduler said of its job."""
    from ..batch.operations import follow_log

    plan = find_plan(run)
    (index,) = sorted(parse_cells([cell], plan) or ())[:1]
    follow_log(plan, index, lambda text: typer.echo(text, nl=False), follow=follow)


@report.command()
def efficiency(run: str = RUN, as_json: bool = JSON) -> None:
    """Show what a run's jobs used of what they asked for.

    Elapsed time, wait in the queue, shares of CPU and memory, and GPU-hours, by stage and version.
    """
    from ..batch.operations import efficiency as measure

    found = measure(find_plan(run))
    if as_json:
        print_json(found)
        return
    heading = ("stage", "family", "version", "cells", "elapsed s", "waited s", "CPU", "memory", "GPU-hours")
    names = ("stage", "family", "version", "cells", "elapsed_s", "wait_s", "cpu_share", "memory_share", "gpu_hours")
    print_table(heading, [[row[name] for name in names] for row in found["groups"]])


def check_site(root: Path, name: str | None, probe: bool, as_json: bool) -> int:
    """`doctor --profile`: what the scheduler says to jobs of that profile; exit code 1 if it wouldn't take them."""
    from ..batch import preflight
    from ..batch import probe as probes
    from ..batch.cluster import choose_profile
    from ..pipeline import STAGES

    profile = preflight.with_site_limits(choose_profile(name, root, STAGES))
    checks = preflight.check_profile(root, profile, {stage: profile.resources(stage) for stage in STAGES})
    if probe and all(check.ok is not False for check in checks):
        checks.append(probes.probe(profile, root, say=lambda text: typer.echo(text, err=True)))
    if as_json:
        print_json([{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks])
    else:
        print_table(("check", "", "detail"), [(check.name, "ok" if check.ok else "FAILED", check.detail) for check in checks])
    return 1 if any(check.ok is False for check in checks) else 0


@dask.command("start")
def dask_start(
    profile: str | None = typer.Option(None, "--profile", envvar="CRATERMILL_PROFILE", help="A file of configs/clusters, without .yaml."),
    jobs: int = typer.Option(2, "--jobs", min=1, help="How many workers, each a job that asks for what the stage composite does."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only print the script of a worker's job."),
) -> None:
    """Start a dask scheduler here and its workers as jobs.

    It prints how other shells and notebooks use them, and stays; Ctrl-C ends the workers. Lost workers are submitted again.
    """
    from ..batch.cluster import choose_profile, require_slurm
    from ..batch.dask_cluster import script, start
    from ..core.paths import find_root

    root = find_root(Path.cwd())
    site = choose_profile(profile, root)
    require_slurm(site)
    if dry_run:
        typer.echo(script(site, root, root / "log" / "dask" / "NAME"))
        return
    start(site, root, jobs)
