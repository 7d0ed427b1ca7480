"""The global map from the craters' own windows, block by block: memory follows the block, not the planet, and order changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ...core.errors import InputError, WorkError
from ...core.files import link_or_copy, read_json, write_table
from ...core.work import Workspace
from ...geo.blocks import BLOCK_PX, in_order
from ...geo.cog import write_cog
from ...geo.grid import Grid, Window, hull, pixel_areas_m2
from ...geo.mosaic import Mosaic, close_kept, kept_open
from ...report.palette import CRATERS, Colours
from ...samples.brightness import AMBER, RED, Doubt
from .. import get_family
from ..ejecta_common.planned import map_name, open_mosaic
from ..likeness import light_of, unusually_connected
from ..map_page import PROVENANCE, colours_for, finish_map, record, write_colours
from .blend import NO_OWNER, Blended, Layer, blend
from .crater_files import CraterFiles, read_facts
from .fan import fan_out
from .overlaps import Overlaps, area_table, crater_table, overlap_table
from .recut import recut
from .vector_files import outline, write_points, write_polygons

if TYPE_CHECKING:
    from shapely.geometry import MultiPolygon

    from ...config import Config

CALIBRATION = "calibration.json"
USUAL_REACH = (6.0, 10.0)
"""Mean distances of ejecta, in crater radii, that are doubtful, and beyond belief: continuous ejecta end two to four radii out."""
USUALLY_DIVIDED = (0.4, 0.6)


@dataclass(frozen=True)
class Part:
    """One mapped crater: its facts, the folder of its files, its window of the mosaic, and the product it comes from."""

    fid: int
    folder: Path
    facts: dict
    window: Window
    product: Path | None = None

    @property
    def files(self) -> CraterFiles:
        return CraterFiles(self.folder, self.fid)


def composite(config: Config, products: list[Path], workspace: Workspace) -> dict:
    """Join the mapped craters below ``results/output_masks/<name>``: rasters, polygons, tables, preview, page."""
    from ...report.assets import MAPS
    from ...report.map_page import FILES, map_sections
    from ...report.viewer import circles, static_viewer

    run, folder, colours = config.map_run, config.project.map_folder(map_name(config)), colours_for(config)
    with open_mosaic(config) as mosaic:
        parts = read_parts(products, shown_fids(run.show), partial(cut, config, mosaic.grid))
        overlaps = write_rasters(folder, parts, mosaic.grid, run.overlap_alpha, workspace, colours)
        publish(parts, folder)
        tables = write_tables(folder, parts, overlaps, mosaic.grid)
        write_colours(folder, colours, tables["craters"]["crat_FID"])
        made = record(config, folder, workspace, provenance(config, workspace, parts))
        pictures = write_pictures(folder, mosaic, parts, tables["craters"], colours)
        rims = circles("rims", "craters", tables["craters"], "crat_FID", colours=colours)
        walk = static_viewer(folder, mosaic, {"ejecta": folder / "ejecta-map_all.tif"}, [rims])
        sections = map_sections(folder.name, tables, made, pictures, walk, colours)
        finish_map(config, folder, f"Ejecta map {folder.name}", sections, made, mosaic, FILES, MAPS if walk else ())
    mapped = sum(part.facts["pixels"] > 0 for part in parts)
    return {"name": folder.name, "craters": len(parts), "mapped": mapped, "light": made["light"], "reasons": made["reasons"]}


def likeness(config: Config, parts: list[Part]) -> dict[str, Any]:
    """The map's traffic light: the ground that the networks saw, how many tiles are connected, how far ejecta reach, how divided the
    members are."""
    products = [part.product for part in parts if part.product]
    notes = [(read_json(product / "cell.json", {}).get("metrics") or {}) for product in products]
    tiles, connected = (sum(part.facts[name] for part in parts) for name in ("tiles", "connected"))
    found = unusually_connected(products, tiles, connected)
    found += too_far(parts, next((value for note in notes for value in known_of(note, "ejecta").get("reach", ())), None))
    shares = [note["divided"] for note in notes if note.get("divided") is not None]
    if shares and (middle := float(np.median(shares))) > USUALLY_DIVIDED[0]:
        colour = RED if middle > USUALLY_DIVIDED[1] else AMBER
        found.append((colour, f"the members disagree on {middle:.0%} of what some of them take for ejecta (median)"))
    return light_of(products, found, grey=not config.map_run.match_brightness)


def known_of(note: dict[str, Any], family: str) -> dict[str, list[float]]:
    """What a mapped crater's metrics say that the networks of a family learned from."""
    return note.get("ground", {}).get(family, {}).get("trained", {})


