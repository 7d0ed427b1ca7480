"""A crater list against another that nobody trained on: precision, recall and F1 by several rules, by size, latitude and class."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import read_json
from ..geo.bodies import get_body, require_same_body
from .counts import read_lists
from .index import refresh
from .map_sources import PROVENANCE, results_folder, sources_of

if TYPE_CHECKING:
    import pandas as pd

    from ..config import CompareOptions
    from ..geo.bodies import Body
    from ..geo.mosaic import Mosaic


def compare_lists(
    path: Path, truth: Path, options: CompareOptions, *, mosaic: Path | None = None, into: Path | None = None
) -> dict[str, Any]:
    """Match ``path`` (a list, or a map's folder that holds one) with ``truth``; tables, pictures and a page.

    Only craters of ``options.diameters`` (km) count, in both lists; all sizes that the list of the map has when left out (of the truth,
    where it has none); of a map's truth, those in its area. ``options.where`` chooses among both. Intervals are a bootstrap over squares
    of 10°. ``mosaic``: for sheets of new and missed craters; the map's own when left out. InputError for lists of two bodies, and where
    the truth has no crater of these sizes.
    """
    from ..craters.classes import classes_of
    from ..craters.comparison import BY_CLASS, compare, strict_rows, write_comparison
    from ..report.html import INDEX
    from ..report.lists_compared import draw_comparison, write_lists_page

    with ground(path, mosaic) as opened:
        (found, known), body = read_lists([path, truth], body_of(opened, options.body), options.where)
        known = in_area(known, path)
        radii = radii_m(found if len(found) else known, options.diameters)
        sizes = {"from_km": 2 * radii[0] / 1e3, "to_km": 2 * radii[1] / 1e3}
        counted = known["radius_m"].between(*radii).to_numpy(bool)
        if not counted.any():
            given = f"{truth} has no crater from {sizes['from_km']:g} to {sizes['to_km']:g} km"
            raise InputError(given, valid="craters of the map's sizes and area", next_step="give --diameters FROM TO in km")
        made = compare(found, known, radii, body, classes_of(known, options.by, counted, truth))
        folder = into or results_folder(path if path.is_dir() else path.parent / path.stem) / f"compare_{truth.resolve().stem}"
        files = write_comparison(folder, made, body)
        pictures = draw_comparison(folder, made, opened)
    between = f"{sizes['from_km']:.4g} to {sizes['to_km']:.4g} km"
    facts = {"Found": len(made.found_km), "In the list": len(made.known_km), "Diameters": between}
    page = write_lists_page(folder / INDEX, f"{path.stem} against {truth.stem}", facts, made, pictures)
    refresh(folder)
    by_class = strict_rows(made.tables[BY_CLASS]).to_dict("records") if BY_CLASS in made.tables else []
    named = [*files, *(picture.name for picture, _ in pictures), page.name]
    return {**made.scores, **sizes, "by_class": by_class, "folder": str(folder), "page": str(page), "files": named}


def in_area(known: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The truth inside the area of the map that a list is of."""
    from ..geo.box import Box

    bounds = read_json(path / PROVENANCE, {}).get("bounds") if path.is_dir() else None
    if not bounds:
        return known
    return known[Box(**bounds).holds(known["lon"].to_numpy(), known["lat"].to_numpy())].reset_index(drop=True)


def body_of(mosaic: Mosaic | None, named: str | None) -> Body | None:
    """The body that is named, which must be the mosaic's; else that one."""
    if named is None:
        return mosaic.grid.body if mosaic else None
    body = get_body(named)
    if mosaic:
        require_same_body(mosaic.grid.body, body, f"--body {named}")
    return body


@contextlib.contextmanager
def ground(path: Path, mosaic: Path | None) -> Iterator[Mosaic | None]:
    """The mosaic for sheets of craters: the one that is named, or that a map was made of, if it is still there."""
    from ..geo.layers import open_mosaic

    is_map = path.is_dir() and (path / PROVENANCE).exists()
    sources = sources_of(path if path.is_dir() else path.parent, mosaic=mosaic)
    if sources.mosaic is None or not (mosaic or is_map):
        yield None
    else:
        with open_mosaic(sources.mosaic, sources.bands) as opened:
            yield opened


def radii_m(found: pd.DataFrame, diameters_km: tuple[float, float] | None) -> tuple[float, float]:
    """Smallest and largest radius that counts."""
    if diameters_km is not None:
        low, high = diameters_km
        if not (0 <= low < high):
            raise InputError(f"diameters from {low:g} to {high:g} km", valid="the smaller first")
        return low * 500, high * 500
    return (float(found["radius_m"].min()), float(found["radius_m"].max())) if len(found) else (0.0, math.inf)
