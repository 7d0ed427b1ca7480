"""Plots of how many craters there are of each size: cumulative, differential and relative (R), with isochrons where an age is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..craters.frequencies import frequencies
from .images import save_figure
from .style import INK, RAYS, SIZES, TRUTH, few_ticks, tidy

KINDS = {"cumulative": "craters ≥ D per km²", "differential": "ΔN / ΔD per km² per km", "R": "R = D³ ΔN / ΔD per km²"}
COLOURS = (RAYS, "#d9480f", TRUTH, "#862e9c")
Curve = Callable[[np.ndarray], np.ndarray]
"""N(≥ D) per km² of diameters in km."""


def size_frequency(
    path: Path,
    lists: Mapping[str, Iterable[float]],
    area_km2: float,
    per_octave: int = 2,
    isochrons: Mapping[str, Curve] | None = None,
    whole_from_km: float | None = None,
) -> Path:
    """Three plots of named lists of diameters in km over one area, √2 bins, exact Poisson intervals of 1 σ.

    ``isochrons``: curves by label. ``whole_from_km``: below it a list isn't whole, which is shaded. Conventions: Crater Analysis Techniques
    Working Group 1979.
    """
    figure = Figure(figsize=(13, 4.4))
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.125, top=0.97, wspace=0.3)  # by hand: see crater_pictures.py
    panels = dict(zip(KINDS, figure.subplots(1, len(KINDS)), strict=True))
    sizes = {name: np.asarray(list(diameters), float) for name, diameters in lists.items()}
    for number, (name, diameters) in enumerate(sizes.items()):
        table = frequencies(diameters, area_km2, per_octave)
        for kind, axes in panels.items():
            draw(axes, table, kind, name, COLOURS[number % len(COLOURS)])
    everything = np.concatenate(list(sizes.values())) if sizes else np.zeros(0)
    for kind, axes in panels.items():
        axes.set_xscale("log")
        if len(everything):
            axes.set_yscale("log")
            draw_curves(axes, kind, isochrons or {}, (everything.min(), everything.max()), per_octave)
        if whole_from_km:
            axes.axvspan(axes.get_xlim()[0], whole_from_km, color=INK, alpha=0.08, linewidth=0)
        tidy(axes, "diameter D (km)", KINDS[kind])
        few_ticks(axes.xaxis, SIZES)
        if len(everything):
            few_ticks(axes.yaxis)
        axes.legend(fontsize=8, frameon=False)
    return save_figure(figure, path, dpi=110)


def draw(axes: Axes, table: pd.DataFrame, kind: str, name: str, shade: str) -> None:
    shown = table[table["cumulative" if kind == "cumulative" else "count"] > 0]
    value = shown[kind].to_numpy(float)
    bars = [value - shown[f"{kind}_low"].to_numpy(float), shown[f"{kind}_high"].to_numpy(float) - value]
    at = shown["diameter_km" if kind == "cumulative" else "middle_km"]
    axes.errorbar(at, value, bars, fmt="o", markersize=4, linewidth=1, capsize=2, color=shade, label=name)


def draw_curves(axes: Axes, kind: str, curves: Mapping[str, Curve], limits: tuple[float, float], per_octave: int) -> None:
    """Isochrons, binned as the counts are."""
    step = 2 ** (1 / per_octave)
    at = np.geomspace(limits[0], limits[1] * 1.0001, 60)
    for label, curve in curves.items():
        inside = curve(at / np.sqrt(step)) - curve(at * np.sqrt(step))
        width = at * (np.sqrt(step) - 1 / np.sqrt(step))
        value = {"cumulative": curve(at), "differential": inside / width, "R": at**3 * inside / width}[kind]
        axes.plot(at, value, color=INK, linewidth=1, label=label)
