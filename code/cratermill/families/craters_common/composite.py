"""The blocks of a map joined: one list of craters, its files and pictures, the prediction as one raster, and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.files import write_json, write_table
from ...core.work import Workspace
from ...craters.catalogue import read_catalogue, write_catalogue
from ...craters.craterstats import surface_area_m2
from ...craters.matching import match
from ...craters.outputs import counted_boundary, crater_table, write_craters
from ...craters.scores import RULES, score, size_table, tally
from ...craters.scores import sectors as sectors_of
from ...geo.bodies import Body
from ...geo.mosaic import Mosaic
from .. import get_family, map_options
from ..likeness import light_of
from ..map_page import finish_map, record
from .ground_tiles import extent
from .maps import map_name, map_run, open_mosaic, params_of
from .prediction_raster import write_prediction

if TYPE_CHECKING:
    from ...config import Config
    from .tiles import Sizes

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
        catalogue, scores = None, {}
        if run.catalogue:
            catalogue = read_catalogue(config.path(run.catalogue), body, pixel_m=mosaic.grid.resolution_m, **options.told)
            catalogue = catalogue[area.holds(catalogue["lon"].to_numpy(), catalogue["lat"].to_numpy())].reset_index(drop=True)
            scores = compare(folder, every, catalogue, row, resolution, body)
        area_km2 = surface_area_m2(body, boundary) / 1e6
        kinds = judged(folder, table, catalogue)
        pictures = draw(folder, mosaic, table, catalogue, row, resolution, area_km2, kinds)
        from ...report.assets import MAPS
        from ...report.viewer import circles, static_viewer

        lists = [circles(kind.split(",")[0].split(":")[0], kind, some, None, colour) for kind, (some, colour) in kinds.items()]
        walk = static_viewer(folder, mosaic, {}, lists)
        if getattr(options, "prediction", False):
            write_prediction(folder / "prediction.tif", products, mosaic.grid, workspace)
        warnings, likeness = get_family(family).page_warnings(config), light_of(products)
        facts = {"made_of": made_of, "blocks": len(products), "area_km2": area_km2, "warnings": warnings, **likeness}
        made = record(config, folder, workspace, facts)
        sections = page_sections(folder.name, table, scores, pictures, area_km2, likeness, warnings, walk)
        finish_map(config, folder, f"Craters {folder.name}", sections, made, mosaic, scripts=MAPS if walk else ())
    return {
        "name": folder.name,
        "craters": len(table),
        "blocks": len(products),
        **likeness,
        **{k: v for k, v in scores.items() if k.startswith("F1_")},
    }


def judged(folder: Path, table: pd.DataFrame, catalogue: pd.DataFrame | None) -> dict[str, tuple[pd.DataFrame, str]]:
    """What was found, with hits, new ones and misses apart where there was a list to compare with; each with its colour."""
    from ...report.palette import FOUND, MISSED, NEW

    if catalogue is None or not len(table):
        return {"found craters": (table, FOUND)}
    new, missed = (pd.read_csv(folder / f"{name}.csv") for name in ("new_craters", "missed_craters"))
    places = set(zip(new["lon"].round(6), new["lat"].round(6), strict=True))
    hit = [place not in places for place in zip(table["lon"].round(6), table["lat"].round(6), strict=True)]
    named = {"found, and in the list": (table[hit], FOUND), "new: found, and in no list": (new, NEW)}
    return named | {"missed: in the list alone": (missed, MISSED)}


def radii_m_of(row: Sizes, resolution_m: float) -> tuple[float, float]:
    """Smallest and largest radius of the row, in metres."""
    low, high = row.radii_px(resolution_m)
    return low * resolution_m, high * resolution_m


def listed(craters: pd.DataFrame, row: Sizes, resolution_m: float) -> pd.Series:
    """Which craters are of the row's sizes: fits end a little beyond them, where nobody looked for more."""
    return craters["radius_m"].between(*radii_m_of(row, resolution_m))


