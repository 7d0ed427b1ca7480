"""Pictures of patterns of ejecta: one crater with its blanket, rays and neighbours; all craters of a map together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..core.frames import rows_of
from .images import save_figure
from .palette import Colours
from .style import (
    ANALYSED,
    BLANKET,
    BLANKET_OF_MAP,
    DISCARDED,
    INK,
    RAYS,
    RIM_LINE,
    TRUTH,
    key,
    new_figure,
    plain_ticks,
    scale_bar,
    tidy,
)

OPACITY = 0.5
MOST_PAIRS = 400
NAMED = 8
"""Neighbours that a picture's key names."""


@dataclass(frozen=True)
class View:
    """One crater seen from above, in its own azimuthal plane: squares (n, n), north up, ``half_km`` to each side.

    ``ground``: the mosaic (n, n, 3) 0–1. ``masks``: ejecta by what they are: ``mapped``, maybe ``drawn``. ``neighbours``: FID → mask.
    """

    fid: int
    lon: float
    lat: float
    radius_km: float
    blanket_km: float
    half_km: float
    ground: np.ndarray
    masks: dict[str, np.ndarray]
    neighbours: dict[int, np.ndarray]
    colours: Colours = field(default_factory=Colours)


def crater_picture(path: Path, view: View, row: pd.Series, coverage: np.ndarray, ring_km: float) -> Path:
    """The map with blanket and rays, the neighbours (and the drawn mask), coverage by distance, and the rose of sectors."""
    panels = ["mapped", "neighbours", *[name for name in view.masks if name != "mapped"]]
    figure = new_figure(3.4 * len(panels) + 3.4, 4.2)
    grid = figure.add_gridspec(2, len(panels) + 1, width_ratios=[*[1.0] * len(panels), 0.9])
    for number, name in enumerate(panels):
        draw_view(figure.add_subplot(grid[:, number]), view, name)
    coverage_curve(figure.add_subplot(grid[0, -1]), coverage, ring_km, view)
    polar: Any = figure.add_subplot(grid[1, -1], projection="polar")  # whose type no stub derives from the word
    rose(polar, row)
    near = {f"crater {fid}": view.colours.hex(fid) for fid in list(view.neighbours)[:NAMED]}
    areas = {"blanket": BLANKET, "rays": RAYS, "this crater, with neighbours": "#ffffff", **near}
    key(figure, areas, RIM_LINE | ({"blanket's radius": BLANKET_OF_MAP} if view.blanket_km else {}))
    return save_figure(figure, path, dpi=110)


def draw_view(axes: Axes, view: View, name: str) -> None:
    """One panel: ``neighbours``, or one of the view's masks parted into blanket and rays."""
    picture = view.ground.copy()
    if name == "neighbours":
        for fid, mask in view.neighbours.items():
            tint(picture, mask, np.array(view.colours.rgb(fid)) / 255)
        tint(picture, view.masks["mapped"], np.ones(3))
        title = "with neighbours" if view.neighbours else "no neighbours"
    else:
        mask, inside = view.masks[name], within(view)
        tint(picture, mask & inside, rgb(BLANKET))
        tint(picture, mask & ~inside, rgb(RAYS))
        title = f"crater {view.fid}  {view.lon:.1f}°, {view.lat:.1f}°" if name == "mapped" else name
    extent = (-view.half_km, view.half_km, -view.half_km, view.half_km)
    axes.imshow(picture, extent=extent, interpolation="nearest")
    circle(axes, view.radius_km, *RIM_LINE["rim"])
    if view.blanket_km:
        circle(axes, view.blanket_km, *BLANKET_OF_MAP)
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, loc="left")
    scale_bar(axes, 2 * view.half_km)


def within(view: View) -> np.ndarray:
    """Which pixels lie within the blanket's radius."""
    size = view.ground.shape[0]
    at = (np.arange(size) + 0.5) / size * 2 * view.half_km - view.half_km
    return np.hypot(at[:, None], at[None, :]) <= view.blanket_km


def tint(picture: np.ndarray, mask: np.ndarray, with_colour: np.ndarray) -> None:
    picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * with_colour


def rgb(code: str) -> np.ndarray:
    return np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def circle(axes: Axes, radius: float, with_colour: str, line: str) -> None:
    angle = np.linspace(0, 2 * np.pi, 181)
    axes.plot(radius * np.cos(angle), radius * np.sin(angle), line, color=with_colour, linewidth=1.1)


def coverage_curve(axes: Axes, coverage: np.ndarray, ring_km: float, view: View) -> None:
    """Share of each ring that is ejecta, against its distance in crater radii."""
    radii = (np.arange(len(coverage)) + 0.5) * ring_km / view.radius_km
    axes.fill_between(radii, coverage, color=RAYS, alpha=0.35, linewidth=0)
    axes.plot(radii, coverage, color=INK, linewidth=1)
    axes.axhline(0.5, color=INK, linewidth=0.6, linestyle=":")
    if view.blanket_km:
        axes.axvline(view.blanket_km / view.radius_km, color=BLANKET_OF_MAP[0], linewidth=1, linestyle="--")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    tidy(axes, "distance (crater radii)", "share covered")


def rose(axes: PolarAxes, row: pd.Series) -> None:
    """Areas of the eight sectors, blanket and rays, north up and east to the right."""
    axes.set_theta_zero_location("N")
    middles = np.radians(-180 + 45 * np.arange(8) + 22.5)
    rays = np.array([row[f"ray_sect{number}"] for number in range(8)], float)
    blanket = np.array([row[f"area_sect{number}"] for number in range(8)], float) - rays
    whole = max(rays.sum() + blanket.sum(), 1)
    axes.bar(middles, blanket / whole, width=np.radians(43), color=BLANKET, alpha=0.85)
    axes.bar(middles, rays / whole, width=np.radians(43), bottom=blanket / whole, color=RAYS, alpha=0.85)
    axes.set_xticks(np.radians([0, 90, 180, 270]), ["N", "W", "S", "E"], fontsize=7)
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", labelsize=6)
    axes.set_title("share of ejecta by direction", fontsize=8)


