"""A map to walk through: the page around Leaflet, served from COGs or with reduced pictures beside it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.files import atomic_path
from ..core.frames import rows_of
from ..geo.bodies import Body
from ..geo.grid import Grid
from ..geo.mosaic import Mosaic
from . import html
from .assets import MAPS
from .images import picture_of, reduced_rgba, reduced_shape
from .palette import CRATERS, Colours

if TYPE_CHECKING:
    import pandas as pd

LEVELS_PX = (1024, 2048, 4096)
"""Widths of the pictures of the viewer within a map's page; the finest is what a browser shows at once."""
POLAR_PX = 1024
POLES, POLAR_DEG = ("north", "south"), 2 * math.degrees(1)
"""Polar views reach to the equator, which is so far from the pole in degrees of the equator's scale."""
MOST_CIRCLES, MOST_ROWS = 20000, 3000
STYLE = """<style>#viewer { height: min(34rem, 75vw); min-height: 18rem; background: #111; }
#viewer-layers { list-style: none; padding: 0; columns: 16rem; }
#viewer-layers li { break-inside: avoid; }
.viewer-line { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; margin: .4rem 0; }
.viewer-line fieldset { border: 0; padding: 0; margin: 0; } .viewer-line legend { float: left; margin-right: .6rem; }
#viewer-scale { border: 2px solid #1c2126; border-top: 0; text-align: center; font-size: .8rem; min-width: 1rem; white-space: nowrap; }
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


def viewer(view: View, layers: list[Layer], more: dict[str, Any] | None = None) -> str:
    """The viewer as a part of a page that has Leaflet beside it."""
    facts = {
        "body": view.body.name.capitalize(),
        "radius": view.body.mean_radius_m,
        "lon0": view.lon0,
        "bounds": view.bounds,
        "polar": POLAR_DEG,
    }
    facts |= {"maxZoom": view.max_zoom, "latitudes": view.latitudes, "layers": [vars(layer) for layer in layers]} | (more or {})
    data = json.dumps(facts, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    names = {"cylindrical": "cylindrical", **{name: f"{name} pole" for name in POLES}}
    radios = "".join(
        f'<label><input type="radio" name="view" value="{kind}" {"checked" if kind == "cylindrical" else ""}> {names[kind]}</label>'
        for kind in names
    )
    return f"""{STYLE}<div class="viewer-line"><fieldset><legend>view</legend>{radios}</fieldset>
