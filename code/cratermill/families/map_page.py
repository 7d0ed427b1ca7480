"""What every map has, whichever family made it: a page that says what it was made of and which files there are, and a QGIS project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import BEST
from ..core.errors import CratermillError
from ..core.files import atomic_path, write_json
from ..core.work import Workspace
from ..report.palette import FILE, FOUND, MISSED, NEW, NO_CLUSTER, OTHER, Colours, read_colours
from . import get_family
from .members import Trainings

if TYPE_CHECKING:
    from ..config import Config
    from ..geo.mosaic import Mosaic
    from ..report.qgis import MapLayer

PROVENANCE, PROJECT = "provenance.json", "map.qgz"
FILES = {
    PROJECT: "all layers with their styles, for QGIS",
    FILE: "the colours of the craters: give this file as map.colours, and other maps have the same",
    "craters.csv": "one row per crater",
    "craters.gpkg": "the same, for QGIS and other programs",
    "rated.csv": "every crater of the list, with what the network thinks of it",
    "tiles.csv": "the tiles around each crater, with the votes of the members",
    "tiles.gpkg": "the middles of the tiles, for QGIS and other programs",
    "prediction.tif": "the networks' answer as a raster",
    "clusters.json": "how many craters are in which cluster, and how well they part",
    "latents.npy": "the latent of each crater, (N, D), in the order of the table",
    PROVENANCE: "checkpoints, configuration, code and craters that the map was made of",
}
RATED, TILES, CLUSTERS = "rated", "tiles", "crater_clusters_*.gpkg"
CONNECTED = {1: FOUND, 0: NO_CLUSTER}
"""Files of points that QGIS shows, too, and the colours of tiles by their column ``connected``."""
LISTS = {
    "missed_craters": ("missed: in the list alone", MISSED),
    "new_craters": ("new: in no list", NEW),
    "craters": ("craters", FOUND),
    RATED: ("all of the list", OTHER),
}
RASTERS = {"ejecta-map_all": ("picture", 0.6), "ml_FID_map_all": ("numbers", 0.6)}
"""How QGIS shows rasters by their names, and how strongly; any other one is a share from 0 to 1."""


def colours_for(config: Config) -> Colours:
    """The colours of the map at work: those of the user's file, or fixed ones by FID."""
    named = config.map_run.colours
    return read_colours(config.path(named)) if named else Colours()


def write_colours(folder: Path, colours: Colours, fids: Iterable[int]) -> Path:
    """``colours.csv``: a colour for each crater of the map."""
    with atomic_path(folder / FILE) as temporary:
        temporary.write_text("".join(["crat_FID,colour\n", *(f"{fid},{colours.hex(fid)}\n" for fid in fids)]), encoding="utf-8")
    return folder / FILE


def record(config: Config, folder: Path, workspace: Workspace, facts: dict[str, Any]) -> dict[str, Any]:
    """``provenance.json``: run, code and configuration, and the ``facts`` of the map. Returns all of it."""
    plan = getattr(workspace, "plan", None)
    code = plan and {key: value for key, value in plan.provenance.items() if key != "earlier"}
    made = {"run": plan and plan.run, "code": code, "config": config.dump(), **facts}
    write_json(folder / PROVENANCE, made)
    return made


def finish_map(
    config: Config,
    folder: Path,
    title: str,
    sections: list[str],
    made: dict[str, Any],
    mosaic: Mosaic,
    files: dict[str, str] | None = None,
    scripts: tuple[str, ...] = (),
) -> Path:
    """``map.qgz`` and ``index.html``: the family's ``sections``, what the map was made of, and its ``files`` with what they are."""
    from ..report import html

    write_map_project(folder, mosaic)
    named = {**(files or {}), **{name: what for name, what in FILES.items() if name not in (files or {})}}
    tail = [html.section("Made of", html.facts(made_of(config, made, mosaic))), html.section("Files", html.files(folder, named))]
    return html.write_page(folder / html.INDEX, title, [*sections, *tail], scripts)


def write_map_project(folder: Path, mosaic: Mosaic, home: Path | None = None) -> Path:
    """``map.qgz``; ``home``: where the folder will be moved to, from which the mosaic must be found."""
    from ..report.qgis import write_project

    return write_project(folder / PROJECT, f"Map {(home or folder).name}", mosaic.grid, layers(folder, mosaic), home)


