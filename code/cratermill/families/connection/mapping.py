"""Maps of connections alone: how many networks link each tile around a crater to it. A crater is a cell of its own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import WorkError
from ...core.files import read_json, write_table
from ...core.work import Workspace
from ...craters.catalogue import write_catalogue
from ...report import html
from ...training.device import Computing
from ..ejecta_common.craters import Crater
from ..ejecta_common.mapping import Brightness, brightness_of, match, require_bands, tiles_to_map
from ..ejecta_common.planned import map_name, open_mosaic
from ..ensemble import answered, fetched
from ..likeness import light_of, unusually_connected
from ..map_page import finish_map, record
from ..members import chosen_version, frozen_paths
from .evaluate import connected_tiles
from .predict import ConnectionEnsemble

if TYPE_CHECKING:
    from ...config import Config

TILES = "tiles.csv"


def map_crater(config: Config, params: dict[str, Any], workspace: Workspace) -> dict[str, Any]:
    """``tiles.csv``: the tiles around a crater, with the share of the members that link each to it, and their mean probability."""
    weights, split = params["weights"]["connection"], params["split"]
    version = chosen_version(config, "connection", weights)
    paths = frozen_paths(config, "connection", version, split, weights[str(version)][str(split)])
    crater = Crater(params["fid"], params["lon"], params["lat"], params["radius_m"])
    with open_mosaic(config) as mosaic:
        brightness = brightness_of(mosaic, config.data.statistics) if params["match_brightness"] else None
        ensemble = _load(tuple(paths), version, brightness, Computing.of(config.run.trainer))
        require_bands(mosaic, ensemble.checkpoint.norm.shape[1] - 1)
        tiles, parts, done = tiles_to_map(config, crater, mosaic), [np.zeros((len(ensemble), 0), np.float32)], 0
        for part in answered(ensemble.answers(mosaic, crater, tiles), fetched):
            workspace.keep_going()
            parts.append(part)
            done += part.shape[1]
            workspace.report(item=done, items=len(tiles), doing="connection")
        found = np.concatenate(parts, axis=1)
        middle = tiles["y"] + tiles["height"] / 2 - 0.5, tiles["x"] + tiles["width"] / 2 - 0.5
        lon, lat = crater.grid(mosaic.grid).lonlat(*(values.to_numpy(float) for values in middle))
    votes = (found > 0.5).mean(0, dtype=np.float64)
    table = tiles.reset_index(drop=True).assign(crat_FID=crater.fid, lon=lon, lat=lat, votes=votes, probability=found.mean(0))
    kept = connected_tiles(table, ensemble.hparams.iter_threshold)
    write_table(workspace.folder / TILES, table.assign(connected=table.index.isin(kept.index).astype(int)))
    return {"tiles": len(table), "connected": len(kept), "ground": {"connection": ensemble.shown()}}


@lru_cache(maxsize=1)
def _load(paths: tuple[Path, ...], version: int, brightness: Brightness | None, computing: Computing) -> ConnectionEnsemble:
    """Kept in memory for the process's next crater."""
    ensemble = ConnectionEnsemble.load(list(paths), "connection", version, computing)
    if brightness is not None:
        match(ensemble, brightness)
    return ensemble


def composite(config: Config, products: list[Path], workspace: Workspace) -> dict[str, Any]:
    """``tiles.csv`` and ``tiles.gpkg`` (centres) of all craters below ``results/output_masks/<name>``."""
    if not products:
        raise WorkError("no crater has been mapped", next_step="see 'cratermill status' for why, then launch the map again")
    table = pd.concat([pd.read_csv(path / TILES) for path in products], ignore_index=True)
    table = table.sort_values(["crat_FID", "y", "x"], ignore_index=True)
    folder = config.project.map_folder(map_name(config))
    write_table(folder / TILES, table)
    facts = {"craters": len(products), "tiles": len(table), "connected": int(table["connected"].sum())}
    doubts = unusually_connected(products, facts["tiles"], facts["connected"])
    likeness = light_of(products, doubts, grey=not config.map_run.match_brightness)
    made = record(
        config, folder, workspace, {"made_of": (read_json(min(products) / "cell.json") or {}).get("params", {}), **facts, **likeness}
    )
    with open_mosaic(config) as mosaic:
        write_catalogue(folder / "tiles.gpkg", table, mosaic.grid.body)
        sections = [html.facts(facts), html.traffic_light(**likeness), html.section("Tiles", html.table(table))]
        finish_map(config, folder, f"Connected tiles {folder.name}", sections, made, mosaic)
    return {"name": folder.name, **facts, **likeness}
