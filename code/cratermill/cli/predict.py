"""The verb ``predict``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer

from .app import app
from .output import JSON, begins, print_json

PATH = typer.Argument(metavar="PATH", help="A mosaic, an image, or a folder or zip of images.")
CHECKPOINT = typer.Option([], "--checkpoint", metavar="FILE", help="A trained network; several iterations make an ensemble.")
MASKS = typer.Option(None, "--masks", metavar="FAMILY:VERSION", help="PATH holds masks already: read off them what this row reads.")
CRATERS = typer.Option(None, "--craters", help="Crater list: of whose ejecta, which to rate or encode, or to compare with.")
SET = typer.Option([], "--set", metavar="KEY=VALUE", help="A key of a run configuration, such as map.options.step=0.5.")
INTO = typer.Option(None, "--into", help="Folder of the results; below results/predicted when left out.")
OVERWRITE = typer.Option(False, "--overwrite", help="Replace an earlier prediction.")


@app.command()
def predict(
    path: Path = PATH,
    checkpoint: list[Path] = CHECKPOINT,
    masks: str | None = MASKS,
    craters: Path | None = CRATERS,
    changes: list[str] = SET,
    into: Path | None = INTO,
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Apply a trained row to images or a mosaic.

    No run configuration is needed. Masks, lists, labels, latents or probabilities, as the row's family makes them; georeferenced where
    PATH is.
    """
    begins("predict: loading networks")
    from ..core.errors import InputError
    from ..core.progress import shown
    from ..pipeline import predict as pipeline

    if bool(checkpoint) == bool(masks):
        raise InputError("--checkpoint and --masks", valid="one of both: networks, or masks that are there", next_step="give one of them")
    if masks and (craters or changes):
        raise InputError("--masks with --craters or --set", valid="--masks alone: what a row reads off masks depends on nothing else")
    with shown() as progress:
        if masks:
            found = pipeline.read_masks(path, masks, into, overwrite=overwrite, progress=progress)
        else:
            given = partial(pipeline.predict, path, checkpoint, into, craters=craters, changes=changes)
            found = given(overwrite=overwrite, progress=progress)
    if as_json:
        print_json(found)
        return
    for reason in found.get("reasons", ()):
        typer.echo(f"  {reason}", err=True)
    typer.echo(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.items() if isinstance(value, int | float | str)))
