"""How many craters of each size: cumulative, differential and relative frequencies with Poisson intervals; where lists stop being whole.

Bins and plots follow the Crater Analysis Techniques Working Group (1979), Icarus 37, 467–474. Counts n have the exact central interval of
a Poisson mean (Garwood 1936; tabulated by Gehrels 1986, ApJ 303, 336): it never reaches 0 for n > 0, and says something for n = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaincinv

from ..core.errors import InputError

ONE_SIGMA = 0.6826894921370859
RESAMPLES = 400
FINE_PER_OCTAVE = 4
LEAST_FOR_END, MOST_BELOW_END = 100, 0.1
"""Craters that a list needs for its end to be found, and the share of them that may lie below."""


def poisson_interval(count: np.ndarray | int, level: float = ONE_SIGMA) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limit of the mean of a Poisson count, exact and central; the lower is 0 for a count of 0."""
    count = np.asarray(count, float)
    outside = (1 - level) / 2
    # Halves of quantiles of χ² with 2n and 2n + 2 degrees of freedom.
    low = np.where(count > 0, gammaincinv(np.maximum(count, 1), outside), 0.0)
    return low, gammaincinv(count + 1, 1 - outside)


def frequencies(diameters_km: np.ndarray, area_km2: float, per_octave: int = 2) -> pd.DataFrame:
    """One row per bin (√2 wide for 2 an octave): its lower end and geometric middle, how many craters, and their frequencies per km².

    ``cumulative`` N(≥ lower end), ``differential`` ΔN/ΔD (per km), ``R`` = D̄³ ΔN/ΔD with D̄ the middle (no unit); each with ``_low`` and
    ``_high``, the exact 1 σ interval of its count. InputError for an area that isn't positive.
    """
    if not (np.isfinite(area_km2) and area_km2 > 0):
        raise InputError(f"an area of {area_km2} km²", valid="a positive area")
    names = ["diameter_km", "middle_km", "count"]
    columns = names + [f"{kind}{end}" for kind in ("cumulative", "differential", "R") for end in ("", "_low", "_high")]
    if not len(diameters_km):
        return pd.DataFrame(columns=columns, dtype=float)
    edges, counts = binned(np.asarray(diameters_km, float), per_octave)
    above, width, middle = counts[::-1].cumsum()[::-1], np.diff(edges), np.sqrt(edges[:-1] * edges[1:])
    found = {"diameter_km": edges[:-1], "middle_km": middle, "count": counts}
    kinds = {
        "cumulative": (above, 1 / area_km2),
        "differential": (counts, 1 / width / area_km2),
        "R": (counts, middle**3 / width / area_km2),
    }
    for kind, (number, scale) in kinds.items():
        for end, value in zip(("", "_low", "_high"), (number, *poisson_interval(number)), strict=True):
            found[f"{kind}{end}"] = value * scale
    return pd.DataFrame(found)[columns]


def binned(diameters_km: np.ndarray, per_octave: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the bins, powers of 2^(1 / per_octave), and the craters in each."""
    first = np.floor(np.log2(diameters_km.min()) * per_octave)
    last = np.floor(np.log2(diameters_km.max()) * per_octave)
    edges = 2.0 ** (np.arange(first, last + 2) / per_octave)
    # Rounding must not put a diameter that is a bin's end below it.
    bins = np.clip(np.searchsorted(edges, diameters_km * (1 + 1e-12), side="right") - 1, 0, len(edges) - 2)
    return edges, np.bincount(bins, minlength=len(edges) - 1)


@dataclass(frozen=True)
class TurnOver:
    """Down to which diameter a list seems whole, with a 95 % interval; ``seen``: whether counts fall at all towards small craters."""

    diameter_km: float
    low_km: float
    high_km: float
    seen: bool


def turn_over(diameters_km: np.ndarray, seed: int = 0) -> TurnOver:
    """Where counts of a list stop rising towards small craters: the upper end of the fullest quarter-octave bin.

    Real populations rise all the way down, so below that a list misses craters (or they were erased). An estimate, no proof: it takes the
    fullest of bins smoothed over three, and its interval is that of the list's craters drawn anew (bootstrap).
    """
    diameters_km = np.asarray(diameters_km, float)
    if not len(diameters_km):
        raise InputError("a list without craters", valid="at least one crater")
    if len(diameters_km) < 2:
        return TurnOver(float(diameters_km[0]), float(diameters_km[0]), float(diameters_km[0]), False)
    random = np.random.default_rng(seed)
    at, seen = _fullest(diameters_km)
    drawn = [_fullest(random.choice(diameters_km, len(diameters_km)))[0] for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return TurnOver(at, float(low), float(high), seen)


def list_end(sizes: np.ndarray) -> float:
    """The size below which a list has next to nothing, whatever the ground shows: where its smallest craters were left out on purpose.

    It is the smallest size in the first eighth of an octave that holds a quarter as many craters as the fullest one, if at most a tenth of
    the list lies below it; else the smallest size. 0 for a list of fewer than 100 craters: they say nothing about its end.
    """
    sizes = np.asarray(sizes, float)
    if len(sizes) < LEAST_FOR_END:
        return 0.0
    edges, counts = binned(sizes, 2 * FINE_PER_OCTAVE)
    end = edges[int(np.argmax(counts >= counts.max() / 4))]
    return float(sizes[sizes >= end].min() if (sizes < end).mean() <= MOST_BELOW_END else sizes.min())


def _fullest(diameters_km: np.ndarray) -> tuple[float, bool]:
    edges, counts = binned(diameters_km, FINE_PER_OCTAVE)
    smooth = np.convolve(np.pad(counts, 1), (0.25, 0.5, 0.25), mode="valid")
    fullest = int(np.argmax(smooth))
    return (float(edges[fullest + 1]), True) if fullest else (float(diameters_km.min()), False)
