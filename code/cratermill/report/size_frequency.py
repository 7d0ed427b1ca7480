"""How many craters of each size: tables and plots of cumulative and differential frequencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd


def size_frequency(path: Path, lists: Mapping[str, Iterable[float]], area_km2: float, per_octave: int = 2) -> Path:
    """Cumulative and differential size-frequency plots, √2 bins, of named lists of diameters in km over one area.

    Cumulative N(≥D) and differential ΔN/ΔD, per km², with √N error bars (Crater Analysis Techniques Working Group 1979).
    """
    from matplotlib.figure import Figure

    from .images import save_figure

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
