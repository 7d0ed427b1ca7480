"""Verbs about drawing: ``label start``, ``correct``, ``import`` and their kin."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .app import group
from .output import CONFIG, JSON, print_answer
from .science import MAP

if TYPE_CHECKING:
    from ..geo.bodies import Body
    from ..labelling.drawing_folder import DrawingFolder, Tile
    from ..labelling.verbs import Sources

label = group("label", "Draw ejecta in QGIS: lay tiles out, take drawn ones in, correct maps, find what to draw next.")

INTO = typer.Option(None, "--into", help="Folder to draw in; drawing/ in the data folder when left out.")
CRATERS = typer.Option("", "--craters", help="Only these, such as 3,17; spread over all sizes when left out.")
TILES = typer.Option(10, "--tiles", min=1, help="Tiles of each crater.")
MOST = typer.Option(20, "--most", min=1, help="Craters, where none are named.")
TILE_PX = typer.Option(None, "--tile-px", help="Rows and columns of a tile; as drawn before, or EJMAP's.")
SEED = typer.Option(0, "--seed", min=0, help="The same seed chooses the same tiles.")


@label.command()
def start(
    config: Path = CONFIG,
    into: Path | None = INTO,
    craters: str = CRATERS,
    tiles: int = TILES,
    most: int = MOST,
    tile_px: tuple[int, int] | None = TILE_PX,
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Lay out blank tiles to draw in.

    Masks, tile lists for QClassiPy and a QGIS project; tiles spread over distance, overlap and sizes of craters. What was drawn stays.
    """
    from ..labelling.verbs import Amount
    from ..labelling.verbs import start as lay

    folder, new = lay(sources_of_config(config), into, fids(craters), tile_px, Amount(tiles, most, seed))
    _laid(folder, new, config, into, as_json)


@label.command()
def correct(
    folder: Path = MAP,
    into: Path | None = INTO,
    craters: str = CRATERS,
    tiles: int = TILES,
    seed: int = SEED,
    as_json: bool = JSON,
) -> None:
    """Lay out tiles of a map to be corrected.

    They begin with the map's ejecta; corrected ones are taken in by 'label import' and are the next training's.
    """
    from ..config import Tiles
    from ..labelling.verbs import Amount, Sources
    from ..labelling.verbs import correct as lay
    from ..pipeline.map_sources import config_of, find_map, sources_of

    place = find_map(folder)
    found = sources_of(place)
    if found.data is None or found.mosaic is None:
        from ..core.errors import InputError

        given = f"{place} doesn't say which data it was made of"
        raise InputError(given, valid="a map that 'cratermill launch map' made", next_step="name that map")
    with found.open_grid():
        listed = found.require_craters()
    made, new = lay(Sources(found.data, found.mosaic, listed, Tiles()), place, into, fids(craters), Amount(tiles, seed=seed))
    config = config_of(place)
    _laid(made, new, Path(os.path.relpath(config)) if config else None, into, as_json)


