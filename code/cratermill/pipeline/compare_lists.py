"""A crater list against another that nobody trained on: precision, recall and F1 by several rules and by size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.files import write_json, write_table
from .counts import LIST
from .map_sources import results_folder

SCORES, SIZES = "scores.json", "scores_by_size.csv"
COLUMNS = ["lon", "lat", "radius_m"]


def compare_lists(path: Path, truth: Path, *, diameters_km: tuple[float, float] | None = None, into: Path | None = None) -> dict[str, Any]:
    """Match ``path`` (a list, or a map's folder that holds one) with ``truth``; ``scores.json`` and ``scores_by_size.csv``.

    Only craters of ``diameters_km`` count, in both lists; all sizes that the list of the map has when left out. Intervals are a bootstrap
    over squares of 10°. InputError for lists of two bodies, and where the truth has no crater of these sizes.
    """
    import pandas as pd

    from ..craters.catalogue import read_catalogue
    from ..craters.scores import RULES, score, sectors, size_table, tally
    from ..geo.bodies import body_of_crs

    known = read_catalogue(truth / LIST if truth.is_dir() else truth)
    body = body_of_crs(known.crs) if known.crs is not None else None
    found = read_catalogue(path / LIST if path.is_dir() else path, body)
    body = body or (body_of_crs(found.crs) if found.crs is not None else None)
    if body is None:
        raise InputError(
            f"neither {path} nor {truth} says on which body its craters lie", valid="a GeoPackage or .scc file for one of them"
        )
    one, other = found[COLUMNS].to_numpy(float), known[COLUMNS].to_numpy(float)
    radii = radii_m(one, diameters_km)
    if not ((other[:, 2] >= radii[0]) & (other[:, 2] <= radii[1])).any():
        given = f"{truth} has no crater from {2 * radii[0] / 1e3:g} to {2 * radii[1] / 1e3:g} km"
        raise InputError(given, valid="craters of the map's sizes", next_step="give --diameters FROM TO in km")
    counts = {rule.name: tally(one, other, rule, radii, body, found_block=sectors(one), truth_block=sectors(other)) for rule in RULES}
    scores: dict[str, Any] = {"found": len(one), "known": len(other), "from_km": 2 * radii[0] / 1e3, "to_km": 2 * radii[1] / 1e3}
    for name, tallied in counts.items():
        scores |= score(tallied, name)
    folder = into or results_folder(path if path.is_dir() else path.parent / path.stem) / f"compare_{truth.resolve().stem}"
    write_table(folder / SIZES, pd.concat([size_table(tallied, name, 1000.0) for name, tallied in counts.items()]))
    write_json(folder / SCORES, scores)
    return {**scores, "folder": str(folder), "files": [SCORES, SIZES]}


def radii_m(found: np.ndarray, diameters_km: tuple[float, float] | None) -> tuple[float, float]:
    """Smallest and largest radius that counts."""
    if diameters_km is not None:
        low, high = diameters_km
        if not (0 <= low < high):
            raise InputError(f"diameters from {low:g} to {high:g} km", valid="the smaller first")
        return low * 500, high * 500
    return (float(found[:, 2].min()), float(found[:, 2].max())) if len(found) else (0.0, math.inf)
