"""Verbs about runs: ``status``, and the two that executors call, ``cell`` and ``cells``."""

from __future__ import annotations

from pathlib import Path

import typer

from . import app

JSON = typer.Option(False, "--json", help="Print the answer as JSON.")
RUN = typer.Argument(metavar="RUN", help="A run's name, its beginning, 'latest', or its plan.json.", autocompletion=lambda: run_names())


def run_names() -> list[str]:
    """Runs of this project, newest first, for the shell's completion."""
    from ..paths import Project, find_root

    folder = Project(find_root(Path.cwd())).run("any").parent
    names = [path.parent.name for path in sorted(folder.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime)]
    return names + ["latest"] if names else []


def find_plan(run: str):
    from ..batch.plan import find_run
    from ..paths import find_root

    return find_run(find_root(Path.cwd()), run)


@app.command()
def status(
    run: str = RUN,
    watch: bool = typer.Option(False, "--watch", help="Show it again and again until all cells have ended."),
    as_json: bool = JSON,
) -> None:
    """Show the cells of a run by state, with progress; exit code 1 if some failed."""
    from ..batch.status import show

    raise typer.Exit(show(find_plan(run), watch=watch, as_json=as_json))


@app.command()
def cell(
    plan: Path = typer.Argument(help="A frozen plan.json."),
    index: int = typer.Argument(help="The cell's number in the plan."),
) -> None:
    """Execute one cell of a plan here and now (what a cluster job calls)."""
    from ..batch.cell import run_cell
    from ..batch.plan import load
    from ..stages import run_cell as science

    result = run_cell(load(plan), index, science)
    if result.cause:
        typer.echo(f"{result.key}: {result.state}: {result.cause}", err=True)
    raise typer.Exit(result.exit_code)


@app.command(hidden=True)
def cells(plan: Path = typer.Argument(help="A frozen plan.json.")) -> None:
    """Execute the cells whose numbers arrive on stdin; answers are JSON lines (the local executor's worker)."""
    from ..batch.worker import serve
    from ..stages import run_cell as science

    raise typer.Exit(serve(plan, science))
