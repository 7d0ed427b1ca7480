"""Verbs that show what networks are given: ``show sample`` and ``show augment``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from .app import app, group
from .output import CONFIG, begins
from .runs import find_plan

show = group("show", "Look at training samples and at what augmentation does.")

TO = typer.Option(None, "--to", metavar="PNG", help="Where to write the picture; below results/shown when left out.")


@show.command()
def sample(
    config: Path = CONFIG,
    family: str = typer.Argument(metavar="FAMILY", help="A family that the config trains."),
    number: int = typer.Argument(metavar="N", help="The training sample, counted from 0."),
    version: int | None = typer.Option(None, "--version", help="The row; the first one when left out."),
    to: Path | None = TO,
) -> None:
    """Draw a training sample as the network gets it in its first epochs.

    A row per epoch, so that augmentation shows; a column per channel, mask or label. Needs prepared data.
    """
    begins("show sample: reading the prepared data")
    from ..pipeline.show import sample as draw

    typer.echo(draw(config, family, number, version, to))


@show.command()
def augment(
    config: Path = CONFIG,
    recipe: str | None = typer.Argument(None, metavar="[RECIPE]", help="A recipe of configs/augment; img_augment True when left out."),
    to: Path | None = TO,
) -> None:
    """Draw what each change of a recipe does to the middle of the config's mosaic, alone and together."""
    begins("show augment: reading the mosaic")
    from ..pipeline.show import augment as draw

    typer.echo(draw(config, recipe, to))


@app.command()
def view(
    what: str = typer.Argument(metavar="MAP|MOSAIC|RUN", help="A map by name or folder, a mosaic's file, or a run."),
    layers: list[Path] = typer.Option([], "--layer", metavar="FILE", help="Also show this raster, crater list or these polygons."),
    port: int = typer.Option(0, "--port", min=0, max=65535, help="On this machine alone; any that is free when left out."),
) -> None:
    """Walk through a map or a mosaic in a browser, or watch a run there.

    Layers with opacity, polar views, coordinates, distances; a click on a crater shows its row and a picture from above. Read-only, on
    loopback, behind a token.
    """
    begins("view: reading layers")
    from ..core.errors import InputError
    from ..pipeline.view import view as serve

    plan = None
    if not Path(what).exists():
        try:
            plan = find_plan(what)
        except InputError:
            plan = None  # a map's name, then
    if plan is not None and layers:
        valid = "layers over a map or a mosaic: the page of a run has no map"
        raise InputError(f"--layer {layers[0]} for the run {what}", valid=valid, next_step="leave --layer out, or name a map")
    with suppress(KeyboardInterrupt):  # how it ends
        serve(what, layers, port, typer.echo, None if plan is None else _page_of(plan))


def _page_of(plan: Any) -> Callable[[], str]:
    from ..batch.cluster import observer
    from ..pipeline.view import run_page

    return lambda: run_page(plan, observer(plan))
