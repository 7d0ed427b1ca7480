"""One crater's map against truth: the pixels of both on the crater's plane, and how well they agree, by part.

Pixels within the rim don't count. Where neither says ejecta nothing is counted: the scores are those of ejecta.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..craters.scores import rates
from ..geo.grid import Window, hull
from .given_ejecta import Ejecta, any_on_plane
from .pattern import all_distances, blanket_radius, half_size
from .pixel_clusters import denoise
from .plane import Crater, Place, Plane

MAP, TRUTH = 1, 2
SQUARES = ("Square 1", "Square 2", "Square 3", "Square 4")
"""EJMAP's names of the quadrants: north-west, north-east, south-west, south-east."""
RINGS = 10
DISTANCES = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, np.inf)
"""Ends of the distances, in crater radii."""
CLASSES = ("alone", "shared")
"""Ground that no other crater's true ejecta cover, and ground that they do."""
SCORES = ("Precision", "Recall", "F1", "IoU")
RESAMPLES = 1000


@dataclass(frozen=True)
class Compared:
    """One crater. Of the pixels (n,) that either has: ``distance`` (pixels), ``code`` (``MAP``, ``TRUTH``), ``square`` and ``shared``."""

    crater: Crater
    resolution_m: float
    distance: np.ndarray
    code: np.ndarray
    square: np.ndarray
    shared: np.ndarray
    blanket_map: float
    blanket_truth: float
    coarse: dict[int, np.ndarray]
    tiles: dict[str, np.ndarray]
    """Counts inside the tiles that were drawn: of the training masks (``drawn``) and of the map (``map``)."""

    @cached_property
    def truth_distance(self) -> np.ndarray:
        return np.sort(self.distance[self.code & TRUTH > 0])

    @cached_property
    def counts(self) -> np.ndarray:
        """True positives, false positives, false negatives."""
        return count(self.code)

    def ring_edges(self) -> np.ndarray:
        """Radii (pixels) of the rings that hold a tenth of the true ejecta each, from the centre outwards; the last takes in all."""
        if not len(self.truth_distance):
            return np.full(RINGS, np.inf)
        edges = np.quantile(self.truth_distance, np.arange(1, RINGS + 1) / RINGS)
        edges[-1] = np.inf
        return edges

    def groups(self) -> dict[tuple[str, str], np.ndarray]:
        """Counts of every part: quadrants, rings, distances, classes of overlap, coarser scales."""
        radii = self.distance * self.resolution_m / self.crater.radius_m
        parts = [("all", ["all"], np.zeros(len(self.code), int)), ("quadrant", list(SQUARES), self.square)]
        parts.append(("ring", [str(ring + 1) for ring in range(RINGS)], np.searchsorted(self.ring_edges(), self.distance)))
        names = [f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+" for low, high in zip(DISTANCES, DISTANCES[1:], strict=False)]
        at = np.clip(np.searchsorted(DISTANCES, radii, side="right") - 1, 0, len(names) - 1)
        parts += [("distance", names, at), ("overlap", list(CLASSES), self.shared.astype(int))]
        found: dict[tuple[str, str], np.ndarray] = {}
        for what, labels, which in parts:
            table = np.bincount(which.astype(int) * 4 + self.code, minlength=4 * len(labels)).reshape(-1, 4)
            found |= {(what, label): table[number, [3, 1, 2]] for number, label in enumerate(labels)}
        return found | {("scale", f"{size} px"): counts for size, counts in self.coarse.items()}

    def circles(self) -> dict[str, np.ndarray]:
        """Counts within circles, as in EJMAP's ring tables: both blankets, then the tenths of the true ejecta, each with all inside it."""
        edges = self.ring_edges()
        radii = {"Blanket_HM": self.blanket_truth, "Blanket_DL": self.blanket_map}
        radii |= {str(ring + 1): float(edge) for ring, edge in enumerate(edges)}
        return {name: count(self.code[self.distance <= radius]) for name, radius in radii.items()}

    def blankets(self) -> dict[str, float]:
        """EJMAP's columns (pixels, and the share of the true ejecta inside), then metres."""
        whole = max(len(self.truth_distance), 1)
        shares = [np.searchsorted(self.truth_distance, radius) / whole for radius in (self.blanket_map, self.blanket_truth)]
        row = {"dl_radius": self.blanket_map, "hm_radius": self.blanket_truth, "dl_quantile": shares[0], "hm_quantile": shares[1]}
        return row | {f"{name}_m": row[name] * self.resolution_m for name in ("dl_radius", "hm_radius")}


def count(code: np.ndarray) -> np.ndarray:
    """True positives, false positives and false negatives of codes (n,)."""
    return np.bincount(code, minlength=4)[[3, 1, 2]]


def compare(
    place: Place,
    mapped: Ejecta,
    truth: Ejecta,
    others: Iterable[Ejecta] = (),
    drawn: tuple[Ejecta, Ejecta] | None = None,
    scales: Iterable[int] = (),
    min_size: int = 100,
) -> Compared:
    """``others``: the true ejecta of other craters. ``drawn``: the training mask and the tiles in which it was drawn.

    ``min_size``: of clusters, for the blankets alone. ``scales``: windows of so many pixels in which the majority decides.
    """
    windows = sorted({*mapped.squares(place), *truth.squares(place)}, key=lambda window: (window.row, window.col))
    crater, resolution_m = place.crater, place.grid.resolution_m
    if not windows:
        none = np.zeros(0, np.uint8)
        empty = {size: np.zeros(3, int) for size in scales}
        return Compared(crater, resolution_m, none.astype(np.float32), none, none, none.astype(bool), 0.0, 0.0, empty, {})
    whole = hull(windows)
    code = np.zeros((whole.height, whole.width), np.uint8)
    for window in windows:
        both = mapped.on_plane(place, window) * np.uint8(MAP) + truth.on_plane(place, window) * np.uint8(TRUTH)
        code[window.within(whole).slices] = both
    plane = Plane(place, whole, code)
    of_map, of_truth = (blanket_of(plane, code & bit > 0, min_size) for bit in (MAP, TRUTH))
    take_out_crater(plane)
    pixels = pixels_of(plane, list(others))
    coarse = {size: count(coarsened(code, whole, place, size).ravel()) for size in scales}
    return Compared(crater, resolution_m, *pixels, of_map, of_truth, coarse, in_tiles(plane, drawn) if drawn else {})


def blanket_of(plane: Plane, mask: np.ndarray, min_size: int) -> float:
    """The blanket's radius in pixels, by the rules of ``cratermill analyse``."""
    kept = denoise(mask, min_size)
    if not kept.any():
        return 0.0
    radius_px = plane.place.crater.radius_m / plane.place.grid.resolution_m
    return float(blanket_radius(all_distances(plane, kept), radius_px, half_size(plane, kept)))


def take_out_crater(plane: Plane) -> None:
    """Set what lies within the rim to 0, in place."""
    resolution_m = plane.place.grid.resolution_m
    for window, _ in plane.blocks(plane.code):
        plane.code[window.within(plane.window).slices] *= ~within_rim(plane.place, window, resolution_m)


def within_rim(place: Place, window: Window, resolution_m: float) -> np.ndarray:
    east, north, distance = place.polar(window)
    east, north = np.broadcast_arrays(east, north)
    return place.crater.inside_rim(east * resolution_m, north * resolution_m, distance * resolution_m)


def pixels_of(plane: Plane, others: list[Ejecta]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distance, code, quadrant and whether another crater's ejecta are there too, of all pixels with a code."""
    place = plane.place
    found: list[tuple[np.ndarray, ...]] = []
    for window, (code,) in plane.blocks(plane.code):
        east, north, distance = place.polar(window)
        here = code > 0
        shared = any_on_plane(place, window, others)
        square = ((east > 0) + 2 * (north < 0)).astype(np.uint8)
        found.append((distance[here], code[here], square[here], shared[here]))
    if not found:
        return np.zeros(0, np.float32), np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros(0, bool)
    columns = [np.concatenate(values) for values in zip(*found, strict=True)]
    return columns[0], columns[1], columns[2], columns[3]


def coarsened(code: np.ndarray, whole: Window, place: Place, size: int) -> np.ndarray:
    """Codes (h, w) by majority in windows of ``size`` pixels, counted from the crater's centre; half is enough."""
    first = [at - (at - round(place.middle + 0.5)) % size for at in (whole.row, whole.col)]
    before = [whole.row - first[0], whole.col - first[1]]
    after = [-(length + lead) % size for length, lead in zip(code.shape, before, strict=True)]
    padded = np.pad(code, list(zip(before, after, strict=True)))
    cut = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size)
    half = size * size / 2
    both = [((cut & bit) > 0).sum(axis=(1, 3)) >= half for bit in (MAP, TRUTH)]
    return both[0] * np.uint8(MAP) + both[1] * np.uint8(TRUTH)


def in_tiles(plane: Plane, drawn: tuple[Ejecta, Ejecta]) -> dict[str, np.ndarray]:
    """Counts inside the drawn tiles: of the training mask, and of the map, against the truth."""
    place, (mask, tiles) = plane.place, drawn
    totals = {"drawn": np.zeros(3, np.int64), "map": np.zeros(3, np.int64)}
    near = {*mask.squares(place), *(window for window, _ in plane.blocks(plane.code))}
    for window in sorted(near, key=lambda window: (window.row, window.col)):
        here = tiles.on_plane(place, window) & ~within_rim(place, window, place.grid.resolution_m)
        code = cut_from(plane, window)[here]
        truth = code & TRUTH
        totals["drawn"] += count(mask.on_plane(place, window)[here] * np.uint8(MAP) + truth)
        totals["map"] += count(code)
    return totals


def cut_from(plane: Plane, window: Window) -> np.ndarray:
    """The codes of any window of the plane, 0 outside the array."""
    out = np.zeros((window.height, window.width), np.uint8)
    if part := window.common(plane.window):
        out[part.within(window).slices] = plane.code[part.within(plane.window).slices]
    return out


# --- scores -------------------------------------------------------------------------------------------------------------------


def scores(counts: np.ndarray) -> np.ndarray:
    """Precision, recall, F1, IoU (…, 4) of counts (…, 3); NaN where neither map nor truth has anything."""
    tp, fp, fn = np.moveaxis(np.asarray(counts, float), -1, 0)
    union = tp + fp + fn
    found = rates(np.stack([tp, tp + fp, tp, tp + fn], -1))
    both = np.concatenate([found, np.divide(tp, union, out=np.zeros_like(tp), where=union > 0)[..., None]], -1)
    return np.where(union[..., None] > 0, both, np.nan)


def pooled(table: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores (G, 4) of counts (craters, G, 3) of all craters together, and their 95 % intervals (2, G, 4): a bootstrap over craters.

    Craters are drawn anew with replacement, since pixels of one crater aren't independent. NaN with a single crater.
    """
    whole = scores(table.sum(0))
    if len(table) < 2:
        return whole, np.full((2, *whole.shape), np.nan)
    draws = np.random.default_rng(seed).multinomial(len(table), np.full(len(table), 1 / len(table)), RESAMPLES)
    drawn = scores(np.einsum("rc,cgk->rgk", draws, table))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a part that no crater has
        return whole, np.nanpercentile(drawn, (2.5, 97.5), axis=0)


def score_table(found: list[Compared]) -> pd.DataFrame:
    """One row per part, over all craters: ``by``, ``part``, craters with true ejecta there, counts, scores and their intervals."""
    groups = [one.groups() for one in found]
    keys = list(groups[0])
    table = np.array([[group[key] for key in keys] for group in groups], np.int64)
    values, limits = pooled(table)
    rows = []
    for number, (by, part) in enumerate(keys):
        counts = table[:, number]
        row: dict[str, object] = {"by": by, "part": part, "craters": int((counts[:, [0, 2]].sum(1) > 0).sum())}
        row |= dict(zip(("true_positive", "false_positive", "false_negative"), map(int, counts.sum(0)), strict=True))
        for which, name in enumerate(SCORES):
            row |= {name: values[number, which], f"{name}_low": limits[0, number, which], f"{name}_high": limits[1, number, which]}
        rows.append(row)
    return pd.DataFrame(rows)
