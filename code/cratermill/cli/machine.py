"""Verbs about this machine: ``doctor``."""

from __future__ import annotations

from pathlib import Path

import typer

from . import app


@app.command()
def doctor(as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON.")) -> None:
    """Say what this machine has and lacks.

    Looks at packages, devices, memory, disk, folders, cached weights and Slurm.
    """
    from ..doctor import report

    raise typer.Exit(report(Path.cwd(), as_json))
