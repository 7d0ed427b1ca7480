"""Verbs that ask maps questions: ``analyse``, ``compare``, ``join``."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import app
from .cluster import report
from .output import CONFIG, JSON, begins, print_json

MAP = typer.Argument(metavar="MAP", help="A map's folder, or its name below results/output_masks; any folder of masks.")
MAP_OR_LIST = typer.Argument(metavar="MAP", help="A map's folder, or its name below results/output_masks; masks, or a crater list.")
MOSAIC = typer.Option(None, "--mosaic", help="The mosaic of the masks; what the map was made of when left out.")
CRATERS = typer.Option(None, "--craters", help="The crater list; what the map was made of when left out.")
INTO = typer.Option(None, "--into", help="Folder of the results; the map's own, or below results/ for other masks.")
BODY = typer.Option(None, "--body", help="Of crater lists: their body where none says it, by name or a yaml file.")
AGAIN = typer.Option(False, "--again", help="Also where the same is there already.")


@app.command()
def analyse(
    folder: Path = MAP_OR_LIST,
    mosaic: Path | None = MOSAIC,
    craters: Path | None = CRATERS,
    drawn: Path | None = typer.Option(None, "--drawn", help="Folder of masks drawn by hand; those of the map's data when left out."),
    min_size: int = typer.Option(100, "--min-size", min=0, help="Smallest cluster of pixels that counts; smaller holes are filled."),
    pictures: int = typer.Option(12, "--pictures", min=0, help="Pictures of so many craters, those with most ejecta."),
    band_names: str = typer.Option("", "--band-names", help="Names of the mosaic's bands, such as PC2,PC1,4301000."),
    area_km2: float | None = typer.Option(None, "--area-km2", help="Of a crater list: the area counted; what its map or file says."),
    chronology: str | None = typer.Option(None, "--chronology", help="Of a crater list: moon, mars, mercury, or a system by name."),
    diameters: tuple[float, float] | None = typer.Option(None, "--diameters", help="Of a crater list: from and to, in km, for its age."),
    where: str | None = typer.Option(None, "--where", help="Of a crater list: the craters that count, such as 'radius_m > 2e4'."),
    body: str | None = BODY,
    into: Path | None = INTO,
    again: bool = AGAIN,
    as_json: bool = JSON,
) -> None:
    """Describe the craters of a map.

    Of ejecta: blanket, rays, distances, directions and colours of each crater. Of a crater list: how many of each size, and a model age.
    """
    begins("analyse: reading the map")
    from ..config import AnalysisOptions
    from ..core.models import checked
    from ..core.progress import shown
    from ..pipeline.counts import is_list
    from ..pipeline.map_analysis import analysed
    from ..pipeline.map_sources import map_or_list

    folder = map_or_list(folder)
    names = [name.strip() for name in band_names.split(",")] if band_names else []
    given = {"min_size": min_size, "pictures": pictures, "band_names": names, "area_km2": area_km2, "chronology": chronology}
    options = checked(AnalysisOptions, {**given, "diameters": diameters, "where": where, "body": body}, "the options of analyse")
    with shown() as progress:
        named = {"mosaic": mosaic, "craters": craters, "drawn": drawn, "into": into}
        found = analysed(folder, options, **named, progress=progress, again=again)
    if as_json:
        print_json(found)
        return
    if is_list(folder):
        print_counts(found)
        return
    typer.echo(f"{found['craters']} craters, {found['with_ejecta']} with ejecta, {found['analysed']} with a blanket of their own")
    if found.get("too_small"):
        typer.echo(f"{found['too_small']} masks hold ejecta, but nothing of {min_size} pixels that hang together: see --min-size")
    typer.echo(f"{'Nothing to do, written before' if found['done'] == 'before' else 'Written'}: {found['folder']}")


def print_counts(found: dict) -> None:
    """What the counts of a crater list say."""
    from ..pipeline.counts import age_text

    whole, age = found["whole_from"], found["age"]
    typer.echo(f"{found['craters']} craters on {found['area_km2']:,.0f} km²")
    if whole["seen"]:
        typer.echo(f"whole from about {whole['diameter_km']:.2f} km on ({whole['low_km']:.2f} to {whole['high_km']:.2f})")
    if age:
        low, high = age["range_km"]
        typer.echo(f"model age {age_text(age)}, of {age['craters']} craters from {low:.2f} to {high:g} km; {age['chronology']}")
    else:
        typer.echo("no model age: no functions are the usual ones of this list's body, or it names none; choose some: --chronology moon")
    typer.echo(f"Written: {found['folder']}")


@app.command()
def compare(
    folder: Path = MAP,
    truth: Path = typer.Argument(metavar="TRUTH", help="Masks or polygons that nobody trained on, a synthetic planet, or another map."),
    mosaic: Path | None = MOSAIC,
    craters: Path | None = CRATERS,
    scales: str = typer.Option("2,4,8", "--scales", help="Coarser scales, in pixels; the majority decides. Blank: none."),
    min_size: int = typer.Option(100, "--min-size", min=0, help="Smallest cluster of pixels that counts for a blanket."),
    pictures: int = typer.Option(12, "--pictures", min=0, help="Pictures of so many craters, those with most true ejecta."),
    diameters: tuple[float, float] | None = typer.Option(
        None, "--diameters", help="Of crater lists: sizes that count, from and to, in km."
    ),
    by: str | None = typer.Option(None, "--by", help="Of crater lists: column of the truth for recall by class; its degradation, if any."),
    where: str | None = typer.Option(None, "--where", help="Of crater lists: the craters of both that count, such as 'lon < 0'."),
    body: str | None = BODY,
    calibrate: str | None = typer.Option(None, "--calibrate", help="Also fit a correction of probabilities: temperature or isotonic."),
    into: Path | None = INTO,
    as_json: bool = JSON,
) -> None:
    """Score a map against truth that nobody trained on.

    Of ejecta: by crater, quadrant, ring, distance, overlap and scale, with intervals over craters; blankets; training masks against the
    same truth. Of a crater list: by size, latitude and class, completeness, and sheets of what is new and what was missed.
    """
    begins("compare: reading map and truth")
    from ..config import CompareOptions
    from ..core.models import checked
    from ..core.progress import shown
    from ..pipeline.counts import is_list
    from ..pipeline.map_analysis import compared
    from ..pipeline.map_sources import map_or_list

    folder = map_or_list(folder)
    given = {"scales": whole_numbers(scales), "min_size": min_size, "pictures": pictures, "calibrate": calibrate, "diameters": diameters}
    given |= {"by": by, "where": where, "body": body}
    options = checked(CompareOptions, given, "the options of compare")
    with shown() as progress:
        found = compared(folder, truth, options, mosaic=mosaic, craters=craters, into=into, progress=progress)
    if as_json:
        print_json(found)
        return
    if is_list(folder):
        print_lists(found)
        return
    from ..report.compare_page import interval

    typer.echo(f"{found['craters']} craters against {found['truth']}; 95 % intervals over craters")
    for name in ("F1", "Precision", "Recall", "IoU"):
        typer.echo(f"  {name:<10}{found[name]:.3f}   {interval(found, name)}")
    for kind, one in found["calibration"].items() if calibrate else ():
        typer.echo(f"  {kind}: expected calibration error {one['ECE']:.3f}, Brier score {one['Brier']:.3f}")
    for note in found["notes"]:
        typer.echo(note)
    typer.echo(f"Look at: {found['page']}")


def print_lists(found: dict) -> None:
    """What a comparison of crater lists says."""
    typer.echo(f"{found['found']} craters against {found['known']}, from {found['from_km']:.3g} to {found['to_km']:.3g} km")
    for rule in ("strict", "lax", "box"):
        values = ", ".join(f"{name} {found[f'{name}_{rule}']:.3f}" for name in ("Precision", "Recall", "F1"))
        typer.echo(f"  {rule:<8}{values}")
    for one in found["by_class"]:
        typer.echo(f"  {one['column']} {one['class']}: {one['known_found']} of {one['known']} found")
    typer.echo(f"Look at: {found['page']}")


@app.command()
def join(
    lists: list[Path] = typer.Argument(metavar="LIST LIST...", help="Crater lists: maps' folders or names, or files of any format."),
    votes: int = typer.Option(1, "--votes", min=1, help="In how many of the lists a crater must be."),
    body: str | None = BODY,
    into: Path | None = INTO,
    as_json: bool = JSON,
) -> None:
    """Join crater lists of several maps, families or people.

    The joined list says how many had each crater, and how far apart in place and size, in km.
    """
    begins("join: reading the lists")
    from ..geo.bodies import get_body
    from ..pipeline.join_lists import join_lists
    from ..pipeline.map_sources import map_or_list

    found = join_lists([map_or_list(path) for path in lists], votes=votes, body=get_body(body) if body else None, into=into)
    if as_json:
        print_json(found)
        return
    for path, count in found["lists"].items():
        typer.echo(f"{count:>9} craters in {path}")
    typer.echo(f"{found['craters']:>9} craters joined: " + ", ".join(f"{count} by {had}" for had, count in found["by_votes"].items()))
    typer.echo(f"Written: {found['folder']}")


def whole_numbers(text: str) -> list[int]:
    """``2,4,8`` as numbers; ``InputError`` for anything else."""
    from ..core.errors import InputError

    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise InputError(f"--scales {text}", valid="whole numbers from 2, such as 2,4,8")
    return [int(word) for word in words]


@report.command()
def tuning(config: Path = CONFIG) -> None:
    """Draw scores against each hyper-parameter.

    Over all versions of the config's families that have results, by split, and against the number of drawn tiles.
    """
    from ..pipeline.load_config import load_config
    from ..pipeline.tuning import run_tuning

    loaded = load_config(config)
    typer.echo("\n".join(loaded.project.relative(path) for path in run_tuning(loaded)))