def made_of(config: Config, made: dict[str, Any], mosaic: Mosaic) -> dict[str, str]:
    """Networks, mosaic, thresholds and other keys, run and code, as people read them."""
    run = config.map_run
    facts = {f"Network of {family}": _network(config, family, wanted, made) for family, wanted in run.versions.items()}
    facts["Mosaic"] = f"{mosaic.path.name}, {mosaic.grid.width} × {mosaic.grid.height} px of {mosaic.grid.resolution_m:,.4g} m"
    if run.catalogue:
        facts["Crater list"] = Path(run.catalogue).name
    cells = {
        name: value for name, value in (made.get("made_of") or {}).items() if isinstance(value, (int, float, str)) and name not in PLACES
    }
    keys = run.model_dump(mode="json", exclude_defaults=True, exclude={"versions", "split", "mosaic", "catalogue", "name", "options"})
    threshold = {"threshold": run.threshold} if any("threshold" in get_family(family).map_keys for family in run.versions) else {}
    said = threshold | keys | run.options | cells
    facts["Keys"] = ", ".join(f"{name} {value}" for name, value in said.items()) or "none"
    code = made.get("code") or {}
    facts["Configuration"] = f"{config.run.name}, seed {config.run.seed}" + (f", run {made['run']}" if made.get("run") else "")
    if commit := code.get("commit"):
        facts["Code"] = f"commit {commit}"
    return facts


PLACES = {"key", "name", "family", "fid", "lon", "lat", "radius_m", "split", "mosaic", "catalogue", "start", "stop", "level"}
"""Params of a map's cell that only say which part of the map it is, or are said elsewhere."""


def _network(config: Config, family: str, wanted: Any, made: dict[str, Any]) -> str:
    """Version, model, thresholds of its row, split and members, as far as they are known."""
    split, trainings = config.map_run.split, Trainings(config)
    weights = ((made.get("made_of") or {}).get("weights") or {}).get(family) or {}
    version = (made.get("versions") or {}).get(family) or (next(iter(weights), wanted) if wanted == BEST else wanted)
    members = (made.get("checkpoints") or {}).get(family) or list((weights.get(str(version)) or {}).get(str(split)) or {})
    try:
        row = trainings.row(family, int(version), split).model_dump()
    except (CratermillError, ValueError, OSError):
        row = {}
    words = [row.get("model_name"), *(value for name, value in (row.get("keywords") or {}).items() if "encoder_name" in name)]
    words += [f"{name} {value}" for name, value in row.items() if "threshold" in name and value is not None]
    network = ", ".join(str(word) for word in words if word)
    said = f"version {version}{f' ({network})' if network else ''}, TV-Test split {split}"
    listed = ", ".join(str(one)[:12] for one in members if len(str(one)) > 12)
    return f"{said}, members: {len(members)}{f' (checkpoints {listed})' if listed else ''}" if members else said


def layers(folder: Path, mosaic: Mosaic) -> list[MapLayer]:
    """What of a map's files QGIS shows, from the top: craters, shapes, rasters, the mosaic."""
    from pyogrio import read_dataframe, read_info

    from ..report.palette import cluster_colour, colours_of
    from ..report.qgis import MapLayer

    degrees, own = mosaic.grid.body.geographic_crs(), mosaic.grid.crs
    colours, found = colours_of(folder), []
    for name, (label, colour) in LISTS.items():
        if (path := folder / f"{name}.gpkg").exists():
            own_colours = colours.own if name == "craters" else {}
            kind = "circles" if "Point" in read_info(path)["geometry_type"] else "outlines"
            by = "crat_FID" if own_colours else ""
            found.append(MapLayer(path, label, kind, degrees, colour, own_colours, by, name, shown=name != RATED))  # type: ignore[arg-type]
    for path in sorted(folder.glob(CLUSTERS)):
        clusters = sorted(read_dataframe(path, columns=["cluster"], read_geometry=False)["cluster"].unique())
        hues = {int(one): cluster_colour(one) for one in clusters}
        found.append(MapLayer(path, "clusters", "dots", degrees, colours=hues, by="cluster", table=path.stem))
    if (path := folder / f"{TILES}.gpkg").exists():
        found.append(MapLayer(path, "connected tiles (centres)", "dots", degrees, colours=CONNECTED, by="connected", table=TILES))
    if (path := folder / "ejecta_polygons.gpkg").exists():
        found.append(MapLayer(path, "ejecta", "areas", own, colours=colours.own, by="crat_FID", table=path.stem, shown=False, opacity=0.5))
    for path in sorted(folder.glob("*.tif")):
        if "_crater_" not in path.stem:
            kind, opacity = RASTERS.get(path.stem, ("ramp", 0.8))
            painted = colours.own if kind == "numbers" else {}
            found.append(MapLayer(path, path.stem, kind, own, colours=painted, shown=kind == "picture", opacity=opacity))  # type: ignore[arg-type]
    return [*found, MapLayer(mosaic.path, "mosaic", "picture", own)]
