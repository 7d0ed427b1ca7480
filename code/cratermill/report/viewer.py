"""A map to walk through: the page around Leaflet, served from COGs or with reduced pictures beside it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.files import atomic_path
from ..core.frames import rows_of
from ..geo.bodies import Body
from ..geo.grid import Grid
from ..geo.mosaic import Mosaic
from . import html
from .assets import MAPS
from .images import grey_or_colour, reduced_rgba, reduced_shape
from .palette import hex_colour

FOUND, NEW, MISSED, OTHER = "#56b4e9", "#e69f00", "#cc79a7", "#ffffff"
"""Rims of craters that a list has, too, of new ones, of missed ones, and of further lists: told apart by the colour-blind."""
STATIC_PX = 4096
"""Widest picture of the viewer within a map's page: what a browser shows at once."""
MOST_CIRCLES, MOST_ROWS = 20000, 3000
STYLE = """<style>#viewer { height: 34rem; background: #111; } #viewer-layers { list-style: none; padding: 0; columns: 16rem; }
#viewer-layers li { break-inside: avoid; }
.viewer-line { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; margin: .4rem 0; }
#viewer-scale { border: 2px solid #1c2126; border-top: 0; text-align: center; font-size: .8rem; min-width: 1rem; }
#viewer img { border: 0; max-width: none; }
.degrees { color: #fff; font: 11px sans-serif; text-shadow: 0 0 3px #000; white-space: nowrap; }
.ramp { display: inline-block; width: 7rem; height: .8rem; background: linear-gradient(90deg, #00224e, #7c7b78, #fde737); margin: 0 .3rem; }
#viewer-row img { width: 20rem; } #viewer-where { min-height: 1.5em; }</style>"""


@dataclass
class Layer:
    """``kind``: tiles, image, circles (id, lon, lat, radius_m, colour) or lines (lists of lon, lat); ``rows``: facts by id."""

    id: str
    label: str
    kind: str
    on: bool = True
    opacity: float = 1.0
    url: str = ""
    colour: str = "#ffffff"
    legend: str = ""
    items: list[Any] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """What a grid means for the page: longitude of its middle, bounds in degrees, the zoom that shows pixels one to one."""

    body: Body
    lon0: float
    bounds: tuple[float, float, float, float]
    max_zoom: int

    @classmethod
    def of(cls, grid: Grid) -> View:
        turn = grid.columns_per_turn or grid.width
        _, lat = grid.lonlat(np.array([-0.5, grid.height - 0.5]), np.zeros(2))
        middle, _ = grid.lonlat(np.array([grid.height / 2]), np.array([(grid.width - 1) / 2]))
        half = 180 * min(1.0, grid.width / turn)
        lon0 = float(np.round(middle[0], 9))
        lat = np.nan_to_num(lat, nan=90.0) if np.isnan(lat).any() else lat
        bounds = (lon0 - half, float(min(lat)), lon0 + half, float(max(lat)))
        return cls(grid.body, lon0, bounds, max(0, math.ceil(math.log2(turn / 360))))

    @property
    def latitudes(self) -> str:
        return "latitude of the sphere" if self.body.is_sphere else "planetodetic latitude"


def ramp(low: float, high: float) -> str:
    return f'<span>{low:g}<span class="ramp" role="img" aria-label="from dark blue to yellow"></span>{high:g}</span>'


def viewer(view: View, layers: list[Layer], more: dict[str, Any] | None = None, views: bool = True) -> str:
    """The viewer as a part of a page that has Leaflet beside it."""
    facts = {"body": view.body.name.capitalize(), "radius": view.body.mean_radius_m, "lon0": view.lon0, "bounds": view.bounds}
    facts |= {"maxZoom": view.max_zoom, "latitudes": view.latitudes, "layers": [asdict(layer) for layer in layers]} | (more or {})
    data = json.dumps(facts, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    kinds = ("cylindrical", "north", "south") if views else ("cylindrical",)
    names = {"cylindrical": "cylindrical", "north": "north pole", "south": "south pole"}
    radios = "".join(
        f'<label><input type="radio" name="view" value="{kind}" {"checked" if kind == "cylindrical" else ""}> {names[kind]}</label>'
        for kind in kinds
    )
    return f"""{STYLE}<div class="viewer-line" role="group" aria-label="view">{radios}
<label><input type="checkbox" id="viewer-graticule" checked> graticule</label>
<label><input type="checkbox" id="viewer-measure"> measure</label><span id="viewer-length" aria-live="polite"></span></div>
<div id="viewer" role="application" aria-label="map"></div>
<div class="viewer-line"><div id="viewer-scale"></div><span id="viewer-where"></span></div>
<ul id="viewer-layers" aria-label="layers"></ul><div id="viewer-row" aria-live="polite"></div>
<script type="application/json" id="viewer-data">{data}</script>
<script>addEventListener("DOMContentLoaded", () => {{ if (!globalThis.L) return;
{files("cratermill.report").joinpath("viewer.js").read_text(encoding="utf-8")} }});</script>"""


def circles(name: str, label: str, table: pd.DataFrame, key: str | None, colour: str = "", rows: bool = True) -> Layer:
    """The rims of a crater list; ``key`` names its number, by which it is coloured unless ``colour`` says how."""
    table = table.astype({"radius_m": float}).nlargest(MOST_CIRCLES, "radius_m")
    ids = [int(value) for value in table[key]] if key else list(range(len(table)))
    items = [
        [one, round(row.lon, 5), round(row.lat, 5), round(row.radius_m, 1), colour or hex_colour(one)]
        for one, row in zip(ids, rows_of(table), strict=True)
    ]
    known = {}
    if rows:
        plain = table.drop(columns="geometry", errors="ignore").head(MOST_ROWS)
        known = {str(one): _facts(row) for one, row in zip(ids, plain.to_dict("records"), strict=False)}
    return Layer(name, label, "circles", items=items, colour=colour or "#ffffff", rows=known)


def _facts(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in row.items() if not pd.isna(value)}


def static_viewer(folder: Path, mosaic: Mosaic, overlays: dict[str, Path], lists: list[Layer]) -> str:
    """The viewer for a map's own page, with pictures of at most 4096 pixels' width in ``viewer/``: to send the folder to somebody.

    ``overlays``: RGBA rasters of the mosaic's grid by name. Empty where the mosaic isn't in a projection that is linear in degrees.
    """
    if mosaic.grid.columns_per_turn is None or not mosaic.grid.is_north_up:
        return ""
    pictures, layers = folder / "viewer", [Layer("mosaic", "mosaic", "image", url="viewer/mosaic.jpg")]
    shape = reduced_shape(mosaic.grid, STATIC_PX)
    write_picture(pictures / "mosaic.jpg", (grey_or_colour(mosaic, shape) * 255).astype(np.uint8))
    for number, (name, path) in enumerate(overlays.items()):
        rgba = reduced_rgba(path, STATIC_PX)
        alpha = np.maximum(rgba[..., 3:], 1e-6)
        plain = np.concatenate([rgba[..., :3] / alpha, rgba[..., 3:]], axis=-1)
        write_picture(pictures / f"overlay-{number}.png", (np.clip(plain, 0, 1) * 255).astype(np.uint8))
        layers.append(Layer(f"overlay-{number}", name, "image", url=f"viewer/overlay-{number}.png", opacity=0.6))
    return viewer(View.of(mosaic.grid), [*layers, *lists], views=False)


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """(h, w, 3 or 4) bytes as JPEG or PNG by suffix, whole or not at all."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=85)
    return path


def served_page(title: str, part: str) -> str:
    return html.page(title, [part], scripts=MAPS)
