"""Crater lists as counts: frequencies with Poisson intervals, where a list stops being whole, and a model age."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import read_json, write_json, write_table
from .map_sources import PROVENANCE, results_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from geopandas import GeoDataFrame

    from ..craters.frequencies import TurnOver
    from ..geo.bodies import Body

LISTS = ("craters.parquet", "craters.gpkg", "craters.csv")
"""A map's crater list in several formats; the first ones also say on which body it is."""
TABLE, PICTURE, AGES = "counts.csv", "counts.png", "counts.json"


def is_list(path: Path) -> bool:
    """Whether a file, or a map's folder without masks, holds a crater list."""
    return list_file(path).exists() and not any(path.glob("*mask_crater_*.tif"))


def list_file(path: Path) -> Path:
    """The crater list itself, of a file or of a map's folder."""
    if path.is_file():
        return path
    return next((path / name for name in LISTS if (path / name).exists()), path / LISTS[-1])


def read_lists(paths: Sequence[Path], body: Body | None = None, where: str | None = None) -> tuple[list[GeoDataFrame], Body]:
    """Crater lists (files or maps' folders) on a body: the given one, or that which one of them names. ``where`` chooses craters.
    A list may be empty: a map on which nothing was found.

    InputError where no body is named, or several are.
    """
    from ..craters.catalogue import TEXT_SUFFIXES, read_catalogue
    from ..geo.bodies import body_of_crs

    files, found = [list_file(path) for path in paths], {}
    for file in sorted(files, key=lambda one: one.suffix.lower() in TEXT_SUFFIXES):
        found[file] = read_catalogue(file, body, where=where, empty=True)
        body = body or (body_of_crs(found[file].crs) if found[file].crs is not None else None)
    if body is None:
        raise InputError(
            f"none of these says on which body its craters lie: {', '.join(map(str, files))}",
            valid="a map's folder, a GeoPackage, a GeoParquet or a .scc file for one of them",
            next_step="or name the body: --body moon",
        )
    return [found[file] for file in files], body


def run_counts(
    path: Path,
    *,
    area_km2: float | None = None,
    chronology: str | None = None,
    diameters_km: tuple[float, float] | None = None,
    into: Path | None = None,
    where: str | None = None,
    body: Body | None = None,
) -> dict[str, Any]:
    """Count a crater list: ``counts.csv``, ``counts.png`` and ``counts.json`` in a map's folder, else below ``results/analysis``.

    ``area_km2``: counted; that of the map or of the CraterStats file, or the whole body, when left out. ``chronology``: a system or a body;
    the list's own body when left out. ``diameters_km``: what the age is made of; from where the list seems whole when left out. ``where``:
    an expression that chooses craters. ``body``: of a list that names none.
    """
    from ..craters.catalogue import read_catalogue
    from ..craters.chronology import DEFAULTS, model_age
    from ..craters.frequencies import frequencies, turn_over
    from ..geo.bodies import body_of_crs

    source = list_file(path)
    table = read_catalogue(source, body, where=where)
    body = body_of_crs(table.crs) if table.crs is not None else None
    sizes = table["radius_m"].to_numpy(float) * 2 / 1000
    area = area_km2 or counted_area_km2(path, body)
    whole = turn_over(sizes)
    named = chronology or (body.name.lower() if body is not None and body.name.lower() in DEFAULTS else None)
    found: dict[str, Any] = {"list": source.name, "craters": len(table), "area_km2": area, "whole_from": asdict(whole), "age": None}
    if where:
        found["where"] = where
    if named:
        found["age"] = asdict(model_age(sizes, area, named, diameters_km or (whole.diameter_km, math.inf)))
    folder = into or results_folder(path if path.is_dir() else path.parent / path.stem)
    write_table(folder / TABLE, frequencies(sizes, area))
    draw(folder / PICTURE, source.stem, sizes, area, whole, named, found["age"])
    write_json(folder / AGES, found)
    return {**found, "folder": str(folder), "files": [TABLE, PICTURE, AGES]}


def counted_area_km2(path: Path, body: Body | None) -> float:
    """The area that a list was counted on, as its map or its file says, else the whole body's."""
    from ..craters.craterstats import SUFFIXES, counted_area, surface_area_m2

    known = read_json(path / PROVENANCE, {}).get("area_km2") if path.is_dir() else None
    if known is None and path.suffix.lower() in SUFFIXES:
        known = counted_area(path)
    if known is None and body is not None:
        known = surface_area_m2(body) / 1e6
    if known is None:
        given = f"{path} says neither on which area its craters were counted nor on which body"
        raise InputError(given, valid="a map, a .diam or .scc file, or an area", next_step="give the area: --area-km2 NUMBER")
    return float(known)


def draw(
    path: Path, name: str, sizes: np.ndarray, area: float, whole: TurnOver, chronology: str | None, age: dict[str, Any] | None
) -> None:
    from ..craters.chronology import system
    from ..report.size_frequency import size_frequency

    curves = {}
    if chronology and age and age["density"] > 0:
        production, _ = system(chronology)
        scale = age["density"] / float(production.cumulative(1.0))
        curves[age_text(age)] = lambda diameter: production.cumulative(diameter) * scale
    size_frequency(path, {name: sizes}, area, isochrons=curves, whole_from_km=whole.diameter_km if whole.seen else None)


def age_text(age: dict[str, Any]) -> str:
    """``3.50 Ga (3.41 to 3.57)``."""
    values = [f"{value:.2f}" if math.isfinite(value) else "older than any" for value in (age["age_ga"], age["low_ga"], age["high_ga"])]
    return f"{values[0]} Ga ({values[1]} to {values[2]})"
