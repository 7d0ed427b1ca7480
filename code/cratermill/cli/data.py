"""Verbs about data: ``planet``, ``prepare``."""

from __future__ import annotations

from pathlib import Path

import typer

from . import app, group
from .output import CONFIG, JSON, WORKERS, print_json, print_table

planet = group("planet", "Make or describe a synthetic planet with exact truth.")


@planet.command()
def synth(
    folder: Path = typer.Argument(help="Where to put the data set, e.g. data/demo."),
    body: str = typer.Option("mercury", "--body", help="The body's name, or a yaml file with its radii."),
    shape: tuple[int, int] = typer.Option((512, 1024), "--shape", help="Rows and columns of the mosaic."),
    seed: int = typer.Option(0, "--seed", help="The same seed makes the same planet."),
    fresh: int = typer.Option(32, "--fresh", help="Number of fresh craters, those with ejecta."),
    bands: int = typer.Option(3, "--bands", help="Bands of the mosaic."),
    workers: int = typer.Option(2, "--workers", min=1, help="Number of threads."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace another synthetic planet in that folder."),
    as_json: bool = JSON,
) -> None:
    """Make a planet in a folder.

    Mosaic, craters, ejecta masks, training tiles, and the truth about who owns which ejecta.
    """
    from dataclasses import asdict

    from ..progress import shown
    from ..synthetic import synthesise

    options = {"body": body, "shape": shape, "seed": seed, "n_fresh": fresh, "bands": bands}
    with shown() as progress:
        made = synthesise(folder, **options, workers=workers, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(asdict(made))
        return
    how = f"made in {made.seconds:.1f} s" if made.made else "was there already"
    rows, columns = made.shape
    typer.echo(f"{made.folder}: {made.body}, {rows} × {columns} px, {made.bands} bands, {how}")
    typer.echo(f"{made.craters} craters, {made.fresh} of them fresh ({made.trained} for training), {made.tiles} training tiles")


@planet.command()
def info(folder: Path = typer.Argument(help="The folder of a synthetic planet."), as_json: bool = JSON) -> None:
    """Describe a synthetic planet."""
    from ..synthetic import describe

    record = describe(folder)
    if as_json:
        print_json(record)
        return
    parameters = record["parameters"]
    scale = f"{record['resolution_m']:.0f} m per pixel"
    typer.echo(f"{record['body']['name']}, seed {parameters['seed']}, {scale}, {record['tiles']} training tiles")
    typer.echo(f"{record['craters_in_all']} craters; fresh ejecta cover {record['ejecta_share']:.1%} of the planet")
    heading = ("crat_FID", "lon", "lat", "radius_km", "train", "tiles", "ejecta_km2")
    print_table(heading, [_crater(crater) for crater in record["fresh_craters"]])


def _crater(crater: dict) -> tuple:
    place = f"{crater['center_lon']:.2f}", f"{crater['center_lat']:.2f}"
    size = f"{crater['radius_m'] / 1000:.1f}"
    return crater["crat_FID"], *place, size, crater["train"], crater["tiles"], f"{crater['ejecta_area_km2']:.0f}"


@app.command()
def prepare(config: Path = CONFIG, workers: int = WORKERS, as_json: bool = JSON) -> None:
    """Make the data that training reads.

    Tile tables, TV-Test splits, tiles to map and sample stacks; only what changed is done again.
    """
    from ..launch import prepare as make
    from ..progress import shown

    with shown() as progress:
        made = make(config, workers, progress)
    if as_json:
        print_json(made)
        return
    for family, facts in made.items():
        typer.echo(f"{family}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))
