"""Verbs about runs: ``demo``, ``launch``, ``runs``, ``status``, ``summarise``, and ``cell``, which runs cells by hand."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import app, group
from .output import CONFIG, JSON, SET, begins, print_json

launch = group("launch", "Plan and run; again: only what is missing.")

EXECUTOR = typer.Option(
    None, "--executor", help="Where cells run: local, slurm or a package's; the profile's when left out, local without one."
)
PROFILE = typer.Option(None, "--profile", envvar="CRATERMILL_PROFILE", help="A file of configs/clusters, without .yaml.")
WAIT = typer.Option(False, "--wait", help="On a cluster: stay until all cells have ended; exit code 1 if some failed.")
LAUNCH_WORKERS = typer.Option(None, "--workers", min=1, help="Parallel workers here; the local profile's when left out, else 1.")
DRY_RUN = typer.Option(False, "--dry-run", help="Only say what would be done, and how long it may take.")
FREEZE = typer.Option(False, "--freeze", help="Only write the plan, and say how to submit its cells by hand.")
OVERWRITE = typer.Option(False, "--overwrite", help="Move results of other hyper-parameters aside instead of refusing.")
RUN_HELP = "A run's name, its beginning, 'latest', its plan.json, or a configuration: its newest run."
RUN = typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=lambda: run_names())
UNTIL = typer.Option(
    "compare", "--until", metavar="STAGE", help="Last stage: prepare, train, evaluate, summarise, map, composite, analyse or compare."
)
PICTURE = typer.Option(None, "--picture", metavar="FILE", help="With --dry-run: draw the graph of stages, as .svg or .png.")


def run_names() -> list[str]:
    """Runs of this project, newest first, for the shell's completion."""
    from ..core.paths import Project, find_root

    folder = Project(find_root(Path.cwd())).run("any").parent
    names = [path.parent.name for path in sorted(folder.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime)]
    return names + ["latest"] if names else []


def find_plan(run: str):
    from ..batch.plan import find_run
    from ..core.paths import find_root

    return find_run(find_root(Path.cwd()), run)


@app.command()
def demo(workers: int = typer.Option(2, "--workers", min=1, help="Number of parallel workers.")) -> None:
    """Run everything once, on a synthetic planet.

    From planet to map in about ten minutes on two cores; what is done already is left alone.
    """
    from ..pipeline.demo import run_demo

    raise typer.Exit(run_demo(workers))


@app.command()
def replicate(
    name: str = typer.Argument(metavar="NAME", help="A file of configs/replicate, without .yaml.", autocompletion=lambda: replications()),
    small: bool = typer.Option(False, "--small", help="In minutes, on a synthetic planet: shows that all of it runs."),
    dry_run: bool = DRY_RUN,
    workers: int = typer.Option(1, "--workers", min=1, help="Number of parallel workers."),
) -> None:
    """Run published work again.

    Data, training, evaluation and maps in one launch; its tables and figures beside the published ones. See docs/replicate.md.
    """
    from ..pipeline.replicate import run_replication

    raise typer.Exit(run_replication(name, small, dry_run, workers))


def replications() -> list[str]:
    """Names in configs/replicate, for the shell's completion."""
    from ..core.paths import find_root
    from ..pipeline.replicate import replication_names

    return replication_names(find_root(Path.cwd()))


def _launched(kind: str, text: str) -> None:
    """A verb of `launch`."""

    @launch.command(kind, help=text)
    def verb(
        config: Path = CONFIG,
        executor: str = EXECUTOR,
        profile: str = PROFILE,
        workers: int | None = LAUNCH_WORKERS,
        wait: bool = WAIT,
        dry_run: bool = DRY_RUN,
        overwrite: bool = OVERWRITE,
        freeze: bool = FREEZE,
        changes: list[str] = SET,
        as_json: bool = JSON,
    ) -> None:
        options = {"dry_run": dry_run, "overwrite": overwrite, "as_json": as_json, "freeze_only": freeze, "changes": changes}
        _launch(kind, config, executor=executor, profile=profile, workers=workers, wait=wait, **options)


_launched(
    "train",
    """Train, evaluate and summarise a config.

    One cell per version, split and iteration; a plan of all of them is frozen first. Launching again does only what is missing or failed.
    """,
)
_launched(
    "map",
    """Make the map of a config.

    Crater by crater, with the ensemble of the versions that the config names. Launching again does only what is missing or failed.
    """,
)


@launch.command("all")
def all_(
    config: Path = CONFIG,
    executor: str = EXECUTOR,
    profile: str = PROFILE,
    workers: int | None = LAUNCH_WORKERS,
    wait: bool = WAIT,
    dry_run: bool = DRY_RUN,
    overwrite: bool = OVERWRITE,
    freeze: bool = FREEZE,
    changes: list[str] = SET,
    until: str = UNTIL,
    picture: Path | None = PICTURE,
    as_json: bool = JSON,
) -> None:
    """From rows to finished maps.

    Prepare where it is needed, then one plan: train, evaluate, summarise, map, composite. A cell that fails stops only what needs it.
    """
    options = {"dry_run": dry_run, "overwrite": overwrite, "as_json": as_json, "freeze_only": freeze, "changes": changes}
    options |= {"until": until, "picture": picture}
    _launch("all", config, executor=executor, profile=profile, workers=workers, wait=wait, **options)


