"""Verbs about data: ``planet``, ``fetch``, ``prepare``, ``import-ejmap``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import typer

from .app import app, group
from .output import CONFIG, JSON, SET, WORKERS, begins, print_json, print_table

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

    from ..core.errors import InputError
    from ..core.progress import shown
    from ..synthetic import synthesise

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file", valid="a new folder, or that of a synthetic planet")
    options: dict[str, Any] = {"body": body, "shape": shape, "seed": seed, "n_fresh": fresh, "bands": bands}
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
def fetch(
    names: list[str] = typer.Argument(
        None, metavar="[NAME...]", help="Data sets of the registry; see --list.", autocompletion=lambda: data_names()
    ),
    listed: bool = typer.Option(False, "--list", help="List the registry: what there is, what is here, when it was last checked."),
    source: Path | None = typer.Option(None, "--from", metavar="FOLDER", help="Take the files from a folder, got by hand, instead."),
    shared: bool = typer.Option(False, "--shared", help="Into the group's folder that $CRATERMILL_FETCHED names, not into data/fetched."),
    renew: bool = typer.Option(False, "--renew", help="Forget what was fetched before, and take what is published now."),
    as_json: bool = JSON,
) -> None:
    """Fetch public data by name.

    Resumed where it was cut off, checked, unpacked once; configurations name it as fetched:NAME/FILE. What is here already is left alone.
    """
    from ..core.errors import InputError
    from ..core.paths import find_root
    from ..core.progress import shown
    from ..fetching import datasets
    from ..fetching.download import fetch as run

    root = find_root(Path.cwd())
    places = datasets.places(root)
    if listed or not names:
        if not listed and (source or shared or renew):
            given = "--from" if source else "--shared" if shared else "--renew"
            valid = f"{', '.join(datasets.names(root)) or 'none: configs/datasets is empty'}; or a file there for a data set of your own"
            raise InputError(f"{given} without the name of a data set", valid=valid, next_step=f"cratermill fetch NAME {given} …")
        _list_data(root, as_json)
        return
    if shared and (len(places) == 1 or not places[-1].folder.is_dir()):
        given = f", which names no folder: {places[-1].folder}" if len(places) > 1 else " without it"
        step = f"make the folder, and export {datasets.SHARED}"
        raise InputError(f"--shared is for ${datasets.SHARED}{given}", valid="a folder that the group may write to", next_step=step)
    begins("fetch: looking at what is here")
    wanted = {name: datasets.load(root, name) for name in dict.fromkeys(names)}
    made: dict[str, Any] = {}
    for name, dataset in wanted.items():
        place = places[-1] if shared else next((one for one in places if one.complete(name, dataset) and not renew), places[0])
        said: list[str] = []
        with shown() as progress:
            record = run(place, name, dataset, source=source, renew=renew, progress=progress, say=said.append)
        made[name] = {"folder": str(place.of(name)), **record}
        if not as_json:
            _show_fetched(name, dataset, place.of(name), said)
    if as_json:
        print_json(made)


def data_names() -> list[str]:
    """Names of the registry, for the shell's completion."""
    from ..core.paths import find_root
    from ..fetching import datasets

    return datasets.names(find_root(Path.cwd()))


def _show_fetched(name: str, dataset, folder: Path, said: list[str]) -> None:
    typer.echo(f"{folder}: {dataset.title}")
    for line in said:
        typer.echo(f"  {line}")
    typer.echo(f"  Licence: {dataset.licence}\n  Cite: {dataset.citation}")
    typer.echo(f"  In a configuration: fetched:{name}/…\n  Next: {dataset.use}")


def _list_data(root: Path, as_json: bool) -> None:
    from ..core.room import readable
    from ..fetching import datasets

    found = {name: datasets.load(root, name) for name in datasets.names(root)}
    here = {name: next((one for one in datasets.places(root) if one.complete(name, dataset)), None) for name, dataset in found.items()}
    if as_json:
        print_json({name: one.model_dump() | {"folder": (place := here[name]) and str(place.of(name))} for name, one in found.items()})
        return
    rows = []
    for name, one in found.items():
        place = here[name]
        fetched = max(file["when"] for file in place.record(name)["files"].values()) if place else "-"
        size = "by hand" if not any(file.urls for file in one.files) else readable(one.size) if one.size is not None else "?"
        rows.append((name, one.body, size, fetched, one.verified, one.title))
    print_table(("name", "body", "size", "fetched here", "verified", "what"), rows)


