"""Means and their uncertainty."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def interval(splits: np.ndarray, values: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, standard error, and Student's 95 % interval.

    Iterations on one split share their Test tiles, so with several splits the split means are the independent values;
    with one split the iterations are, and the interval leaves out how splits differ. One value alone has no interval.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second and 60 MB to import

    groups = pd.Series(values).groupby(splits).mean().to_numpy() if len(set(splits)) > 1 else values
    mean = float(np.mean(groups))
    if len(groups) < 2:
        return mean, math.nan, math.nan, math.nan
    error = float(np.std(groups, ddof=1) / math.sqrt(len(groups)))
    half = float(stdtrit(len(groups) - 1, 0.975)) * error
    if values.min() < 0 or values.max() > 1:
        return mean, error, mean - half, mean + half
    # Shares, so the interval ends where they do.
    return mean, error, max(0.0, mean - half), min(1.0, mean + half)
