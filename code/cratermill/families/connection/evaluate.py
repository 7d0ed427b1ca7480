"""Cross-split evaluation of the connection family: each iteration votes, and a perfect segmenter shows what the votes are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import write_json, write_table
from ...core.work import Workspace
from ...geo.mosaic import Mosaic
from ...training.cell import CellParams
from ...training.device import Computing
from ..ejecta_common.evaluation import drawn_craters, land, opened
from ..ejecta_common.scoring import CRATER_SCORES, Pieces, TileScores, score_crater
from .predict import ConnectionEnsemble

if TYPE_CHECKING:
    from ...config import Config
    from ..ejecta_common.evaluation import DrawnCrater

POSITIONS = "eval-pos.csv"


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """One iteration's answer for every tile that meets a drawn one (``eval-pos.csv``) and its scores with a perfect segmenter."""
    checkpoint = config.project.cell_product("conn", params.version, "train", params.split, params.iteration) / "best.ckpt"
    ensemble = ConnectionEnsemble.load([checkpoint], "connection", params.version, Computing.of(config.run.trainer))
    scores, tables, craters = TileScores(), [], []
    with opened(config) as mosaic:
        for number, drawn in enumerate(drawn_craters(config, mosaic, params.split), 1):
            workspace.keep_going()
            probability = ensemble.connection(mosaic, drawn.crater, drawn.eval_tiles)[0]
            connected = probability > 0.5
            tables.append(drawn.eval_tiles.assign(crat_FID=drawn.crater.fid, probability=probability, connected=connected.astype(int)))
            own = score_crater(scores, perfect_segmentation(drawn, connected, mosaic), drawn.tiles, drawn.mask, mosaic.grid)
            craters.append({"crat_FID": drawn.crater.fid, **own})
            workspace.report(item=number)
    if not tables:
        raise InputError(
            f"no crater with train = 1 has tiles in split {params.split}", next_step="check the crater list and az_positions_all.csv"
        )
    write_table(workspace.folder / POSITIONS, pd.concat(tables, ignore_index=True))
    write_table(workspace.folder / CRATER_SCORES, pd.DataFrame(craters))
    metrics = {"test-set": params.split, "iteration": params.iteration, **scores.scores()}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def perfect_segmentation(drawn: DrawnCrater, connected: np.ndarray, mosaic: Mosaic) -> Pieces:
    """The hand-drawn mask wherever a connected tile lies: what a segmenter without fault would draw."""
    table = drawn.eval_tiles[connected].reset_index(drop=True)
    area = land(np.ones((len(table), 8, 8), np.float32), table, drawn.crater, mosaic, 0.5)
    place = mosaic.grid.window_of(drawn.mask.grid, f"the mask {drawn.mask.path}")
    return [(window, covered & drawn.mask.read_mask(window.within(place))) for window, covered in area]


def votes(config: Config, version: int, split: int) -> pd.DataFrame:
    """Share of iterations that call a tile connected: the tiles' columns, ``crat_FID`` and ``votes``.

    Read from the evaluate cells; where there are none, from the results of an earlier run or of EJMAP.
    """
    cells = config.project.cells("conn", version, "evaluate", POSITIONS, split)
    if cells:
        tables = [pd.read_csv(path) for path in cells.values()]
        share = np.mean([table["connected"].to_numpy() for table in tables], axis=0)
        return tables[0].drop(columns=["probability", "connected"]).assign(votes=share)
    results = config.project.version_results("conn", version) / "conn_positions"
    files = sorted(results.glob(f"conn-pos_test-set-{split}_crater-*.csv"))
    if not files:
        raise InputError(
            f"connection version {version} has not been evaluated on split {split}",
            valid=f"evaluate cells below {config.project.version_log('conn', version)} or conn-pos files in {results}",
            next_step="launch that connection version first, or leave eval_conn_version blank for perfect connections",
        )
    tables = [pd.read_csv(path).assign(crat_FID=int(path.stem.rsplit("-", 1)[1])) for path in files]
    return pd.concat([table if "votes" in table else table.assign(votes=1.0) for table in tables], ignore_index=True)


def connected_tiles(voted: pd.DataFrame, threshold: float | None) -> pd.DataFrame:
    """The tiles that enough iterations call connected; half of them where the row names no threshold."""
    return voted[voted["votes"] >= (0.5 if threshold is None else threshold)]


def gather(config: Config, version: int, cells: pd.DataFrame, into: Path) -> list[dict]:
    """``conn_positions/conn-pos_test-set-{S}_crater-{FID}.csv`` by vote, and the vote's own evaluation, one row per split."""
    threshold = next((one["iter_threshold"] for one in cells["hparams"]), None)
    rows = []
    for split in sorted(set(cells.loc[cells["stage"] == "evaluate", "split"])):
        chosen = connected_tiles(votes(config, version, split), threshold)
        for fid, table in chosen.groupby("crat_FID"):
            write_table(into / "conn_positions" / f"conn-pos_test-set-{split}_crater-{fid}.csv", table.drop(columns="crat_FID"))
        rows.append({"test-set": split, "iteration": "vote", **score_vote(config, split, chosen)})
    return rows


def score_vote(config: Config, split: int, chosen: pd.DataFrame) -> dict[str, float]:
    """Scores of the voted connections with a perfect segmenter."""
    scores = TileScores()
    by_crater = {fid: set(table["eval_pos_index"]) for fid, table in chosen.groupby("crat_FID")}
    with opened(config) as mosaic:
        for drawn in drawn_craters(config, mosaic, split):
            connected = drawn.eval_tiles["eval_pos_index"].isin(by_crater.get(drawn.crater.fid, set())).to_numpy()
            score_crater(scores, perfect_segmentation(drawn, connected, mosaic), drawn.tiles, drawn.mask, mosaic.grid)
    return scores.scores()
