"""The page of one analysis: pictures of the craters, tables of their patterns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from . import html
from .palette import Colours

FILES = {
    "analysis_overlaps.csv": "one row per crater: the pattern as mapped, in pixels of the crater's plane, then in metres and km²",
    "analysis_clean.csv": "the same without pixels that another crater claims as well",
    "analysis_hm.csv": "the same of the masks drawn by hand",
    "analysis.gpkg": "the tables as layers of points at the craters' centres",
    "ensemble_areas.csv": "area of each crater's ejecta with a 95 % interval from the ensemble",
    "disagreement_all.tif": "where the ensemble's members disagree: 0 agreed, 1 half and half",
    "analysis.json": "what the analysis was made of",
}
SHOWN = ("crat_FID", "invalid", "radius_m", "blanket_radius_m", "area_km2", "blanket_area_km2", "rays_area_km2", "max_distance_m")


Pictures = list[tuple[Path, str]]


def write_analysis_page(
    path: Path,
    title: str,
    tables: dict[str, pd.DataFrame],
    facts: dict[str, object],
    pictures: Pictures,
    craters: Pictures,
    colours: Colours,
) -> Path:
    """``pictures`` of all craters, ``craters`` one by one: PNGs with captions."""
    names = {"analysis_overlaps": "Patterns as mapped", "analysis_clean": "Without overlaps", "analysis_hm": "Drawn by hand"}
    sections = [html.facts(facts), *(html.picture(*one) for one in pictures)]
    sections += [html.section(names[name], shown(table, colours)) for name, table in tables.items()]
    if craters:
        sections.append(html.section("Craters", *(html.picture(*one) for one in craters)))
    sections.append(html.section("Files", html.files(path.parent, FILES)))
    return html.write_page(path, title, sections)


def shown(table: pd.DataFrame, colours: Colours) -> str:
    part = table[[name for name in SHOWN if name in table]]
    return html.table(part, colours.of(part["crat_FID"]))
