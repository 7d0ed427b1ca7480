"""The blocks of a map joined: one list of craters, its files and pictures, the prediction as one raster, and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.files import read_json, write_table
from ...core.work import Workspace
from ...craters.catalogue import read_catalogue
from ...craters.classes import classes_of
from ...craters.comparison import Comparison, compare, write_comparison
from ...craters.craterstats import surface_area_m2
from ...craters.outputs import counted_boundary, crater_table, write_craters
from ...geo.bodies import Body
from ...geo.mosaic import Mosaic
from ...report.lists_compared import FILES
from ...samples.brightness import AMBER, RED, Doubt
from .. import get_family, map_options
from ..likeness import light_of
from ..map_page import finish_map, record
from .ground_tiles import extent
from .maps import map_name, map_run, mapped_version, open_mosaic, params_of
from .prediction_raster import write_prediction

if TYPE_CHECKING:
    from ...config import Config
    from .tiles import Sizes

LEAST_F1 = 0.1
"""Mean score on test tiles below which a map's list means nothing."""
Join = Callable[[list[Path], Any, Body], pd.DataFrame]
"""Products of all blocks, the version's row and the body → one list of craters (lon, lat, radius_m, confidence, …)."""


def composite(config: Config, family: str, row: Sizes, join: Join, products: list[Path], workspace: Workspace) -> dict[str, Any]:
    """Files below ``results/output_masks/<name>``; see docs/crater-unet.md."""
    products, run, options = sorted(products), map_run(config, family), map_options(config, family)
    made_of = params_of(products)
    folder = config.project.map_folder(map_name(config, family))
    folder.mkdir(parents=True, exist_ok=True)
    with open_mosaic(config, family) as mosaic:
        body, area = mosaic.grid.body, extent(mosaic.grid, options.latitudes)
        craters = join(products, row, body)
        # Blocks also list what their neighbour may claim; at the end of the map there is none.
        craters = craters[area.holds(craters["lon"].to_numpy(), craters["lat"].to_numpy())]
        resolution = options.resolution_m or mosaic.grid.resolution_m
        every = crater_table(craters)
        table = crater_table(every[listed(every, row, resolution)])
        boundary = counted_boundary(area.west, area.south, area.east, area.north)
        write_craters(folder, table, body, boundary)
        catalogue = made = None
        if run.catalogue:
            catalogue = read_catalogue(config.path(run.catalogue), body, pixel_m=mosaic.grid.resolution_m, **options.told)
            catalogue = catalogue[area.holds(catalogue["lon"].to_numpy(), catalogue["lat"].to_numpy())].reset_index(drop=True)
            radii_m = radii_m_of(row, resolution)
            counted = catalogue["radius_m"].between(*radii_m).to_numpy(bool)
            made = compare(every, catalogue, radii_m, body, classes_of(catalogue, None, counted, Path(run.catalogue)))
            write_comparison(folder, made, body)
        area_km2 = surface_area_m2(body, boundary) / 1e6
        kinds = judged(table, made)
        pictures = draw(folder, mosaic, table, made, area_km2, kinds)
        from ...report.assets import MAPS
        from ...report.viewer import circles, static_viewer

        lists = [circles(kind.split(",")[0].split(":")[0], kind, some, None, colour) for kind, (some, colour) in kinds.items()]
        walk = static_viewer(folder, mosaic, {}, lists)
        if getattr(options, "prediction", False):
            write_prediction(folder / "prediction.tif", products, mosaic.grid, workspace)
        warnings, likeness = get_family(family).page_warnings(config), light_of(products, found_little(config, family, made_of, len(table)))
        facts = {"made_of": made_of, "blocks": len(products), "area_km2": area_km2, "bounds": asdict(area), "warnings": warnings}
        provenance = record(config, folder, workspace, facts | likeness)
        sections = page_sections(folder.name, table, made, pictures, area_km2, likeness, warnings, walk)
        finish_map(config, folder, f"Craters {folder.name}", sections, provenance, mosaic, FILES, MAPS if walk else ())
    return {
        "name": folder.name,
        "craters": len(table),
        "blocks": len(products),
        **likeness,
        **{k: v for k, v in (made.scores if made else {}).items() if k.startswith("F1_")},
    }