def too_far(parts: list[Part], trained: float | None) -> list[Doubt]:
    """Where ejecta lie farther from their craters than is usual, and than those did that were drawn (``trained``, in crater radii); or
    nowhere."""
    reach = [part.facts["mean_extent_m"] / part.facts["radius_m"] for part in parts if part.facts["mean_extent_m"]]
    if parts and not reach:
        return [(AMBER, f"no ejecta were found around any of the {len(parts)} craters")]
    middle, drawn = float(np.median(reach)) if reach else 0.0, trained or 0.0
    if middle <= max(USUAL_REACH[0], drawn):
        return []
    said = f"ejecta lie {middle:.1f} crater radii from the centre in the mean (median of {len(reach)} craters)"
    return [(RED if middle > max(USUAL_REACH[1], 2 * drawn) else AMBER, said + (f", {drawn:.1f} in the training" if drawn else ""))]


def shown_fids(show: Literal["all"] | list[int]) -> set[int] | None:
    return None if show == "all" else set(show)


def cut(config: Config, grid: Grid, product: Path) -> Path:
    """A crater's files as the map's threshold and smallest cluster make them."""
    run, name = config.map_run, map_name(config)
    return recut(product, config.project.map_log(name) / "recut" / product.name, grid, run.threshold, run.smallest_cluster_px)


def read_parts(products: list[Path], show: set[int] | None = None, cut: Callable[[Path], Path] = lambda product: product) -> list[Part]:
    """The craters of these product folders, by FID: all, or those to ``show``, with the files that ``cut`` makes of them."""
    fids = {product: read_facts(product)["crat_FID"] for product in products}
    unknown = sorted((show or set()) - set(fids.values()))
    if unknown and products:
        raise InputError(
            f"map.show names {unknown[0]}, which is no crater of this map",
            valid=", ".join(str(fid) for fid in sorted(fids.values())[:20]),
            next_step="correct map.show",
        )
    parts = [_part(product, cut(product)) for product, fid in fids.items() if show is None or fid in show]
    if not parts:
        raise WorkError("no crater has been mapped", next_step="see 'cratermill status' for why, then launch the map again")
    return sorted(parts, key=lambda part: part.fid)


def _part(product: Path, folder: Path) -> Part:
    facts = read_facts(folder)
    return Part(facts["crat_FID"], folder, facts, Window(*facts["window"]), product)


# --- rasters ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """One global raster: its name, which part of a blended block goes into it, and how it is stored."""

    name: str
    part: str
    options: dict[str, Any]

    def write(self, folder: Path, grid: Grid, blocks: Iterator[tuple[Window, Blended]]) -> Path:
        return write_cog(folder / self.name, ((window, getattr(made, self.part)) for window, made in blocks), grid, **self.options)


OUTPUTS = [
    Output("ml_FID_map_all.tif", "owner", {"dtype": "int32", "bands": 1, "nodata": NO_OWNER, "names": ["crat_FID"]}),
    Output("ejecta-map_all.tif", "rgba", {"dtype": "uint8", "bands": 4, "resampling": "average"}),
    Output(
        "max_probability_all.tif",
        "probability",
        {"dtype": "float32", "bands": 1, "nodata": np.nan, "names": ["probability"], "resampling": "average"},
    ),
]


def write_rasters(folder: Path, parts: list[Part], grid: Grid, alpha: float, workspace: Workspace, colours: Colours = CRATERS) -> Overlaps:
    """The global rasters in one pass over the blocks that any crater touches; returns what craters share and own."""
    overlaps = Overlaps()
    blocks = blended_blocks(parts, grid, alpha, overlaps, workspace, colours)
    try:
        fan_out(blocks, [partial(output.write, folder, grid) for output in OUTPUTS])
    finally:
        close_kept()
    return overlaps


def blended_blocks(
    parts: list[Part], grid: Grid, alpha: float, overlaps: Overlaps, workspace: Workspace, colours: Colours = CRATERS
) -> Iterator[tuple[Window, Blended]]:
    """Every block of the mosaic that a crater's window meets, blended; adds to ``overlaps`` on the way."""
    areas_m2 = pixel_areas_m2(grid)
    blocks = [(window, met, areas_m2[window.row : window.stop_row]) for window, met in met_blocks(parts, grid)]
    for number, (window, made, shared) in enumerate(in_order(partial(blend_block, alpha, colours), blocks, 16 * BLOCK_PX**2), 1):
        workspace.keep_going()
        overlaps.join(shared)
        workspace.report(item=number, items=len(blocks), doing="blocks")
        yield window, made


def blend_block(alpha: float, colours: Colours, block: tuple[Window, list[Part], np.ndarray]) -> tuple[Window, Blended, Overlaps]:
    """One block, given with the areas (h,) of a pixel in each of its rows, blended; and what craters share and own of it."""
    (window, parts, areas_m2), shared = block, Overlaps()
    layers = [layer_of(part, window) for part in parts]
    made = blend(layers, (window.height, window.width), alpha, colours)
    shared.add(layers, made.owner, areas_m2)
    return window, made, shared


