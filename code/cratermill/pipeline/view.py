"""What ``cratermill view`` shows: of a map its rasters, rims, polygons and tiles, of a mosaic itself, of a run how far it is."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError, InputError
from ..core.paths import Project, find_root

if TYPE_CHECKING:
    import pandas as pd

    from ..geo.bodies import Body
    from ..report.view_server import MapView, Raster
    from ..report.viewer import Layer

KNOWN = {
    "ejecta-map_all.tif": ("composite", "rgba", True, 0.6),
    "ml_FID_map_all.tif": ("owner", "numbers", False, 0.6),
    "max_probability_all.tif": ("probability", "values", False, 0.8),
    "disagreement_all.tif": ("disagreement of the ensemble", "values", False, 0.8),
    "prediction.tif": ("prediction", "values", False, 0.8),
    "clusters.tif": ("clusters", "numbers", True, 0.6),
}
SHARE = (0.0, 1.0)
LISTS = {"new_craters.csv": "new: found, and in no list", "missed_craters.csv": "missed: in the list alone"}
RASTERS = (".tif", ".tiff", ".vrt")
NO_RASTERS = (".yaml", ".yml", ".json", ".txt", ".ckpt", ".html", ".qgz", ".zip")
"""Nor are crater lists."""
REFRESH_S = 5


def map_view(given: str, layers: list[Path]) -> MapView:
    """A map by name or folder, or a mosaic; ``layers``: further rasters, crater lists or polygons over it."""
    path, valid = Path(given), "a map by its name or folder, a mosaic's file (GeoTIFF or another raster), or a run by its name"
    if path.suffix.lower() in RASTERS and not path.exists():
        raise InputError(f"there is no {path}", valid=valid, next_step="check the path")
    if path.is_file() and _is_no_raster(path):
        raise InputError(
            f"{path} is no mosaic",
            valid=valid,
            next_step=f"lists and polygons are shown over a mosaic: cratermill view MOSAIC --layer {shlex.quote(str(path))}",
        )
    made = _of_mosaic(path) if path.is_file() else _of_map(given)
    for number, one in enumerate(layers):
        _add(made, one, f"more-{number}")
    assert made.view  # refused here, rather than within the server
    return made


def _is_no_raster(path: Path) -> bool:
    if path.suffix.lower() in RASTERS:
        return False
    from ..craters.catalogue import FORMATS

    return path.suffix.lower() in (*FORMATS, *NO_RASTERS)


def _of_mosaic(path: Path, bands: list[int | str] | None = None, title: str = "") -> MapView:
    from ..geo.layers import open_mosaic
    from ..report.view_server import MapView, Raster

    with open_mosaic(path, bands) as mosaic:
        numbers = [band for band in mosaic.bands if isinstance(band, int)]  # of formulas the first bands of the file
        indexes = (numbers[:3] if len(numbers) >= 3 else numbers[:1]) or [1]
    return MapView(title or path.name, path, bands, [Raster("mosaic", "mosaic", path, "mosaic", indexes=indexes)], [])


def _of_map(given: str) -> MapView:
    from .map_sources import find_map, sources_of

    folder = find_map(given)
    results = Project(find_root(folder)).results.resolve()
    if not folder.resolve().is_relative_to(results):
        raise InputError(f"{folder} lies outside {results}", valid="a map's folder below results/, or a mosaic's file")
    sources = sources_of(folder)
    if sources.mosaic is None:
        raise InputError(
            f"the mosaic of {folder} is not there", valid="a map whose mosaic is there", next_step="view one of its rasters alone"
        )
    made = _of_mosaic(sources.mosaic, sources.bands, f"Map {folder.name}")
    made.rasters += _rasters(folder)
    made.vectors += _vectors(folder, made.view.body)
    return made


def _rasters(folder: Path) -> Iterator[Raster]:
    from ..report.palette import colours_of
    from ..report.view_server import Raster

    for path in sorted(folder.glob("*.tif"), key=lambda path: list(KNOWN).index(path.name) if path.name in KNOWN else len(KNOWN)):
        if path.name in KNOWN:
            label, kind, on, opacity = KNOWN[path.name]
            yield Raster(path.stem, label, path, kind, on, opacity, [1, 2, 3] if kind == "rgba" else [1], colours_of(folder), SHARE)
    for path in sorted(folder.glob("vote_share_crater_*.tif"), key=lambda path: int(path.stem.rsplit("_", 1)[1])):
        fid = path.stem.rsplit("_", 1)[1]
        yield Raster(f"votes-{fid}", f"votes of crater {fid}", path, "values", False, 0.8, [1], limits=SHARE)


def _vectors(folder: Path, body: Body) -> Iterator[Layer]:
    """Rims with the rows of all tables about them, polygons, and what is new or was missed."""
    import pandas as pd

    from ..report.palette import FOUND, MISSED, NEW, colours_of
    from ..report.viewer import circles
    from .leaderboard import read_table

    craters = read_table(folder / "craters.csv")
    key = "crat_FID" if "crat_FID" in craters else None
    patterns = read_table(folder / "analysis_overlaps.csv")
    if key and key in patterns:
        craters = craters.merge(patterns, on=key, how="left", suffixes=("", " (pattern)"))
    new = [read_table(folder / name) for name in LISTS]
    if {"lon", "lat", "radius_m"} <= set(craters):
        again = _places(craters).isin(_places(new[0])) if len(new[0]) else pd.Series(False, index=craters.index)
        shown = craters[~again]
        scored = len(new[0]) or len(new[1])
        yield circles("rims", "found, and in the list" if scored else "rims", shown, key, "" if key else FOUND, colours=colours_of(folder))
    for (name, label), hue, table in zip(LISTS.items(), (NEW, MISSED), new, strict=True):
        if {"lon", "lat", "radius_m"} <= set(table):
            yield circles(Path(name).stem, label, table, None, hue)
    polygons = folder / "ejecta_polygons.gpkg"
    if polygons.exists():
        yield _polygons("polygons", "polygons of ejecta", polygons, body)
    tiles = [read_table(path) for path in folder.glob("connected_tiles_crater_*.csv")]
    if tiles and {"lon", "lat"} <= set(tiles[0]):
        yield _tiles(pd.concat(tiles))


def _places(table: pd.DataFrame) -> pd.Series:
    return table["lon"].round(6).astype(str) + " " + table["lat"].round(6).astype(str)


def _tiles(table: pd.DataFrame) -> Layer:
    from ..report.viewer import circles

    layer = circles("tiles", "connected tiles (centres)", table.assign(radius_m=2000.0).drop_duplicates(["lon", "lat"]), None, "#009e73")
    layer.on = False
    return layer


def _polygons(name: str, label: str, path: Path, body: Body) -> Layer:
    import geopandas

    from ..report.viewer import Layer

    frame = geopandas.read_file(path)
    if frame.crs is not None:
        frame = frame.to_crs(body.geographic_crs())
    lines = []
    for shape in frame.geometry.boundary.explode(index_parts=False):
        if shape is not None and not shape.is_empty and hasattr(shape, "coords"):
            lines.append([[round(x, 4), round(y, 4)] for x, y, *_ in shape.simplify(0.01).coords])
    return Layer(name, label, "lines", on=False, colour="#f0e442", items=lines)


def _add(made: MapView, path: Path, name: str) -> None:
    """Truth, another list, another raster."""
    from ..report.palette import OTHER
    from ..report.view_server import Raster
    from ..report.viewer import circles

    if not path.exists():
        raise InputError(f"there is no {path}", valid="a raster, a crater list or polygons", next_step="check the path")
    if path.suffix.lower() in (".tif", ".tiff"):
        import rasterio

        with rasterio.open(path) as dataset:
            kind = "rgba" if dataset.count == 4 else "numbers" if dataset.dtypes[0].startswith("int") else "values"
        made.rasters.append(Raster(name, path.name, path, kind, True, 0.7, [1, 2, 3] if kind == "rgba" else [1]))
        return
    import pandas as pd

    from ..craters.catalogue import read_catalogue

    try:
        table = read_catalogue(path, made.view.body)
    except CratermillError:
        made.vectors.append(_polygons(name, path.name, path, made.view.body))
        made.vectors[-1].on = True
        return
    made.vectors.append(circles(name, path.name, pd.DataFrame(table), None, OTHER))


def view(given: str, layers: list[Path], port: int, say: Callable[[str], None], run: Callable[[], str] | None = None) -> None:
    """Serve a map or mosaic, or what ``run`` says of a run, until Ctrl-C."""
    from ..report.view_server import serve

    pages: Any = map_view(given, layers) if run is None else run
    say("Open this in a browser of this machine (from elsewhere: ssh -L PORT:127.0.0.1:PORT); Ctrl-C ends it:")
    serve(pages, pages.token if run is None else secrets.token_urlsafe(16), port, say)


def run_page(plan: Any, observe: Any) -> str:
    """How far a run is, as a page that loads itself again."""
    import pandas as pd

    from ..batch.status import collect, counts_text, time_text, what_text
    from ..report import html

    found = collect(plan, observe)
    shown = [cell for cell in found["cells"] if cell["state"] not in ("done", "waiting")][:200]
    rows = [
        {
            "cell": cell["index"],
            "name": cell["key"],
            "state": cell["state"],
            "time": time_text(cell, found["time"]),
            "what": what_text(cell),
        }
        for cell in shown
    ]
    sections = [html.paragraph(counts_text(found["counts"])), *([html.paragraph(found["silent"], "warning")] if found["silent"] else [])]
    sections += [html.table(pd.DataFrame(rows))] if rows else [html.paragraph("Nothing runs, waits in a queue or has failed.")]
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}"><title>'
    return html.page(f"Run {plan.run}", sections).replace("<title>", refresh, 1)
