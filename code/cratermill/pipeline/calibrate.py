"""How well a map knows how sure it is: its vote shares and probabilities against truth, and a correction where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.given_ejecta import Ejecta
    from ..analysis.plane import Crater
    from ..analysis.reliability import Histogram
    from ..geo.grid import Grid

KINDS = ("vote_share", "probability")


def calibrated(
    folder: Path, truth: dict[int, Ejecta], craters: dict[int, Crater], grid: Grid, method: str | None = None
) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """The reliability table and figures of a map's forecasts over the craters of the truth; None where the map has no vote shares.

    ``method`` (temperature, isotonic) also fits a correction: its figures are those of craters that it wasn't fitted on, one left out at a
    time, and what is written is fitted on all.
    """
    import pandas as pd

    from ..analysis.reliability import crossed, reliability, summary
    from ..core.calibration import fit

    found = histograms(folder, truth, craters, grid)
    if not found:
        return None
    tables: list[pd.DataFrame] = []
    figures: dict[str, Any] = {}
    for kind, one in found.items():
        tables.append(reliability(one).assign(kind=kind))
        figures[kind] = summary(one)
        if method:
            if one.craters < 2:
                raise InputError("a correction is judged on craters that it wasn't fitted on, and there is one crater", valid="two or more")
            judged = crossed(one, method)
            tables.append(reliability(judged).assign(kind=f"{kind}, {method}"))
            figures[f"{kind}, {method}"] = {**summary(judged), "correction": fit(one.weighted(_ones(one)), method)}
    return pd.concat(tables, ignore_index=True), figures


def histograms(folder: Path, truth: dict[int, Ejecta], craters: dict[int, Crater], grid: Grid) -> dict[str, Histogram]:
    """Counts of both forecasts over the craters that have truth and vote shares."""
    from ..analysis.plane import Place
    from ..analysis.reliability import Histogram, histogram
    from ..analysis.shares import PROBABILITY, VOTE_SHARE, Shares, share_files

    files = share_files(folder) if folder.is_dir() else {}
    fids = sorted(set(files) & set(truth) & set(craters))
    rows: dict[str, list] = {kind: [] for kind in KINDS}
    for fid in fids:
        place = Place(craters[fid], grid)
        for kind, band in zip(KINDS, (VOTE_SHARE, PROBABILITY), strict=True):
            shares = Shares.open(fid, files[fid], grid, band)
            rows[kind].append(histogram(place, shares, truth[fid]))
            shares.close()
    made = {kind: Histogram.of(found) for kind, found in rows.items()} if fids else {}
    return {kind: one for kind, one in made.items() if one.weighted(_ones(one)).any()}  # no pixel with a forecast: nothing to judge


def _ones(one: Histogram):
    import numpy as np

    return np.ones(one.craters)