def met_blocks(parts: list[Part], grid: Grid) -> Iterator[tuple[Window, list[Part]]]:
    """The blocks of the mosaic that craters meet, each cut down to what they cover of it, and those craters."""
    for block, numbers in Window(0, 0, *grid.shape).squares_met(BLOCK_PX, [part.window for part in parts]):
        met = [parts[number] for number in numbers]
        yield hull(covered for part in met if (covered := part.window.common(block))), met


def layer_of(part: Part, window: Window) -> Layer:
    """A crater's part of a block of the mosaic that it meets."""
    here = part.window.common(window)
    assert here is not None, "only craters that meet the block are asked for"
    source = here.within(part.window)
    into = here.within(window)
    mask, probability = kept_open(part.files.mask, labels=True), kept_open(part.files.shares, (2,))
    return Layer(part.fid, into, mask.read(source)[0] > 0, probability.read(source)[0])


# --- everything else ----------------------------------------------------------------------------------------------------------


def publish(parts: list[Part], folder: Path) -> None:
    """The craters' own files under the map's folder; those of craters that an earlier composite held and this one doesn't are removed."""
    keep = {path.name for part in parts for path in part.files.published}
    for name in read_json(folder / PROVENANCE, {}).get("crater_files", []):
        if name not in keep:
            (folder / Path(name).name).unlink(missing_ok=True)
    for part in parts:
        for path in part.files.published:
            link_or_copy(path, folder / path.name)


def write_tables(folder: Path, parts: list[Part], overlaps: Overlaps, grid: Grid) -> dict[str, pd.DataFrame]:
    """``craters``, ``overlaps_pairs`` and ``areas`` as CSV; ``craters`` and ``ejecta_polygons`` as GeoPackage."""
    facts = [part.facts for part in parts]
    craters = crater_table(facts, overlaps)
    tables = {"craters": craters, "overlaps_pairs": overlap_table(facts, overlaps), "areas": area_table(craters)}
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    write_points(folder / "craters.gpkg", craters, grid)
    write_polygons(folder / "ejecta_polygons.gpkg", craters, (outline_of(part) for part in parts), grid)
    return tables


def outline_of(part: Part) -> MultiPolygon:
    with Mosaic.open(part.files.mask, labels=True) as mask:
        return outline(mask.read(Window(0, 0, *mask.grid.shape))[0], mask.grid)


def write_pictures(folder: Path, mosaic: Mosaic, parts: list[Part], craters: pd.DataFrame, colours: Colours) -> list[tuple[Path, str]]:
    """``preview.png`` and, if there are any ejecta, ``craters.png``, each with its caption."""
    from ...report.map_pictures import crater_sheet, preview

    whole = preview(folder / "preview.png", mosaic, folder / "ejecta-map_all.tif", craters)
    sheet = crater_sheet(folder / "craters.png", mosaic, {part.fid: part.files.mask for part in parts}, craters, colours)
    pictures = [(whole, "The mosaic, the ejecta in their craters' colours, and the rims with FIDs.")]
    return pictures + ([(sheet, "The craters with most ejecta, seen from above: the mosaic, and the mask over it.")] if sheet else [])


def missing_craters(workspace: Workspace) -> list[str]:
    """Parts of this map that the plan names and nobody has made."""
    plan, cell = getattr(workspace, "plan", None), getattr(workspace, "cell", None)
    if plan is None or cell is None:
        return []
    needs = [plan.cells[need] for need in cell.needs]
    return [need.key for need in needs if need.stage == "map" and not (plan.product(need) / "cell.json").exists()]


def provenance(config: Config, workspace: Workspace, parts: list[Part]) -> dict:
    """What the map was made of and with, beside run, code and configuration: enough to make it again."""
    made = read_json((parts[0].product or parts[0].folder) / "cell.json", {})
    made_with, used, run = made.get("params", {}), (made.get("metrics") or {}).get("weights", {}), config.map_run
    weights = {name: made_with.get(name) for name in ("split", "mosaic", "bands")}
    weights |= {"versions": {family: int(version) for family, found in used.items() for version in found}}
    weights |= {"checkpoints": {family: digests for family, found in used.items() for digests in found.values()}}
    weights |= {"threshold": run.threshold, "smallest_cluster_px": run.smallest_cluster_px}
    if made_with.get("calibrate"):
        weights["calibration"] = read_json(config.project.map_log(made_with["name"]) / CALIBRATION)
    return {
        **weights,
        "craters": [part.fid for part in parts],
        "missing": missing_craters(workspace),
        "warnings": get_family("ejecta").page_warnings(config),
        **likeness(config, parts),
        "crater_files": sorted(path.name for part in parts for path in part.files.published),
    }
