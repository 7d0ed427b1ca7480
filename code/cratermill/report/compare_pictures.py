"""Maps beside truth: what both say of a crater, scores by part, reliability of what a map claims to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .images import save_figure
from .palette import BOTH, ONLY_MAP, ONLY_TRUTH
from .pattern_pictures import circle, rgb, tint
from .style import BLANKET_OF_MAP, BLANKET_OF_TRUTH, INK, RAYS, RIM_LINE, TRUTH, key, new_figure, scale_bar, tidy

QUADRANTS = {"Square 1": "NW", "Square 2": "NE", "Square 3": "SW", "Square 4": "SE"}
AXES = {"ring": "ring (tenths of the true ejecta)", "distance": "distance (crater radii)"}


@dataclass(frozen=True)
class Pair:
    """One crater on squares (n, n) of its own plane, north up, ``half_km`` to each side: ground (n, n, 3), map and truth."""

    name: str
    radius_km: float
    half_km: float
    ground: np.ndarray
    mapped: np.ndarray
    truth: np.ndarray
    blankets_km: tuple[float, float]
    f1: float
    other: str = "truth"
    """What the map is compared with, in words: the name of another map, say."""


def side_by_side(path: Path, pair: Pair) -> Path:
    """The map, the truth, and where they agree: on both, on the map alone, on the truth alone."""
    figure = new_figure(9.6, 3.8)
    both, alone, missed = pair.mapped & pair.truth, pair.mapped & ~pair.truth, pair.truth & ~pair.mapped
    panels = [
        (f"crater {pair.name}, map", [(pair.mapped, RAYS)]),
        (pair.other, [(pair.truth, TRUTH)]),
        (f"both together, F1 {pair.f1:.2f}", [(both, BOTH), (alone, ONLY_MAP), (missed, ONLY_TRUTH)]),
    ]
    extent = (-pair.half_km, pair.half_km, -pair.half_km, pair.half_km)
    for axes, (title, layers) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        picture = pair.ground.copy()
        for mask, shade in layers:
            tint(picture, mask, rgb(shade))
        axes.imshow(picture, extent=extent, interpolation="nearest")
        circle(axes, pair.radius_km, *RIM_LINE["rim"])
        for radius, drawn_as in zip(pair.blankets_km, (BLANKET_OF_MAP, BLANKET_OF_TRUTH), strict=True):
            if radius:
                circle(axes, radius, *drawn_as)
        axes.set(xlim=extent[:2], ylim=extent[2:])
        axes.set_axis_off()
        axes.set_title(title, fontsize=9, loc="left")
        scale_bar(axes, 2 * pair.half_km)
    areas = {"map": RAYS, pair.other: TRUTH, "on both": BOTH, "map alone": ONLY_MAP, f"{pair.other} alone": ONLY_TRUTH}
    key(figure, areas, RIM_LINE | {"blanket, map": BLANKET_OF_MAP, f"blanket, {pair.other}": BLANKET_OF_TRUTH})
    return save_figure(figure, path, dpi=110)


def score_bars(path: Path, table: pd.DataFrame, score: str = "F1") -> Path:
    """One score of every part with its interval; a panel for quadrants, rings, distances, classes of overlap and scales."""
    kinds = [kind for kind in table["by"].unique() if kind != "all"]
    figure = new_figure(10, 3.2)
    whole = float(table.loc[table["by"] == "all", score].iloc[0])
    widths = [max(int((table["by"] == kind).sum()), 2) for kind in kinds]
    for axes, kind in zip(figure.subplots(1, len(kinds), width_ratios=widths, sharey=True, squeeze=False)[0], kinds, strict=True):
        part = table[table["by"] == kind]
        at, value = np.arange(len(part)), part[score].to_numpy(float)
        limits = [np.nan_to_num(np.abs(part[f"{score}_{side}"].to_numpy(float) - value)) for side in ("low", "high")]
        axes.errorbar(at, value, yerr=limits, fmt="o", markersize=4, color=RAYS, ecolor="#9db9d3", capsize=2)
        axes.axhline(whole, color=INK, linewidth=0.7, linestyle=":")
        tidy(axes, AXES.get(kind, kind), score if kind == kinds[0] else "")
        axes.set_xticks(at, part["part"].replace(QUADRANTS), fontsize=7, rotation=0 if len(part) < 8 else 60)
        axes.set_ylim(0, 1)
    return save_figure(figure, path, dpi=110)


def reliability_picture(path: Path, table: pd.DataFrame) -> Path:
    """Observed share of ejecta against the forecast, a panel for each kind of forecast; below, how often each is given."""
    kinds = list(dict.fromkeys(table["kind"]))
    figure = new_figure(3.4 * len(kinds), 4.2)
    panels = figure.subplots(2, len(kinds), height_ratios=[3, 1], squeeze=False, sharex="col")
    for number, kind in enumerate(kinds):
        part = table[table["kind"] == kind]
        above, below = panels[:, number]
        observed = part["observed"].to_numpy(float)
        limits = [np.nan_to_num(np.abs(part[f"observed_{side}"].to_numpy(float) - observed)) for side in ("low", "high")]
        above.plot([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=":")
        above.errorbar(part["forecast"], observed, yerr=limits, fmt="o-", markersize=3, linewidth=1, color=RAYS, ecolor="#9db9d3")
        below.bar(part["from"], part["pixels"] / part["pixels"].sum(), width=part["to"] - part["from"], align="edge", color=RAYS)
        below.set_yscale("log")
        tidy(above, "", "share that is ejecta" if number == 0 else "")
        tidy(below, "forecast", "share of pixels" if number == 0 else "")
        above.set(xlim=(0, 1), ylim=(0, 1))
        above.set_title(kind.replace("_", " "), fontsize=9, loc="left")
    return save_figure(figure, path, dpi=110)


def blanket_pairs(path: Path, table: pd.DataFrame) -> Path:
    """Blanket radii of map and truth against each other, in km."""
    figure = new_figure(4.2, 4)
    axes = figure.add_subplot()
    map_km, truth_km = table["dl_radius_m"] / 1e3, table["hm_radius_m"] / 1e3
    limit = 1.08 * max(float(map_km.max()), float(truth_km.max()), 1e-3)
    axes.plot([0, limit], [0, limit], color=INK, linewidth=0.7, linestyle=":")
    axes.plot(truth_km, map_km, "o", color=RAYS, markersize=5)
    axes.set(xlim=(0, limit), ylim=(0, limit))
    tidy(axes, "blanket radius, truth (km)", "blanket radius, map (km)")
    return save_figure(figure, path, dpi=110)
