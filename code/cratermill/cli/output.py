"""Options and print-outs that several verbs share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

JSON = typer.Option(False, "--json", help="Print the answer as JSON.")
WORKERS = typer.Option(1, "--workers", min=1, help="Number of parallel workers.")
CONFIG = typer.Argument(metavar="CONFIG", help="A run configuration, e.g. configs/demo/demo.yaml.")
SET = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a key of the config (map.threshold=0.6) or a column (ejecta.lr=0.001).")


def begins(what: str) -> None:
    """Said at once, before libraries and data are read, which may take seconds: that something happens, and what."""
    typer.echo(f"{what} …", err=True)


def print_json(answer: Any) -> None:
    typer.echo(json.dumps(answer, indent=1, default=str))


def print_answer(as_json: bool, facts: Any, *lines: str) -> None:
    """The facts as JSON where they are asked for, else the lines in words."""
    if as_json:
        print_json(facts)
    else:
        typer.echo("\n".join(lines))


def print_table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns side by side, as wide as their longest cell; the last one takes what it needs."""
    lines = [list(heading), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading) - 1)]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        typer.echo("  ".join([*padded, line[-1]]).rstrip())


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    return ", ".join(map(str, cell)) if isinstance(cell, (list, tuple)) else str(cell)
