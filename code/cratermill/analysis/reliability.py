"""Whether a map knows how sure it is: vote shares and probabilities against truth; reliability, ECE, Brier score, recalibration.

A forecast is calibrated if of all pixels to which it gives 70 % seven in ten are ejecta. Only pixels that the ensemble looked at count, and
none within the rim. Counts are kept per crater, so that intervals and cross-validation are over craters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.calibration import BINS, FINE, counted, figures, fit, moved
from .against_truth import RESAMPLES, within_rim
from .given_ejecta import Ejecta
from .plane import Place, occupied
from .shares import Shares


@dataclass(frozen=True)
class Histogram:
    """One forecast of several craters: pixels, those that are ejecta, and sums of the forecast and its square, (craters, FINE) each."""

    pixels: np.ndarray
    true: np.ndarray
    forecast: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, rows: list[np.ndarray]) -> Histogram:
        """From the (4, FINE) of each crater."""
        return cls(*np.stack(rows, axis=1))

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """(…, 4, FINE) with each crater counted so often (…, craters)."""
        return np.stack([weights @ part for part in (self.pixels, self.true, self.forecast, self.square)], axis=-2)

    @property
    def craters(self) -> int:
        return len(self.pixels)


def histogram(place: Place, shares: Shares, truth: Ejecta) -> np.ndarray:
    """(4, FINE): pixels, true pixels, sums of forecasts and of their squares by forecast, of one crater on its plane."""
    found = np.zeros((4, FINE))
    for window in occupied(place, shares):
        forecast = place.read(window, shares)
        here = np.isfinite(forecast) & ~within_rim(place, window, place.grid.resolution_m)
        values, true = forecast[here].astype(np.float64), truth.on_plane(place, window)[here]
        found += counted(values, true)
    return found


def summary(one: Histogram, seed: int = 0) -> dict[str, float]:
    """ECE and Brier score with 95 % intervals over craters, the share of ejecta, and the Brier score of saying that share everywhere."""
    whole = one.weighted(np.ones(one.craters))
    values = figures(whole)
    base = float(whole[1].sum() / max(whole[0].sum(), 1))
    row = {"ECE": float(values[0]), "Brier": float(values[1]), "share_of_ejecta": base, "Brier_of_share": base * (1 - base)}
    if one.craters > 1:
        draws = np.random.default_rng(seed).multinomial(one.craters, np.full(one.craters, 1 / one.craters), RESAMPLES)
        low, high = np.percentile(figures(one.weighted(draws)), (2.5, 97.5), axis=0)
        for which, name in enumerate(("ECE", "Brier")):
            row |= {f"{name}_low": float(low[which]), f"{name}_high": float(high[which])}
    return row


def reliability(one: Histogram, seed: int = 0) -> pd.DataFrame:
    """The reliability diagram: per bin the mean forecast and the observed share of ejecta with its 95 % interval over craters."""
    draws = np.random.default_rng(seed).multinomial(one.craters, np.full(one.craters, 1 / one.craters), RESAMPLES)
    drawn = one.weighted(draws).reshape(RESAMPLES, 4, BINS, -1).sum(-1)
    pixels, true, forecast, _ = one.weighted(np.ones(one.craters)).reshape(4, BINS, -1).sum(-1)
    edges = np.linspace(0, 1, BINS + 1)
    rows = []
    for number in np.flatnonzero(pixels):
        drawn_share = drawn[:, 1, number][drawn[:, 0, number] > 0] / drawn[:, 0, number][drawn[:, 0, number] > 0]
        low, high = np.percentile(drawn_share, (2.5, 97.5)) if one.craters > 1 else (np.nan, np.nan)
        row = {"from": edges[number], "to": edges[number + 1], "pixels": int(pixels[number]), "forecast": forecast[number] / pixels[number]}
        rows.append({**row, "observed": true[number] / pixels[number], "observed_low": low, "observed_high": high})
    return pd.DataFrame(rows)


# --- recalibration ------------------------------------------------------------------------------------------------------------


def crossed(one: Histogram, method: str) -> Histogram:
    """Every crater's forecasts recalibrated by what the others say, so that no crater judges its own correction."""
    rows = []
    for crater in range(one.craters):
        others = np.ones(one.craters)
        others[crater] = 0
        how = fit(one.weighted(others), method)
        own = np.zeros(one.craters)
        own[crater] = 1
        rows.append(moved(one.weighted(own), how))
    return Histogram.of(rows)
