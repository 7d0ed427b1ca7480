"""Mapping one crater: tiles, votes, masks of the ensemble, back on the mosaic's grid. A crater is a cell of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.work import Workspace
from ...geo.mosaic import Mosaic
from ..ejecta_common.craters import Crater
from ..ejecta_common.mapping import Brightness, brightness_of, match, require_bands, tiles_to_map
from ..ejecta_common.planned import open_mosaic
from ..ejecta_common.stitch import Pieces, Stitcher, land
from ..members import chosen_version, frozen_paths
from .crater_files import write_crater

if TYPE_CHECKING:
    from ...config import Config
    from ...training.device import Computing
    from ..connection.predict import ConnectionEnsemble
    from ..ensemble import Ensemble
    from .predict import EjectaEnsemble

UNDECIDED = (0.25, 0.75)
"""Shares of members that say yes between which they disagree."""


@dataclass(frozen=True)
class Members:
    """The two ensembles of a map; without a connection version every tile is segmented."""

    ejecta: EjectaEnsemble
    connection: ConnectionEnsemble | None

    @property
    def iter_threshold(self) -> float | None:
        return self.connection.hparams.iter_threshold if self.connection else None


def map_crater(config: Config, params: dict[str, Any], workspace: Workspace) -> dict:
    """Map one crater into ``workspace.folder``; returns its facts as metrics."""
    members = load_members(config, params)
    crater = Crater(params["fid"], params["lon"], params["lat"], params["radius_m"])
    with open_mosaic(config) as mosaic:
        tiles = tiles_to_map(config, crater, mosaic)
        connected = vote(members, mosaic, crater, tiles, workspace)
        pieces = segment(members.ejecta, mosaic, crater, connected, workspace)
        facts = write_crater(workspace.folder, crater, mosaic.grid, pieces, connected, len(tiles), config.map_run.threshold)
    ensembles = {"ejecta": members.ejecta} | ({"connection": members.connection} if members.connection else {})
    return {**facts, "divided": divided(pieces), "ground": {name: one.shown() for name, one in ensembles.items()}}


def divided(pieces: Pieces) -> float | None:
    """Share of the pixels that some member takes for ejecta of which members disagree: between a quarter and three quarters of them."""
    taken = disputed = 0
    for _, (share, _) in pieces:
        taken += int(np.count_nonzero(share > 0))
        disputed += int(np.count_nonzero((share > UNDECIDED[0]) & (share < UNDECIDED[1])))
    return disputed / taken if taken else None


def vote(members: Members, mosaic: Mosaic, crater: Crater, tiles: pd.DataFrame, workspace: Workspace) -> pd.DataFrame:
    """The tiles that the connection ensemble links to the crater, with ``votes``, the share of its members that say so."""
    from ..connection.evaluate import connected_tiles
    from ..ensemble import answered, fetched

    if members.connection is None:
        return tiles.assign(votes=1.0)
    shares, done = [np.zeros(0)], 0
    for probability in answered(members.connection.answers(mosaic, crater, tiles), fetched):
        workspace.keep_going()
        shares.append((probability > 0.5).mean(0, dtype=np.float64))
        done += len(shares[-1])
        workspace.report(item=done, items=len(tiles), doing="connection")
    voted = tiles.assign(votes=np.concatenate(shares))
    return connected_tiles(voted, members.iter_threshold).reset_index(drop=True)


def segment(ensemble: EjectaEnsemble, mosaic: Mosaic, crater: Crater, tiles: pd.DataFrame, workspace: Workspace) -> Pieces:
    """The ensemble's vote share and mean probability around the crater: pieces (2, h, w) on the mosaic's grid."""
    from ..ensemble import answered, fetched

    stitcher = Stitcher(tiles, layers=2)
    for done in answered(ensemble.answers(mosaic, crater, tiles), lambda answer: stitcher.add(fetched(answer))):
        workspace.keep_going()
        workspace.report(item=done, items=len(tiles), doing="ejecta")
    return land(stitcher.canvases(), crater.grid(mosaic.grid), mosaic.grid)


def load_members(config: Config, params: dict[str, Any]) -> Members:
    """The ensembles whose weights the plan froze; kept in memory for the process's next crater."""
    from ...training.device import Computing

    split, chosen = params["split"], {family: chosen_version(config, family, found) for family, found in params["weights"].items()}
    marks = {family: params["weights"][family][str(version)][str(split)] for family, version in chosen.items()}
    frozen = tuple((family, version, tuple(marks[family].items())) for family, version in chosen.items())
    paths = tuple(tuple(frozen_paths(config, family, version, split, marks[family])) for family, version in chosen.items())
    with open_mosaic(config) as mosaic:
        brightness = brightness_of(mosaic, config.data.statistics) if params["match_brightness"] else None
        members = _load(frozen, paths, brightness, Computing.of(config.run.trainer))
        require_bands(mosaic, members.ejecta.checkpoint.norm.shape[1] - 1)
    if method := params.get("calibrate"):
        from .ensemble_calibration import correction

        own = paths[list(chosen).index("ejecta")]
        members.ejecta.correct(correction(config, members.ejecta, list(own), marks["ejecta"], method, params["name"]))
    return members


@lru_cache(maxsize=1)
def _load(frozen: tuple[Any, ...], paths: tuple[tuple[Path, ...], ...], brightness: Brightness | None, computing: Computing) -> Members:
    """``frozen``: (family, version, digests) of each family, in the order of ``paths``; ``brightness``: what bands are normalised by."""
    from ..connection.predict import ConnectionEnsemble
    from .predict import EjectaEnsemble

    kinds: dict[str, type[Ensemble]] = {"connection": ConnectionEnsemble, "ejecta": EjectaEnsemble}
    loaded: dict[str, Any] = {}
    for (family, version, _), own in zip(frozen, paths, strict=True):
        loaded[family] = kinds[family].load(list(own), family, version, computing)
        if brightness is not None:
            match(loaded[family], brightness)
    return Members(loaded["ejecta"], loaded.get("connection"))
