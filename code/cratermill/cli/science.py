"""Verbs that ask maps questions: ``analyse``."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import app
from .output import JSON, print_json

MAP = typer.Argument(metavar="MAP", help="A map's folder, or its name below results/output_masks; any folder of masks.")
MOSAIC = typer.Option(None, "--mosaic", help="The mosaic of the masks; what the map was made of when left out.")
CRATERS = typer.Option(None, "--craters", help="The crater list; what the map was made of when left out.")
INTO = typer.Option(None, "--into", help="Folder of the results; the map's own, or below results/ for other masks.")
AGAIN = typer.Option(False, "--again", help="Also where the same is there already.")


@app.command()
def analyse(
    folder: Path = MAP,
    mosaic: Path | None = MOSAIC,
    craters: Path | None = CRATERS,
    drawn: Path | None = typer.Option(None, "--drawn", help="Folder of masks drawn by hand; those of the map's data when left out."),
    min_size: int = typer.Option(100, "--min-size", min=0, help="Smallest cluster of pixels that counts; smaller holes are filled."),
    pictures: int = typer.Option(12, "--pictures", min=0, help="Pictures of so many craters, those with most ejecta."),
    band_names: str = typer.Option("", "--band-names", help="Names of the mosaic's bands, such as PC2,PC1,4301000."),
    into: Path | None = INTO,
    again: bool = AGAIN,
    as_json: bool = JSON,
) -> None:
    """Describe the patterns of a map's craters.

    Blanket, rays, distances, directions and colours of each crater's ejecta, as mapped, without overlaps, and as drawn by hand.
    """
    from ..core.progress import shown
    from ..pipeline.analyse import AnalysisOptions, run_analysis

    names = tuple(name.strip() for name in band_names.split(",")) if band_names else ()
    options = AnalysisOptions(min_size, pictures, names)
    with shown() as progress:
        named = {"mosaic": mosaic, "craters": craters, "drawn": drawn, "into": into}
        found = run_analysis(folder, **named, options=options, progress=progress, again=again)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['craters']} craters, {found['with_ejecta']} with ejecta, {found['analysed']} with a blanket of their own")
    typer.echo(f"{'Nothing to do, written before' if found['done'] == 'before' else 'Written'}: {found['folder']}")
