"""Whether a map knows how sure it is: vote shares and probabilities against truth; reliability, ECE, Brier score, recalibration.

A forecast is calibrated if of all pixels to which it gives 70 % seven in ten are ejecta. Only pixels that the ensemble looked at count, and
none within the rim. Counts are kept per crater, so that intervals and cross-validation are over craters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from .compare import RESAMPLES, within_rim
from .plane import Place, occupied
from .shapes import Ejecta
from .shares import Shares

BINS = 20
FINE = 200


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
        bins = np.clip((values * FINE).astype(int), 0, FINE - 1)
        for row, weights in enumerate((None, true, values, values**2)):
            found[row] += np.bincount(bins, weights, FINE)
    return found


def figures(found: np.ndarray) -> np.ndarray:
    """ECE and Brier score (…, 2) of pooled counts (…, 4, FINE)."""
    pixels, true, forecast, square = np.moveaxis(found, -2, 0)
    whole = np.maximum(pixels.sum(-1), 1)
    coarse = [part.reshape(*part.shape[:-1], BINS, FINE // BINS).sum(-1) for part in (true, forecast)]
    error = np.abs(coarse[0] - coarse[1]).sum(-1) / whole
    # Σ (p − y)² = Σ p² − 2 Σ p y + Σ y, with y's mean in each fine bin in place of p y: exact to the width of a bin.
    mean = np.divide(forecast, pixels, out=np.zeros_like(forecast), where=pixels > 0)
    return np.stack([error, (square.sum(-1) - 2 * (mean * true).sum(-1) + true.sum(-1)) / whole], -1)


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


def fit(found: np.ndarray, method: str) -> dict[str, object]:
    """A recalibration of pooled counts (4, FINE) as plain values: a temperature, or an isotonic step function of the forecast."""
    pixels, true, forecast, _ = found
    known = pixels > 0
    at, share, weight = forecast[known] / pixels[known], true[known] / pixels[known], pixels[known]
    if method == "isotonic":
        return {"method": method, "forecast": at.tolist(), "calibrated": rising(share, weight).tolist()}

    def loss(log_t: float) -> float:
        p = np.clip(apply({"method": "temperature", "temperature": float(np.exp(log_t))}, at), 1e-9, 1 - 1e-9)
        return float(-(weight * (share * np.log(p) + (1 - share) * np.log(1 - p))).sum())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return {"method": method, "temperature": float(np.exp(best.x))}


def rising(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rising sequence nearest to values (n,), by weighted squares: neighbours that fall are pooled."""
    levels: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        levels.append([float(value), float(weight), 1])
        while len(levels) > 1 and levels[-2][0] >= levels[-1][0]:
            last = levels.pop()
            total = levels[-1][1] + last[1]
            levels[-1] = [(levels[-1][0] * levels[-1][1] + last[0] * last[1]) / total, total, levels[-1][2] + last[2]]
    return np.repeat([level[0] for level in levels], [int(level[2]) for level in levels])


def apply(how: dict[str, object], forecast: np.ndarray) -> np.ndarray:
    """Calibrated probabilities of forecasts (n,)."""
    forecast = np.asarray(forecast, float)
    if how["method"] == "isotonic":
        return np.interp(forecast, np.asarray(how["forecast"], float), np.asarray(how["calibrated"], float))
    inside = np.clip(forecast, 1e-4, 1 - 1e-4)
    return 1 / (1 + np.exp(-np.log(inside / (1 - inside)) / float(str(how["temperature"]))))


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


def moved(found: np.ndarray, how: dict[str, object]) -> np.ndarray:
    """Counts (4, FINE) with each fine bin at its calibrated forecast."""
    pixels, true, forecast, _ = found
    known = pixels > 0
    value = apply(how, forecast[known] / pixels[known])
    bins, out = np.clip((value * FINE).astype(int), 0, FINE - 1), np.zeros_like(found)
    for row, weights in enumerate((pixels[known], true[known], pixels[known] * value, pixels[known] * value**2)):
        out[row] = np.bincount(bins, weights, FINE)
    return out