# --- all craters --------------------------------------------------------------------------------------------------------------


def blanket_picture(path: Path, table: pd.DataFrame) -> Path | None:
    """Blanket radius against crater radius with a power law fitted to the valid craters; None with fewer than three of them."""
    valid = table[~table["invalid"].astype(bool) & (table["blanket_radius_m"] > 0)]
    others = table[table["invalid"].astype(bool) & (table["blanket_radius_m"] > 0)]
    if len(valid) < 3:
        return None
    figure = new_figure(5.2, 4)
    axes = figure.add_subplot()
    for part, shade, name in ((others, DISCARDED, "discarded"), (valid, ANALYSED, "analysed")):
        axes.plot(part["radius_m"] / 1e3, part["blanket_radius_m"] / 1e3, "o", markersize=4, color=shade, alpha=0.8, label=name)
    slope, factor, spread = power_law(valid["radius_m"].to_numpy() / 1e3, valid["blanket_radius_m"].to_numpy() / 1e3)
    at = np.geomspace(valid["radius_m"].min() / 1e3, valid["radius_m"].max() / 1e3, 50)
    axes.plot(at, factor * at**slope, color=INK, linewidth=1.2, label=f"{factor:.2f} R^{slope:.2f} (exponent ± {spread:.2f})")
    axes.set(xscale="log", yscale="log")
    plain_ticks(axes)
    axes.legend(fontsize=8, frameon=False)
    tidy(axes, "crater radius R (km)", "blanket radius (km)")
    return save_figure(figure, path, dpi=120)


def power_law(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Exponent, factor and standard error of the exponent of y = factor · x^exponent, least squares of the logarithms."""
    log_x, log_y = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    spread = float(((log_x - log_x.mean()) ** 2).sum())
    if spread == 0:
        return 0.0, float(np.exp(log_y.mean())), float("nan")
    slope = float(((log_x - log_x.mean()) * (log_y - log_y.mean())).sum() / spread)
    rest = log_y - log_y.mean() - slope * (log_x - log_x.mean())
    error = float(np.sqrt((rest**2).sum() / max(len(log_x) - 2, 1) / spread))
    return slope, float(np.exp(log_y.mean() - slope * log_x.mean())), error


def radii_histogram(path: Path, table: pd.DataFrame) -> Path:
    """Radii of the craters that were analysed and of those that were discarded."""
    figure = new_figure(5.2, 3.4)
    axes = figure.add_subplot()
    radii, invalid = table["radius_m"].to_numpy(float) / 1e3, table["invalid"].to_numpy(bool)
    edges = np.linspace(0, max(radii.max(initial=0), 1e-3) * 1.0001, 11).tolist()
    parts = [(radii[~invalid], ANALYSED, f"analysed ({(~invalid).sum()})"), (radii[invalid], DISCARDED, f"discarded ({invalid.sum()})")]
    axes.hist([part[0] for part in parts], edges, stacked=True, color=[part[1] for part in parts], label=[part[2] for part in parts])
    axes.legend(fontsize=8, frameon=False)
    tidy(axes, "crater radius (km)", "craters")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return save_figure(figure, path, dpi=120)


def overlap_graph(path: Path, table: pd.DataFrame, pairs: pd.DataFrame, colours: Colours) -> Path | None:
    """Craters at their longitudes and latitudes, as large as their ejecta; lines between those that overlap, as thick as the shared area.

    ``pairs``: ``FID_a, FID_b, overlap_km2``. None where no two craters share ground.
    """
    if pairs.empty:
        return None
    figure = new_figure(9, 4.8)
    axes = figure.add_subplot()
    places = {crater.crat_FID: (crater.lon, crater.lat) for crater in rows_of(table)}
    largest = pairs["overlap_km2"].max()
    for pair in pairs.nlargest(MOST_PAIRS, "overlap_km2").itertuples():
        if pair.FID_a in places and pair.FID_b in places:
            link(axes, places[pair.FID_a], places[pair.FID_b], 0.4 + 5 * np.sqrt(pair.overlap_km2 / largest))
    sizes = 12 + 500 * table["area_km2"] / max(table["area_km2"].max(), 1e-9)
    shades = [colours.hex(fid) for fid in table["crat_FID"]]
    axes.scatter(table["lon"], table["lat"], s=sizes, c=shades, edgecolor=INK, linewidth=0.6, zorder=3)
    for crater in table.itertuples():
        axes.annotate(str(crater.crat_FID), (crater.lon, crater.lat), fontsize=6, ha="center", va="center", zorder=4)
    axes.set(xlim=(-182, 182), ylim=(-92, 92))
    tidy(axes, "longitude (°)", "latitude (°)")
    most = f"at most {table['area_km2'].max():,.0f} km²; line: ground that both cover, at most {largest:,.0f} km²"
    axes.set_title(f"dot: area of a crater's ejecta, {most}", fontsize=8, loc="left")
    return save_figure(figure, path, dpi=120)


def link(axes: Axes, one: tuple[float, float], other: tuple[float, float], width: float) -> None:
    """A line the short way round; in two parts where it crosses the edge of the picture."""
    turn = 360.0 * round((one[0] - other[0]) / 360.0)
    for start in {one[0], one[0] - turn}:
        axes.plot([start, start + other[0] + turn - one[0]], [one[1], other[1]], color=TRUTH, alpha=0.5, linewidth=width)