def compare(folder: Path, table: pd.DataFrame, catalogue: pd.DataFrame, row: Sizes, resolution_m: float, body: Body) -> dict[str, float]:
    """``scores.json``, ``scores_by_size.csv`` and the lists of what is new and what was missed; returns the scores.

    ``table``: craters of all sizes, since one of the catalogue's that was measured a little beyond the row's sizes is found.
    """
    radii_m = radii_m_of(row, resolution_m)
    found = table[["lon", "lat", "radius_m", "confidence"]].to_numpy(float)
    truth = catalogue[["lon", "lat", "radius_m"]].to_numpy(float)
    sectors = sectors_of(found), sectors_of(truth)
    scores: dict[str, float] = {}
    tables = []
    for rule in RULES:
        counts = tally(found, truth, rule, radii_m, body, found_block=sectors[0], truth_block=sectors[1])
        scores |= score(counts, rule.name)
        tables.append(size_table(counts, rule.name, unit=1000.0))
        if rule.name == "strict":
            scores |= dict(zip(("found_right", "found", "known_found", "known"), counts.counts(), strict=True))
    pairs = match(found, truth, body=body).pairs
    new, missed = (np.setdiff1d(np.arange(len(rows)), pairs[:, side]) for side, rows in ((0, found), (1, truth)))
    missed = missed[(truth[missed, 2] >= radii_m[0]) & (truth[missed, 2] <= radii_m[1])]
    fresh = table.iloc[new]
    fresh = fresh[listed(fresh, row, resolution_m)]
    write_catalogue(folder / "new_craters.gpkg", fresh, body)
    write_table(folder / "new_craters.csv", fresh)
    gone = catalogue.iloc[missed]
    write_catalogue(folder / "missed_craters.gpkg", gone.reset_index(drop=True), body)
    write_table(folder / "missed_craters.csv", pd.DataFrame(gone).drop(columns="geometry", errors="ignore"))
    write_table(folder / "scores_by_size.csv", pd.concat(tables, ignore_index=True))
    write_json(folder / "scores.json", scores)
    return scores


def draw(
    folder: Path,
    mosaic: Mosaic,
    table: pd.DataFrame,
    catalogue: pd.DataFrame | None,
    row: Sizes,
    resolution_m: float,
    area_km2: float,
    kinds: dict[str, tuple[pd.DataFrame, str]],
) -> list[tuple[Path, str]]:
    """``overlay.png``, ``size_frequency.png`` and ``size_frequency.csv``."""
    from ...craters.frequencies import frequencies
    from ...report.crater_pictures import overlay
    from ...report.size_frequency import size_frequency

    lists: dict[str, np.ndarray] = {"found": table["diameter_km"].to_numpy(float)}
    if catalogue is not None:
        low, high = radii_m_of(row, resolution_m)
        known = catalogue[(catalogue["radius_m"] >= low) & (catalogue["radius_m"] <= high)]
        lists["catalogue"] = known["radius_m"].to_numpy(float) * 2 / 1000
    parts = [frequencies(diameters, area_km2).assign(list=name) for name, diameters in lists.items()]
    write_table(folder / "size_frequency.csv", pd.concat(parts, ignore_index=True))
    curves = size_frequency(folder / "size_frequency.png", lists, area_km2)
    picture = overlay(folder / "overlay.png", mosaic, kinds)
    caption = "size-frequency distributions, √2 bins, exact Poisson intervals of 1 σ"
    return [(picture, ", ".join(kinds)), (curves, caption)]


def page_sections(
    name: str,
    table: pd.DataFrame,
    scores: dict[str, float],
    pictures: list[tuple[Path, str]],
    area_km2: float,
    likeness: dict[str, Any],
    warnings: Iterable[str] = (),
    walk: str = "",
) -> list[str]:
    from ...report import html

    facts = {"Craters": len(table), "Area counted": f"{area_km2:,.0f} km²"}
    for rule in RULES if scores else ():
        values = [f"{title} {scores[f'{title}_{rule.name}']:.3f}" for title in ("Precision", "Recall", "F1")]
        facts[f"Scores, {rule.name} rule"] = ", ".join(values)
    sections = [html.facts(facts), html.traffic_light(**likeness), *(html.paragraph(text, "warning") for text in warnings)]
    if walk:
        legend = "Blue: found" + (" and in the list; orange: new, in no list; purple: missed" if scores else "")
        sections.append(html.section("Map", walk, html.paragraph(f"{legend}. At full size: cratermill view {name}")))
    sections += [*(html.picture(path, caption) for path, caption in pictures)]
    return [*sections, html.section("Craters", html.table(table))]