def _launch(kind: str, config: Path, **options) -> None:
    begins(f"launch {kind}: reading configuration, rows and data")
    from ..pipeline.launch import launch as run

    raise typer.Exit(run(kind, config, **options))


@app.command()
def search(
    config: Path = CONFIG,
    executor: str = EXECUTOR,
    profile: str = PROFILE,
    workers: int | None = LAUNCH_WORKERS,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Let Optuna look for better rows, as 'search' in the config says.

    Rows of a table of its own are trained like any others, here or on a cluster, pruned early, chosen by validation alone.
    """
    begins("search: loading Optuna and earlier trials")
    from ..pipeline.launch import run_rows
    from ..pipeline.search import describe, open_search, require_done

    say = (lambda _: None) if as_json else typer.echo
    one = open_search(config, run_rows(config, executor, profile, workers), say)
    if dry_run:
        typer.echo(describe(one))
        return
    found = one.go()
    if as_json:
        print_json(found)
    require_done(found)
    say(f"best: version {found['best']} of {found['table']}, validation score {found['score']:.4g}: {found['columns']}")
    say(f"results: {found['page']}")


@app.command()
def runs(as_json: bool = JSON) -> None:
    """List the runs of this project.

    Newest first: state, age, configuration and body.
    """
    from ..batch.estimate import duration_text
    from ..batch.status import counts_text, list_runs
    from ..core.paths import find_root
    from .output import print_table

    found = list_runs(find_root(Path.cwd()))
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("no runs yet; next: cratermill launch train CONFIG")
    else:
        rows = [(*(one[name] for name in ("run", "state", "config", "body")), duration_text(one["age_s"]), one["counts"]) for one in found]
        print_table(("run", "state", "config", "body", "age", "cells"), [(*row, counts_text(counts)) for *row, counts in rows])


@app.command()
def status(
    run: str = typer.Argument("latest", metavar="[RUN]", help=RUN_HELP, autocompletion=lambda: run_names()),
    watch: bool = typer.Option(False, "--watch", help="Show it again and again until all cells have ended."),
    as_json: bool = JSON,
) -> None:
    """Show how far a run is.

    Its cells by state, with progress and causes; exit code 1 if some failed.
    """
    from ..batch.cluster import observer
    from ..batch.status import show

    plan = find_plan(run)
    raise typer.Exit(show(plan, watch=watch, as_json=as_json, observe=observer(plan)))


@app.command()
def summarise(run: str = RUN, as_json: bool = JSON) -> None:
    """Gather a run's results again.

    Tables, best checkpoints and leaderboard below results/, unless nothing has changed; exit code 1 if cells are missing, naming them.
    """
    begins("summarise: reading what the cells made")
    from ..pipeline.launch import summarise_run
    from ..pipeline.summarised import require_complete

    made = summarise_run(find_plan(run))
    if as_json:
        print_json(made)
        raise typer.Exit(1 if made["missing"] else 0)
    typer.echo("\n".join(made["results"]))
    require_complete(made)


@app.command()
def prune(
    checkpoints: bool = typer.Option(False, "--checkpoints", help="Also iterations' checkpoints of versions that no map names."),
    yes: bool = typer.Option(False, "--yes", help="Remove it; without this option it is only said."),
    as_json: bool = JSON,
) -> None:
    """Say, or remove, what takes room and isn't needed.

    Results that were moved aside, and second names in log/ of files of summarised versions; never what a map needs.
    """
    from ..core.paths import find_root
    from ..pipeline.prune import look

    root = find_root(Path.cwd())
    found = look(root, checkpoints)
    facts = found.facts(root)
    if yes:
        found.remove()
    if as_json:
        print_json({**facts, "removed": yes})
        return
    for why, one in facts["remove"].items():
        typer.echo(f"{why}: {len(one['paths'])} {'path' if len(one['paths']) == 1 else 'paths'}, {one['bytes'] / 1e6:,.1f} MB")
    kept = ", ".join(f"{family} {version}" for family, version in facts["kept_for_maps"])
    typer.echo(f"kept, since maps need them: {kept}" if kept else "", nl=bool(kept))
    typer.echo(f"{facts['bytes'] / 1e6:,.1f} MB {'removed' if yes else 'would be freed; give --yes to remove it'}")


@app.command()
def cell(
    plan: Path = typer.Argument(help="A frozen plan.json."),
    indices: list[int] = typer.Argument(metavar="INDEX...", help="The cells' numbers in the plan."),
    side_by_side: int = typer.Option(1, "--side-by-side", min=1, help="How many of them at a time."),
    other_code: bool = typer.Option(False, "--other-code", help="Run although the code has changed since the launch."),
) -> None:
    """Execute cells of a plan by hand.

    Exit code 75: stopped or busy, worth another try; it goes on from its last checkpoint.
    """
    from ..batch import plan as plans
    from ..batch import works
    from ..batch.job import refuse_other_code, run_cells

    frozen = plans.load(plan)
    refuse_other_code(frozen, other_code)
    raise typer.Exit(run_cells(frozen, indices, works.STAGES, side_by_side=side_by_side))