@app.command()
def prepare(config: Path = CONFIG, workers: int = WORKERS, changes: list[str] = SET, as_json: bool = JSON) -> None:
    """Make the data that training reads.

    Tile tables, TV-Test splits, tiles to map and sample stacks; only what changed is done again.
    """
    begins("prepare: reading the configuration and its rows")
    from ..core.progress import shown
    from ..pipeline.launch import prepare as make

    with shown() as progress:
        made = make(config, workers, progress, changes)
    if as_json:
        print_json(made)
        return
    for family, facts in made.items():
        steps = len(facts["made"])
        typer.echo(f"{family}: {steps} steps done" if steps else f"{family}: nothing to do")
        for note in facts.get("notes", []):
            typer.echo(f"  {note}")
        for warning in facts.get("warnings", []):
            typer.secho(f"Warning: {warning}", err=True)


@app.command()
def new(
    config: Path = typer.Argument(metavar="CONFIG", help="The file to make, e.g. configs/mine.yaml."),
    family: str = typer.Option(..., "--family", help="Which experiment: ejecta, connection, crater_detector, crater_unet, …"),
    mosaic: Path | None = typer.Option(None, "--mosaic", help="Your mosaic; its body is read off it."),
    craters: Path | None = typer.Option(None, "--craters", help="Your crater list."),
) -> None:
    """Make a run configuration to begin with.

    It says which lines need your eyes, and what is to be done next. An existing file is never replaced.
    """
    from ..pipeline.scaffold import new_config

    path, steps = new_config(config, family, mosaic, craters)
    typer.echo(f"{path} is written. Next:")
    typer.echo("\n".join(f"  {number}. {step}" for number, step in enumerate(steps, 1)))


TRUST = (
    "Also convert EJMAP's pickled checkpoints. Reading a pickle can run code that its maker has put in: "
    "they are read in a process of their own with stand-ins for all classes but tensors, yet trust only files whose origin you know."
)


@app.command("import-ejmap")
def import_ejmap(
    folder: Path = typer.Argument(metavar="DIR", help="EJMAP's folder with data/, code/, results/ and log/, or its data folder alone."),
    into: str | None = typer.Option(None, "--into", help="The data folder to make; data/ and the name of DIR when left out."),
    trust: bool = typer.Option(False, "--trust", help=TRUST),
    resample: bool = typer.Option(False, "--resample", help="Leave the npy tiles out; prepare then samples all tiles from the mosaic."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only look: say what there is and what is missing or broken."),
    workers: int = WORKERS,
    as_json: bool = JSON,
) -> None:
    """Bring EJMAP's data, tables and results along.

    DIR is only read, rasters are linked where the disk allows it; only what changed is done again. Exit code 1 if a checkpoint was refused.
    """
    from dataclasses import asdict

    from ..core.paths import find_root
    from ..core.progress import shown
    from ..ejmap_import import Options, import_ejmap

    with shown() as progress:
        report = import_ejmap(folder, find_root(Path.cwd()), Options(into, trust, resample, dry_run, workers), progress)
    if as_json:
        print_json(asdict(report))
    else:
        _show_import(report, dry_run)
    raise typer.Exit(1 if report.refused else 0)


def _show_import(report, dry_run: bool) -> None:
    typer.echo(f"{report.into}: " + ("this would be imported" if dry_run else "imported"))
    print_table(("what", "how much"), report.brought.items())
    for note in report.notes:
        typer.echo(f"Note: {note}")
    for refused in report.refused:
        typer.secho(f"Refused: {refused}", err=True)
    if not dry_run:
        config = shlex.quote(report.brought["config"].removesuffix(" (kept)"))
        typer.echo(f"Next: cratermill versions check its tables, then cratermill launch train {config}")
