"""Verbs that show what networks are given: ``show sample`` and ``show augment``."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import group
from .output import CONFIG

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
    from ..pipeline.show import sample as draw

    typer.echo(draw(config, family, number, version, to))


@show.command()
def augment(
    config: Path = CONFIG,
    recipe: str | None = typer.Argument(None, metavar="[RECIPE]", help="A recipe of configs/augment; img_augment True when left out."),
    to: Path | None = TO,
) -> None:
    """Draw what each change of a recipe does to the middle of the config's mosaic, alone and together."""
    from ..pipeline.show import augment as draw

    typer.echo(draw(config, recipe, to))
