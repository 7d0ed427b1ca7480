"""Verbs about this machine: ``doctor``."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import app


@app.command()
def doctor(
    profile: str = typer.Option(None, "--profile", help="Check a cluster's profile: would its scheduler take our jobs?"),
    probe: bool = typer.Option(False, "--probe", help="With --profile: also run one tiny job on a node."),
    as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON."),
) -> None:
    """Say what this machine has and lacks.

    Looks at packages, devices, memory, disk, folders, cached weights and Slurm.
    """
    from .doctor import report

    if profile or probe:
        from ..core.paths import find_root
        from .cluster import check_site

        raise typer.Exit(check_site(find_root(Path.cwd()), profile, probe, as_json))

    raise typer.Exit(report(Path.cwd(), as_json))
