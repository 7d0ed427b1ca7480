"""A list of craters in the formats that people count with, and the pictures that go with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd

from ..geo.bodies import Body
from .catalogue import write_catalogue

SUFFIXES = (".gpkg", ".csv", ".scc", ".diam")


def crater_table(craters: pd.DataFrame, body: Body) -> geopandas.GeoDataFrame:
    """Craters (lon, lat, radius_m, …) numbered from the largest, with diameters, as points in degrees on their body."""
    craters = craters.sort_values(["radius_m", "lon", "lat"], ascending=[False, True, True]).reset_index(drop=True)
    craters = craters.drop(columns=["FID", "diameter_km"], errors="ignore")
    craters.insert(0, "FID", np.arange(len(craters)))
    craters["diameter_km"] = craters["radius_m"] * 2 / 1000
    points = geopandas.points_from_xy(craters["lon"], craters["lat"])
    return geopandas.GeoDataFrame(craters, geometry=points, crs=body.geographic_crs())


def write_craters(folder: Path, craters: geopandas.GeoDataFrame, body: Body, boundary: list[tuple[float, float]] | None) -> list[Path]:
    """``craters.gpkg``, ``.csv``, ``.scc`` and ``.diam``; the last two with the area counted, inside ``boundary`` or the whole body."""
    return [write_catalogue(folder / f"craters{suffix}", craters, body, boundary=boundary) for suffix in SUFFIXES]


def counted_boundary(west: float, south: float, east: float, north: float, step: float = 1.0) -> list[tuple[float, float]] | None:
    """Corners (lon, lat) around the counted area; None for a whole body. Parallels get many, since a polygon's sides are geodesics."""
    if east - west >= 360 and south <= -90 and north >= 90:
        return None
    count = max(2, int(np.ceil((east - west) / step)) + 1)
    lons = np.linspace(west, east, count)
    return [*((float(lon), south) for lon in lons), *((float(lon), north) for lon in lons[::-1])]


def size_frequency(path: Path, lists: dict[str, Iterable[float]], area_km2: float, per_octave: int = 2) -> Path:
    """Cumulative and differential size-frequency plots, √2 bins, of named lists of diameters in km over one area.

    Cumulative N(≥D) and differential ΔN/ΔD, per km², with √N error bars (Crater Analysis Techniques Working Group 1979).
    """
    from matplotlib.figure import Figure

    from ..report.images import save_figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    cumulative, differential = figure.subplots(1, 2)
    for number, (name, diameters) in enumerate(lists.items()):
        table = frequencies(np.asarray(list(diameters), float), area_km2, per_octave)
        style = {"marker": "os^v"[number % 4], "markersize": 4, "linewidth": 1, "capsize": 2, "label": name}
        cumulative.errorbar(table["diameter_km"], table["cumulative"], _bars(table, "cumulative"), **style)
        shown = table[table["count"] > 0]
        differential.errorbar(shown["middle_km"], shown["differential"], _bars(shown, "differential"), **style)
    for axes, title in ((cumulative, "craters ≥ D per km²"), (differential, "ΔN / ΔD per km² per km")):
        axes.set(xlabel="diameter D (km)", ylabel=title, xscale="log")
        if any(len(list(diameters)) for diameters in lists.values()):
            axes.set_yscale("log")
        axes.grid(True, which="both", alpha=0.25)
        axes.legend()
    return save_figure(figure, path, dpi=110)


def frequencies(diameters_km: np.ndarray, area_km2: float, per_octave: int = 2) -> pd.DataFrame:
    """Counts by bin: lower end and middle of each, how many, cumulative and differential frequency, and both √N errors."""
    columns = ["diameter_km", "middle_km", "count", "cumulative", "cumulative_error", "differential", "differential_error"]
    if not len(diameters_km):
        return pd.DataFrame(columns=columns, dtype=float)
    first = np.floor(np.log2(diameters_km.min()) * per_octave)
    last = np.floor(np.log2(diameters_km.max()) * per_octave)
    edges = 2.0 ** (np.arange(first, last + 2) / per_octave)
    # Rounding must not put a diameter that is a bin's end below it.
    bins = np.clip(np.searchsorted(edges, diameters_km * (1 + 1e-12), side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(bins, minlength=len(edges) - 1)
    above, width = counts[::-1].cumsum()[::-1], np.diff(edges)
    values = [edges[:-1], np.sqrt(edges[:-1] * edges[1:]), counts, above / area_km2, np.sqrt(above) / area_km2]
    values += [counts / width / area_km2, np.sqrt(counts) / width / area_km2]
    return pd.DataFrame(dict(zip(columns, values, strict=True)))


def _bars(table: pd.DataFrame, name: str) -> np.ndarray:
    value, error = table[name].to_numpy(), table[f"{name}_error"].to_numpy()
    # One crater's bar would reach 0, which a logarithmic axis doesn't have.
    return np.stack([np.minimum(error, 0.999 * value), error])
