"""Cross-split evaluation of the ejecta family: predict the connected tiles, build the mask, compare inside the drawn tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ...core.errors import InputError
from ...core.files import write_json, write_table
from ...core.work import Workspace
from ...geo.mosaic import Mosaic
from ...training.cell import CellParams
from ...training.device import Computing
from ..connection.evaluate import connected_tiles, votes
from ..ejecta_common.evaluation import DrawnCrater, drawn_craters, land, opened, truly_connected
from ..ejecta_common.scoring import CRATER_SCORES, TileScores, score_crater
from .predict import EjectaEnsemble

if TYPE_CHECKING:
    from ...config import Config


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """Scores of one iteration over all drawn craters, with the connections of the row's ``eval_conn_version`` (blank: the true ones)."""
    checkpoint = config.project.cell_product("ejc", params.version, "train", params.split, params.iteration) / "best.ckpt"
    ensemble = EjectaEnsemble.load([checkpoint], "ejecta", params.version, Computing.of(config.run.trainer))
    chosen = chosen_tiles(config, params)
    scores, craters = TileScores(), list[dict]()
    with opened(config) as mosaic:
        for drawn in drawn_craters(config, mosaic, params.split):
            workspace.keep_going()
            table = tiles_to_predict(drawn, chosen, mosaic)
            share, _ = ensemble.predict(mosaic, drawn.crater, table)
            pieces = land(share, table, drawn.crater, mosaic, 0.5)
            craters.append({"crat_FID": drawn.crater.fid, **score_crater(scores, pieces, drawn.tiles, drawn.mask, mosaic.grid)})
            workspace.report(item=len(craters))
    if not craters:
        raise InputError(
            f"no crater with train = 1 has tiles in split {params.split}", next_step="check the crater list and az_positions_all.csv"
        )
    write_table(workspace.folder / CRATER_SCORES, pd.DataFrame(craters))
    conn = params.hparams.eval_conn_version
    metrics = {"test-set": params.split, "iteration": params.iteration, "conn_version": conn, **scores.scores()}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def chosen_tiles(config: Config, params: CellParams) -> pd.DataFrame | None:
    """The tiles connected by vote, or None for the true connections."""
    version = params.hparams.eval_conn_version
    if version is None:
        return None
    return connected_tiles(votes(config, version, params.split), threshold_of(config, version))


def threshold_of(config: Config, version: int) -> float | None:
    """``iter_threshold`` of a connection version, read where it was trained; .5 by default where that is not known."""
    from ...core.files import read_json

    for path in config.project.cells("conn", version, "train", "cell.json").values():
        return read_json(path, {}).get("params", {}).get("hparams", {}).get("iter_threshold")
    return None


def tiles_to_predict(drawn: DrawnCrater, chosen: pd.DataFrame | None, mosaic: Mosaic) -> pd.DataFrame:
    if chosen is None:
        return drawn.eval_tiles[truly_connected(drawn, mosaic)].reset_index(drop=True)
    wanted = set(chosen.loc[chosen["crat_FID"] == drawn.crater.fid, "eval_pos_index"])
    return drawn.eval_tiles[drawn.eval_tiles["eval_pos_index"].isin(wanted)].reset_index(drop=True)
