"""The page of one map: its pictures, its craters, what it was made of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from . import html
from .palette import Colours

FILES = {
    "ejecta-map_all.tif": "colour composite, RGBA: a fixed colour per crater, later craters half transparent over earlier ones",
    "ml_FID_map_all.tif": "which crater owns each pixel: the highest probability, ties to the lower FID; -1 (nodata) where none does",
    "max_probability_all.tif": "highest ensemble probability of any crater; NaN (nodata) where no connected tile lies",
    "ejecta_polygons.gpkg": "the ejecta of each crater as polygons, with the columns of craters.csv",
    "craters.gpkg": "the craters as points, with the columns of craters.csv",
    "craters.csv": "one row per crater: tiles, area on the ellipsoid, extent (mean distance by area, and largest), share of shared ground",
    "overlaps_pairs.csv": "one row per pair of craters whose ejecta meet: the area, and its share of either's ejecta",
    "areas.csv": "areas with each overlap given to the crater that owns it",
}
PER_CRATER = {
    "cylindrical_mask_crater_{FID}.tif": "1 where the crater's ejecta lie, else 0; a window of the mosaic's grid",
    "vote_share_crater_{FID}.tif": "band 1: share of the members that say ejecta; band 2: their mean probability; NaN where no tile lies",
    "connected_tiles_crater_{FID}.csv": "the azimuthal tiles that the connection ensemble links to the crater, with its votes",
}


def map_sections(
    name: str, tables: dict[str, pd.DataFrame], made_of: dict, pictures: list[tuple[Path, str]], walk: str, colours: Colours
) -> list[str]:
    """Of the page of a map of ejecta. ``tables``: craters, overlaps_pairs, areas; ``pictures``: PNGs and captions; ``walk``: a viewer."""
    craters = tables["craters"]
    return [
        summary(craters, made_of),
        *([html.section("Map", walk, html.paragraph(f"All layers at full size: cratermill view {name}"))] if walk else []),
        *(html.picture(path, caption) for path, caption in pictures),
        html.section("Craters", html.table(craters, colours.of(craters["crat_FID"]))),
        html.section("Overlaps", overlaps(tables["overlaps_pairs"])),
        html.section("Areas with overlaps given to their owners", html.table(tables["areas"])),
        html.section("Files of each crater", html.facts(PER_CRATER)),
    ]


def summary(craters: pd.DataFrame, made_of: dict) -> str:
    members = {family: len(found) for family, found in (made_of.get("checkpoints") or {}).items()}
    versions = made_of.get("versions") or {}
    ensembles = ", ".join(f"{family} version {versions.get(family)} (× {count})" for family, count in members.items())
    mapped = craters[craters["area_km2"] > 0]
    parts = [
        html.facts(
            {
                "Ensembles": f"{ensembles or 'not recorded'}; TV-Test split {made_of.get('split')}",
                "Craters": f"{len(mapped)} with ejecta, of {len(craters)}",
                "Ejecta": f"{craters['owned_km2'].sum():,.0f} km² of ground",
                "A pixel is ejecta": f"where at least {made_of.get('threshold')} of the members say so, overlapping tiles averaged",
            }
        )
    ]
    if "light" in made_of:
        parts.append(html.traffic_light(made_of["light"], made_of["reasons"]))
    if made_of.get("missing"):
        text = f"Not on this map, because their cells are missing: {', '.join(made_of['missing'])}. Launch again to make them."
        parts.append(html.paragraph(text, "warning"))
    parts += [html.paragraph(text, "warning") for text in made_of.get("warnings") or ()]
    if "connection" not in versions:
        parts.append(html.paragraph("No connection version was named: every tile around a crater was segmented.", "warning"))
    return "\n".join(parts)


def overlaps(table: pd.DataFrame) -> str:
    return html.table(table) if len(table) else html.paragraph("No two craters share ground.")
