"""Verbs about the rows of the tables: ``versions`` and ``weights``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ..families import FAMILIES, family_names
from .app import group
from .output import CONFIG, JSON, print_json, print_table

versions = group("versions", "Look at or check a *_version_hparams.csv.")
weights = group("weights", "Fetch or check published weights.")

TABLE = typer.Argument(metavar="FILE", help="The table, e.g. configs/ejecta_version_hparams.csv.")
FAMILY = typer.Option(..., "--family", help=f"The family of the table's rows: {', '.join(FAMILIES)}.", autocompletion=family_names)


@versions.command("list")
def list_rows(table: Path = TABLE, family: str = FAMILY, as_json: bool = JSON) -> None:
    """One line per sound row."""
    from ..families import row_model
    from ..tables.versions import list_versions

    rows = list_versions(table, row_model(family))
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@versions.command()
def show(
    table: Path = TABLE,
    version: int = typer.Argument(help="The row's version."),
    family: str = FAMILY,
    as_json: bool = JSON,
) -> None:
    """Every column of one row, with its meaning."""
    from ..families import row_model
    from ..tables.versions import show_version

    lines = show_version(table, row_model(family), version)
    if as_json:
        print_json({column: value for column, value, _ in lines})
    else:
        print_table(("column", "value", "meaning"), lines)


@versions.command()
def check(
    table: Path = TABLE,
    family: str = FAMILY,
    build: bool = typer.Option(False, "--build", help="Also build each distinct network and run it once."),
    size_px: int | None = typer.Option(None, "--size-px", min=32, help="Tile side for --build instead of the rows' own."),
    as_json: bool = JSON,
) -> None:
    """Check every row of a table.

    Problems are named with row, column, value and the nearest valid names; exit code 2 if there are any.
    """
    from ..core.progress import shown
    from ..families import row_model
    from ..tables.versions import check_table

    with shown() as progress:
        report = check_table(table, row_model(family), build=build, size_px=size_px, progress=progress)
    if as_json:
        sound = [row.version for row in report.table.rows]
        problems = [asdict(problem) for problem in report.problems]
        print_json({"sound": sound, "problems": problems, "built": [asdict(network) for network in report.built]})
        raise typer.Exit(2 if problems else 0)
    if report.built:
        rows = [(one.network, one.version_ranges, f"{one.parameters / 1e6:.1f}", f"{one.seconds:.1f}") for one in report.built]
        print_table(("network", "versions", "million parameters", "seconds"), rows)
    report.require()
    typer.echo(f"{table}: {len(report.table.rows)} rows, all sound")


@versions.command()
def grid(
    table: Path = TABLE,
    grid_file: Path = typer.Argument(metavar="GRID", help="A yaml file: from, columns, conditions, sample; see docs/families.md."),
    family: str = FAMILY,
    write: bool = typer.Option(False, "--write", help="Add the rows to the table; without this option they are only shown."),
    as_json: bool = JSON,
) -> None:
    """New rows from a row and lists or ranges of some columns.

    They get new numbers and stand behind the old rows, which stay as they are. Every row is checked as a launch would.
    """
    from ..families import row_model
    from ..tables.sweep import append_rows, new_rows, read_grid

    wanted = read_grid(grid_file)
    rows = new_rows(table, row_model(family), wanted)
    if write and rows:
        append_rows(table, rows)
    if as_json:
        print_json({"rows": rows, "written": write})
        return
    changed = ["version", *dict.fromkeys([*wanted.columns, *(name for one in wanted.conditions for name in one.set)])]
    print_table(changed, [[row[name] for name in changed] for row in rows])
    numbers = f"versions: [{', '.join(row['version'] for row in rows)}]"
    typer.echo(f"{len(rows)} rows {'added to' if write else 'would be added to'} {table}" + ("" if write else "; give --write to add them"))
    typer.echo(f"To train them: train.{family}.{numbers} in a configuration")


@weights.command()
def fetch(
    config: Path = CONFIG,
    mirror: Path | None = typer.Option(None, "--mirror", help="Copy from a folder laid out like the hub's cache, without network."),
    as_json: bool = JSON,
) -> None:
    """Download what a config's rows need.

    Rows with pretrained True start from published weights. On a cluster, run this on a login node.
    """
    from ..core.progress import shown
    from ..networks.weights import fetch_weights

    rows = _rows(config)
    with shown() as progress:
        paths = fetch_weights(rows, progress, mirror)
    if as_json:
        print_json(paths)
    else:
        typer.echo("\n".join(map(str, paths)) or "No row asks for published weights.")


@weights.command("check")
def check_weights(config: Path = CONFIG, as_json: bool = JSON) -> None:
    """Say which weights are there and which not.

    Looks at this machine only, not at the network; exit code 2 if some are missing.
    """
    from ..core.errors import InputError
    from ..networks.weights import require_weights, required_weights

    rows = _rows(config)
    needed = required_weights(rows)
    files = [(one, one.local()) for one in needed]
    found: list[dict[str, Any]] = [
        {"network": one.network, "file": file, "whole": one.is_whole(file) if file else None} for one, file in files
    ]
    if as_json:
        print_json(found)
    elif needed:
        said = {True: "right", False: "WRONG", None: "unknown"}
        cells = [(one["network"], said[one["whole"]] if one["file"] else "-", one["file"] or "missing") for one in found]
        print_table(("network", "checksum", "file"), cells)
    else:
        typer.echo("No row asks for published weights.")
    if as_json:
        raise typer.Exit(2 if any(one["file"] is None or one["whole"] is False for one in found) else 0)
    require_weights(rows, shlex.quote(str(config)))
    if any(one["whole"] is False for one in found):
        raise InputError("weights are damaged", valid="the published checksums", next_step="delete these files and fetch them again")


def _rows(config: Path) -> list:
    from ..pipeline.load_config import load_config
    from ..pipeline.planning import wanted_rows

    return [row for rows in wanted_rows(load_config(config)).values() for row in rows]