<label><input type="checkbox" id="viewer-graticule" checked> graticule</label>
<label><input type="checkbox" id="viewer-measure"> measure</label><span id="viewer-length" aria-live="polite"></span></div>
<div id="viewer" role="application" aria-label="map"></div>
<div class="viewer-line"><div id="viewer-scale"></div><span id="viewer-where"></span></div>
<ul id="viewer-layers" aria-label="layers"></ul><div id="viewer-row" aria-live="polite"></div>
<script type="application/json" id="viewer-data">{data}</script>
<script>addEventListener("DOMContentLoaded", () => {{ if (!globalThis.L) return;
{files("cratermill.report").joinpath("viewer.js").read_text(encoding="utf-8")} }});</script>"""


def circles(
    name: str, label: str, table: pd.DataFrame, key: str | None, colour: str = "", rows: bool = True, colours: Colours = CRATERS
) -> Layer:
    """The rims of a crater list; ``key`` names its number, by which it is coloured unless ``colour`` says how."""
    table = table.astype({"radius_m": float}).nlargest(MOST_CIRCLES, "radius_m")
    ids = [int(value) for value in table[key]] if key else list(range(len(table)))
    items = [
        [one, round(row.lon, 5), round(row.lat, 5), round(row.radius_m, 1), colour or colours.hex(one)]
        for one, row in zip(ids, rows_of(table), strict=True)
    ]
    known = {}
    if rows:
        plain = table.drop(columns="geometry", errors="ignore").head(MOST_ROWS)
        known = {str(one): _facts(row) for one, row in zip(ids, plain.to_dict("records"), strict=False)}
    return Layer(name, label, "circles", items=items, colour=colour or "#ffffff", rows=known)


def _facts(row: dict[Any, Any]) -> dict[str, Any]:
    import pandas as pd

    return {str(name): f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in row.items() if not pd.isna(value)}


def static_viewer(folder: Path, mosaic: Mosaic, overlays: dict[str, Path], lists: list[Layer]) -> str:
    """The viewer for a map's own page, with pictures of at most 4096 pixels' width in ``viewer/``: to send the folder to somebody.

    ``overlays``: RGBA rasters of the mosaic's grid by name. Empty where the mosaic isn't in a projection that is linear in degrees.
    """
    grid = mosaic.grid
    if grid.columns_per_turn is None or not grid.is_north_up:
        return ""
    shutil.rmtree(folder / "viewer", ignore_errors=True)  # pictures of an earlier map of the same name
    shape = reduced_shape(grid, LEVELS_PX[-1])
    levels = write_levels(folder / "viewer/mosaic-{level}.jpg", picture_of(mosaic, shape), grid)
    layers = [Layer("mosaic", "mosaic", "image", url="viewer/mosaic-{level}.jpg")]
    for number, (name, path) in enumerate(overlays.items()):
        rgba = reduced_rgba(path, LEVELS_PX[-1])
        alpha = np.maximum(rgba[..., 3:], 1e-6)
        plain = np.concatenate([rgba[..., :3] / alpha, rgba[..., 3:]], axis=-1)
        write_levels(folder / f"viewer/overlay-{number}-{{level}}.png", (np.clip(plain, 0, 1) * 255).astype(np.uint8), grid)
        layers.append(Layer(f"overlay-{number}", name, "image", url=f"viewer/overlay-{number}-{{level}}.png", opacity=0.6))
    return viewer(View.of(grid), [*layers, *lists], {"levels": levels})


def write_levels(path: Path, pixels: np.ndarray, grid: Grid) -> list[int]:
    """A picture (h, w, 3 or 4) of a grid at several widths, and around both poles; ``path`` has ``{level}``. Returns the widths."""
    from PIL import Image

    whole, widths = Image.fromarray(pixels), [width for width in LEVELS_PX if width < pixels.shape[1]]
    for width in widths:
        small = whole.resize((width, max(1, round(pixels.shape[0] * width / pixels.shape[1]))), Image.Resampling.BOX)
        write_picture(Path(str(path).format(level=width)), np.asarray(small))
    write_picture(Path(str(path).format(level=pixels.shape[1])), pixels)
    for name in POLES:
        rows, cols, inside = on_picture(around_pole(grid, name, 2 * (-POLAR_DEG,) + 2 * (POLAR_DEG,), POLAR_PX), grid, pixels.shape)
        write_picture(Path(str(path).format(level=name)), pixels[rows, cols] * inside[..., None].astype(np.uint8))
    return [*widths, pixels.shape[1]]


def around_pole(grid: Grid, name: str, bounds: Sequence[float], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (size, size) of a grid, fractional, under the pixels of a square of a polar view; ``bounds``: west, south, east,
    north in degrees of the equator. Stereographic, as the page draws its rims. NaN beyond the plane's edge."""
    west, south, east, north = bounds
    side, share = 1 if name == "north" else -1, (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(west + share * (east - west), north - share * (north - south))
    lat = side * (90 - 2 * np.degrees(np.arctan(np.radians(np.hypot(x, y)) / 2)))
    rows, cols = grid.rowcol_of_lonlat(np.degrees(np.arctan2(x, -side * y)), lat)
    turn = grid.columns_per_turn
    return rows, np.mod(cols + 0.5, turn) - 0.5 if turn is not None else cols


def on_picture(places: tuple[np.ndarray, np.ndarray], grid: Grid, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole rows and columns on a reduced picture of the whole grid, and which of them lie on it."""
    at = [(place + 0.5) * size / whole for place, size, whole in zip(places, shape, grid.shape, strict=False)]
    inside = np.logical_and.reduce([(one >= 0) & (one < size) for one, size in zip(at, shape, strict=False)])
    rows, cols = (np.where(inside, one, 0).astype(int) for one in at)
    return rows, cols, inside


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """(h, w, 3 or 4) bytes as JPEG or PNG by suffix, whole or not at all."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=85)
    return path


def served_page(title: str, part: str) -> str:
    return html.page(title, [part], scripts=MAPS)
