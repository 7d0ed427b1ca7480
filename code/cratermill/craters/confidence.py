"""How sure a crater of a list is: scores of found craters turned into the share of such craters that were right on validation data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

LEAST_EACH = 5
"""Right and wrong craters that a calibration needs of each, at least."""
SURE = 1e-4


@dataclass(frozen=True)
class Calibration:
    """A logistic model of named quantities, bent to the observed shares by an isotonic curve; plain values only.

    ``knots`` and ``shares``: values of the logistic model and the shares of right craters there, both rising; straight between them.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    knots: tuple[float, ...]
    shares: tuple[float, ...]

    def logit(self, quantities: Mapping[str, np.ndarray]) -> np.ndarray:
        columns = np.column_stack([np.asarray(quantities[name], float) for name in self.names])
        return (columns - np.array(self.centre)) / np.array(self.scale) @ np.array(self.weights) + self.bias

    def confidence(self, quantities: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probability (N,) of being right; rises strictly with the logistic model's value."""
        return np.interp(self.logit(quantities), self.knots, self.shares)

    def plain(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Calibration:
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**given)


def fit(quantities: Mapping[str, np.ndarray], right: np.ndarray) -> Calibration | None:
    """The calibration of found craters by whether they were right (N,) bool; None where there are too few of either kind."""
    from sklearn.linear_model import LogisticRegression

    right, names = np.asarray(right, bool), tuple(quantities)
    if min(right.sum(), (~right).sum()) < LEAST_EACH:
        return None
    columns = np.column_stack([np.asarray(quantities[name], float) for name in names])
    centre, scale = columns.mean(0), np.maximum(columns.std(0), 1e-9)
    model = LogisticRegression(C=1.0, max_iter=1000).fit((columns - centre) / scale, right)
    straight = Calibration(
        names, tuple(centre), tuple(scale), tuple(map(float, model.coef_[0])), float(model.intercept_[0]), (-1.0, 1.0), (0.0, 1.0)
    )
    knots, shares = _bent(straight.logit(quantities), right)
    return replace(straight, knots=knots, shares=shares)


def _bent(logit: np.ndarray, right: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of an isotonic curve: the middle of each of its steps, and far ends, with shares that rise strictly."""
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(logit, kind="stable")
    logit = logit[order]
    steps = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(logit, right[order].astype(float))
    starts = np.flatnonzero(np.r_[True, np.diff(steps) > 1e-12])
    counts = np.diff(np.r_[starts, len(logit)])
    middles = np.add.reduceat(logit, starts) / counts
    # A step of n craters that were all right doesn't say "certain" (Laplace's rule).
    shares = (np.add.reduceat(steps, starts) + 0.5) / (counts + 1)
    shares = np.maximum.accumulate(shares)
    knots = np.r_[min(logit[0], middles[0]) - 10, middles, max(logit[-1], middles[-1]) + 10]
    shares = np.r_[shares[0] * SURE, shares, 1 - (1 - shares[-1]) * SURE]
    return tuple(knots.tolist()), tuple((shares + np.arange(len(shares)) * 1e-9).clip(0, 1).tolist())


def expected_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean difference between confidence and share of right ones, over bins of equal width."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    if not len(confidence):
        return float("nan")
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    gap = np.abs(np.bincount(which, confidence, bins) - np.bincount(which, right, bins))
    return float(gap[count > 0].sum() / len(confidence))


def area_under_curve(confidence: np.ndarray, right: np.ndarray) -> float:
    """Probability that a right crater has the higher confidence than a wrong one (ROC AUC); NaN where there is only one kind."""
    from scipy.stats import rankdata

    right = np.asarray(right, bool)
    good, bad = int(right.sum()), int((~right).sum())
    if not good or not bad:
        return float("nan")
    return float((rankdata(confidence)[right].sum() - good * (good + 1) / 2) / (good * bad))


def best_threshold(score: Callable[[float], float], values: np.ndarray, count: int = 40) -> float:
    """The threshold with the best ``score``, searched on quantiles of ``values`` and between the best one's neighbours.

    Where the best lies at an end of the grid the grid goes on beyond it, so that the answer is never an end by accident.
    """
    values = np.unique(np.asarray(values, float))
    if not len(values):
        return 0.5
    grid = np.unique(np.quantile(values, np.linspace(0, 1, count)))
    scores = [score(value) for value in grid]
    best = int(np.argmax(scores))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    finer = np.linspace(low, high, 9)
    finest = [score(value) for value in finer]
    return float(finer[int(np.argmax(finest))]) if max(finest) > scores[best] else float(grid[best])


def best_expected(confidence: np.ndarray, known: int) -> float:
    """The least confidence (N,) of the list that is expected to have the best F1, where so many craters are known; 0.5 without any.

    Of what is listed as many are expected to be right as the confidences sum up to. Where the observed F1 has its maximum hangs on the luck
    of a few craters; where the expected one has it, hardly.
    """
    sure = np.sort(np.asarray(confidence, float))[::-1]
    if not len(sure):
        return 0.5
    return float(sure[np.argmax(np.cumsum(sure) / (np.arange(1, len(sure) + 1) + known))])