@label.command("import")
def take(
    config: Path = CONFIG,
    drawing: Path | None = typer.Option(None, "--from", help="Folder that was drawn in; drawing/ in the data folder when left out."),
    by: str | None = typer.Option(None, "--by", help="Who drew; the user's name on this machine when left out."),
    touched: bool = typer.Option(False, "--touched", help="Tiles that were changed count as complete without being marked so."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only look: say what is complete, half-drawn and untouched."),
    as_json: bool = JSON,
) -> None:
    """Check what was drawn and add it to the data.

    Complete tiles alone: half-drawn ones are named and left. Who drew what, from which map, is kept in cyl_data/drawn.csv.
    """
    from ..labelling.verbs import take_in

    found, written = take_in(sources_of_config(config), drawing, by, touched, dry_run)
    counts = {"complete": len(found.drawn), "half_drawn": len(found.half), "untouched": len(found.untouched)}
    lines = [f"{counts['complete']} tiles complete, {counts['half_drawn']} half-drawn, {counts['untouched']} untouched"]
    lines += [f"  {note}" for note in found.notes]
    if written:
        lines.append(f"Added to {written[0].parents[1]}. Next: cratermill prepare {shlex.quote(str(config))}")
    elif not dry_run:
        lines.append("Nothing to add: mark tiles as complete (priority 0 in the list, or done 1 in tiles.gpkg), or give --touched.")
    print_answer(as_json, counts | {"notes": found.notes, "written": [str(path) for path in written]}, *lines)


@label.command()
def polygons(
    config: Path = CONFIG,
    file: Path = typer.Argument(metavar="FILE", help="Polygons of ejecta with a column crat_FID: GeoPackage, shapefile or GeoJSON."),
    looked: Path | None = typer.Option(None, "--looked", help="Polygons of ground in which all ejecta of these craters were drawn."),
    into: Path | None = INTO,
    tile_px: tuple[int, int] | None = TILE_PX,
    as_json: bool = JSON,
) -> None:
    """Turn polygons of ejecta into masks and tiles.

    Tiles that hold ejecta are complete; those without any only where --looked says that somebody looked. Any CRS of the body.
    """
    from ..labelling.verbs import from_polygons

    folder, new = from_polygons(sources_of_config(config), file, looked, into, tile_px)
    _laid(folder, new, config, into, as_json)


@label.command()
def suggest(
    config: Path = CONFIG,
    of_map: Path | None = typer.Option(None, "--map", help="A map by the networks of now: its folder or name. Without: by distance alone."),
    count: int = typer.Option(20, "--count", min=1, help="Tiles to suggest."),
    craters: str = CRATERS,
    into: Path | None = INTO,
    as_json: bool = JSON,
) -> None:
    """Lay out the tiles whose drawing would teach most.

    Where a map's members disagree, unlike what was drawn, and unlike each other; suggested.csv says why.
    """
    from ..labelling.verbs import next_tiles
    from ..pipeline.map_sources import find_map

    votes = find_map(of_map) if of_map else None
    folder, table = next_tiles(sources_of_config(config), votes, count, fids(craters), into)
    said = f"{len(table)} tiles of {table['crat_FID'].nunique()} craters in {folder.root}, best first in {folder.suggestions.name}"
    print_answer(as_json, {"folder": str(folder.root), "tiles": table.to_dict("records")}, said, _then(folder, config, into))


LIST = typer.Argument(metavar="LIST", help="A crater list of any format that is read.")
MOSAIC = typer.Option(None, "--mosaic", help="A mosaic of the body, where the list doesn't name its own.")


@label.command()
def rings(
    craters: Path = LIST,
    into: Path = typer.Argument(metavar="RINGS", help="The GeoPackage to make."),
    mosaic: Path | None = MOSAIC,
) -> None:
    """Write a crater list as rings to edit in QGIS.

    Add, move, reshape and delete them there; 'label rings-import' makes a list of them again.
    """
    from ..labelling.rings import write_rings

    count, polar = write_rings(craters, into, _body(craters, mosaic))
    typer.echo(f"{count} rings in {into}. Edit them in QGIS and leave crat_FID of new ones blank")
    if polar:
        typer.echo(f"Without a ring, since they hold a pole, and kept as they are: {', '.join(map(str, polar[:20]))}")
    typer.echo(f"Next: cratermill label rings-import {shlex.quote(str(into))} {shlex.quote(str(craters))}")


@label.command("rings-import")
def rings_import(
    edited: Path = typer.Argument(metavar="RINGS", help="The rings that were edited."),
    craters: Path = LIST,
    into: Path | None = typer.Option(None, "--into", help="The list to write, LIST itself if you like; LIST_edited when left out."),
    mosaic: Path | None = MOSAIC,
    as_json: bool = JSON,
) -> None:
    """Make a crater list of edited rings.

    Says which craters were added, moved, reshaped or deleted; all others stay as they were.
    """
    from dataclasses import asdict

    from ..labelling.rings import take_rings

    target = into or craters.with_name(f"{craters.stem}_edited{craters.suffix}")
    changes = take_rings(edited, craters, target, _body(craters, mosaic))
    found = asdict(changes)
    lines = [f"{name}: {len(fids)}" + (f" ({', '.join(map(str, fids[:20]))})" if fids else "") for name, fids in found.items()]
    print_answer(as_json, found | {"list": str(target)}, *lines, f"Written: {target}")


CHIPS = typer.Argument(
    metavar="CHIPS", help="A folder or zip of pictures, an .npy stack, or prepared chips such as data/x/chip_classifier."
)
CLASSES = typer.Option("0,1", "--classes", help="Names of the classes, as in the config; their order gives the keys.")


@label.command()
def chips(
    source: Path = CHIPS,
    into: Path = typer.Argument(metavar="PAGE", help="The page to write, FILE.html."),
    classes: str = CLASSES,
    scores: Path | None = typer.Option(None, "--scores", help="predictions.csv of a version: what it is least sure of comes first."),
    most: int = typer.Option(1000, "--most", min=1, help="Chips of one page."),
    as_json: bool = JSON,
) -> None:
    """Write a contact sheet on which chips are labelled by keys.

    One file that opens in any browser, offline; it exports labels.csv, which 'label chips-import' takes in.
    """
    from ..labelling.chips import write_sheet

    made = write_sheet(source, into, _names(classes), scores, most)
    said = f"{made.shown} of {made.of} chips in {into}, {made.labelled} of them with a label. Open it in a browser, export, then:"
    then = f"  cratermill label chips-import labels.csv {shlex.quote(str(source))} FOLDER --classes {shlex.quote(classes)}"
    print_answer(as_json, {"page": str(into), "shown": made.shown, "of": made.of, "labelled": made.labelled}, said, then)


@label.command("chips-import")
def chips_import(
    labels: Path = typer.Argument(metavar="LABELS", help="The labels.csv that the page exported."),
    source: Path = CHIPS,
    into: Path = typer.Argument(metavar="FOLDER", help="Where the folders of classes are, or are made: data.chips of the config."),
    classes: str = CLASSES,
    by: str | None = typer.Option(None, "--by", help="Who labelled; the user's name on this machine when left out."),
    as_json: bool = JSON,
) -> None:
    """Turn labels of chips into folders of classes, which chip families read.

    Chips that were labelled before move where their label changed. Who labelled what is kept in FOLDER/labels.csv.
    """
    import getpass

    from ..labelling.chips import take_labels

    found = take_labels(labels, source, into, _names(classes), by or getpass.getuser())
    said = f"{sum(found.values())} labels in {into}: {', '.join(f'{name} {found[name]}' for name in _names(classes))}"
    print_answer(as_json, {"folder": str(into), "labels": dict(found)}, said)


def _names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _body(craters: Path, mosaic: Path | None) -> Body:
    """The body of a mosaic, or else of the crater list; ``InputError`` where neither says it."""
    from ..core.errors import InputError
    from ..craters.catalogue import read_catalogue
    from ..geo.bodies import body_of_crs
    from ..geo.mosaic import Mosaic

    if mosaic is not None:
        with Mosaic.open(mosaic) as raster:
            return raster.grid.body
    crs = read_catalogue(craters).crs
    if crs is None:
        raise InputError(
            f"{craters} doesn't say on which body its craters lie", valid="a mosaic of it", next_step="name one: --mosaic FILE"
        )
    return body_of_crs(crs)


def sources_of_config(path: Path) -> Sources:
    from ..labelling.verbs import Sources
    from ..pipeline.load_config import load_config

    config = load_config(path)
    return Sources(config.data, config.mosaic, config.data.craters, config.run.tiles)


def fids(text: str) -> list[int] | None:
    """``3,17`` as numbers, None for nothing; ``InputError`` for anything else."""
    from ..core.errors import InputError

    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise InputError(f"--craters {text}", valid="FIDs, such as 3,17")
    return [int(word) for word in words] or None


def _laid(folder: DrawingFolder, new: list[Tile], config: Path | None, into: Path | None, as_json: bool) -> None:
    craters = sorted({tile.fid for tile in new})
    before = len(folder.starts()) - len(new)
    said = f"{len(new)} new tiles of {len(craters)} craters in {folder.root}" + (f", beside {before} from before" if before else "")
    lines = [said] if new else [said, "As many as were asked for are there, or none is left within reach; --tiles asks for more."]
    facts = {"folder": str(folder.root), "tiles": len(new), "craters": craters, "before": before}
    print_answer(as_json, facts, *lines, _then(folder, config, into))


def _then(folder: DrawingFolder, config: Path | None, into: Path | None) -> str:
    elsewhere = f" --from {shlex.quote(str(into))}" if into else ""
    return f"Open {folder.project} in QGIS, draw, then: cratermill label import {shlex.quote(str(config or 'CONFIG'))}{elsewhere}"
