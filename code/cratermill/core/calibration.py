"""Whether forecasts come true as often as they say, from counts in fine bins; and what corrects them."""

from __future__ import annotations

import numpy as np

BINS = 20
FINE = 200


def counted(forecast: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(4, FINE): numbers of forecasts (n,), those that are true, sums of the forecasts and of their squares, by forecast."""
    bins = np.clip((forecast * FINE).astype(int), 0, FINE - 1)
    return np.stack([np.bincount(bins, weights, FINE) for weights in (None, true, forecast, forecast**2)])


def figures(found: np.ndarray) -> np.ndarray:
    """ECE and Brier score (…, 2) of pooled counts (…, 4, FINE)."""
    pixels, true, forecast, square = np.moveaxis(found, -2, 0)
    whole = np.maximum(pixels.sum(-1), 1)
    coarse = [part.reshape(*part.shape[:-1], BINS, FINE // BINS).sum(-1) for part in (true, forecast)]
    error = np.abs(coarse[0] - coarse[1]).sum(-1) / whole
    # Σ (p − y)² = Σ p² − 2 Σ p y + Σ y, with y's mean in each fine bin in place of p y: exact to the width of a bin.
    mean = np.divide(forecast, pixels, out=np.zeros_like(forecast), where=pixels > 0)
    return np.stack([error, (square.sum(-1) - 2 * (mean * true).sum(-1) + true.sum(-1)) / whole], -1)


def fit(found: np.ndarray, method: str) -> dict[str, object]:
    """A recalibration of pooled counts (4, FINE) as plain values: a temperature, or an isotonic step function of the forecast."""
    from scipy.optimize import isotonic_regression, minimize_scalar

    pixels, true, forecast, _ = found
    known = pixels > 0
    at, share, weight = forecast[known] / pixels[known], true[known] / pixels[known], pixels[known]
    if method == "isotonic":
        return {"method": method, "forecast": at.tolist(), "calibrated": isotonic_regression(share, weights=weight).x.tolist()}

    def loss(log_t: float) -> float:
        p = np.clip(apply({"method": "temperature", "temperature": float(np.exp(log_t))}, at), 1e-9, 1 - 1e-9)
        return float(-(weight * (share * np.log(p) + (1 - share) * np.log(1 - p))).sum())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return {"method": method, "temperature": float(np.exp(best.x))}


def apply(how: dict[str, object], forecast: np.ndarray) -> np.ndarray:
    """Calibrated probabilities of forecasts (n,)."""
    forecast = np.asarray(forecast, float)
    if how["method"] == "isotonic":
        return np.interp(forecast, np.asarray(how["forecast"], float), np.asarray(how["calibrated"], float))
    inside = np.clip(forecast, 1e-4, 1 - 1e-4)
    return 1 / (1 + np.exp(-np.log(inside / (1 - inside)) / float(str(how["temperature"]))))


def moved(found: np.ndarray, how: dict[str, object]) -> np.ndarray:
    """Counts (4, FINE) with each fine bin at its calibrated forecast."""
    pixels, true, forecast, _ = found
    known = pixels > 0
    value = apply(how, forecast[known] / pixels[known])
    bins, out = np.clip((value * FINE).astype(int), 0, FINE - 1), np.zeros_like(found)
    for row, weights in enumerate((pixels[known], true[known], pixels[known] * value, pixels[known] * value**2)):
        out[row] = np.bincount(bins, weights, FINE)
    return out