def found_little(config: Config, family: str, made_of: dict[str, Any], craters: int) -> list[Doubt]:
    """What speaks against a map's list on whatever ground: nothing in it, or next to nothing right on test tiles."""
    version, split = mapped_version(config, family, made_of), map_run(config, family).split
    evaluated = config.project.cells(family, version, "evaluate", "eval.json", split)
    scores = [score for path in evaluated.values() if (score := (read_json(path) or {}).get("F1_strict")) is not None]
    doubts = [] if craters else [(AMBER, "no crater was found")]
    if scores and (mean := float(np.mean(scores))) < LEAST_F1:
        doubts.append((RED, f"on the test tiles of the training the strict F1 is {mean:.2f}"))
    return doubts


def judged(table: pd.DataFrame, made: Comparison | None) -> dict[str, tuple[pd.DataFrame, str]]:
    """What was found, with hits, new ones and misses apart where there was a list to compare with; each with its colour."""
    from ...report.palette import FOUND, MISSED, NEW

    if made is None or not len(table):
        return {"found craters": (table, FOUND)}
    places = set(zip(made.new["lon"].round(6), made.new["lat"].round(6), strict=True))
    hit = [place not in places for place in zip(table["lon"].round(6), table["lat"].round(6), strict=True)]
    named = {"found, and in the list": (table[hit], FOUND), "new: found, and in no list": (made.new, NEW)}
    return named | {"missed: in the list alone": (made.missed, MISSED)}


def radii_m_of(row: Sizes, resolution_m: float) -> tuple[float, float]:
    """Smallest and largest radius of the row, in metres."""
    low, high = row.radii_px(resolution_m)
    return low * resolution_m, high * resolution_m


def listed(craters: pd.DataFrame, row: Sizes, resolution_m: float) -> pd.Series:
    """Which craters are of the row's sizes: fits end a little beyond them, where nobody looked for more."""
    return craters["radius_m"].between(*radii_m_of(row, resolution_m))


def draw(
    folder: Path, mosaic: Mosaic, table: pd.DataFrame, made: Comparison | None, area_km2: float, kinds: dict[str, tuple[pd.DataFrame, str]]
) -> list[tuple[Path, str]]:
    """``overlay.png``, ``size_frequency.png`` and ``size_frequency.csv``, and what a comparison with a list shows."""
    from ...craters.frequencies import frequencies
    from ...report.crater_pictures import overlay
    from ...report.lists_compared import draw_comparison
    from ...report.size_frequency import size_frequency

    lists: dict[str, np.ndarray] = {"found": table["diameter_km"].to_numpy(float)}
    if made is not None:
        lists["catalogue"] = made.known_km
    parts = [frequencies(diameters, area_km2).assign(list=name) for name, diameters in lists.items()]
    write_table(folder / "size_frequency.csv", pd.concat(parts, ignore_index=True))
    curves = size_frequency(folder / "size_frequency.png", lists, area_km2)
    picture = overlay(folder / "overlay.png", mosaic, kinds)
    caption = "size-frequency distributions, √2 bins, exact Poisson intervals of 1 σ"
    compared = [] if made is None else draw_comparison(folder, made, mosaic)
    return [(picture, ", ".join(kinds)), (curves, caption), *compared]


def page_sections(
    name: str,
    table: pd.DataFrame,
    made: Comparison | None,
    pictures: list[tuple[Path, str]],
    area_km2: float,
    likeness: dict[str, Any],
    warnings: Iterable[str] = (),
    walk: str = "",
) -> list[str]:
    from ...report import html
    from ...report.lists_compared import rule_facts, table_sections

    facts = {"Craters": len(table), "Area counted": f"{area_km2:,.0f} km²", **(rule_facts(made.scores) if made else {})}
    sections = [html.facts(facts), html.traffic_light(**likeness), *(html.paragraph(text, "warning") for text in warnings)]
    if walk:
        legend = "Blue: found" + (" and in the list; orange: new, in no list; purple: missed" if made else "")
        sections.append(html.section("Map", walk, html.paragraph(f"{legend}. At full size: cratermill view {name}")))
    sections += [*(html.picture(path, caption) for path, caption in pictures)]
    return [*sections, *(table_sections(made.tables) if made else ()), html.section("Craters", html.table(table))]
