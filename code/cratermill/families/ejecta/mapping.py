"""Mapping one crater: tiles, votes, masks of the ensemble, back on the mosaic's grid. A crater is a cell of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.work import Workspace
from ...geo.mosaic import Mosaic
from ...samples.brightness import far_from
from ...training.checkpoint import load
from ..ejecta_common.craters import Crater
from ..ejecta_common.prepare import read_table
from ..ejecta_common.stitch import Pieces, Stitcher, land
from ..ejecta_common.tile_positions import eval_positions
from ..members import Trainings, checkpoint_paths, chosen_version, frozen_paths
from .crater_files import write_crater
from .planned import map_cells, map_data, map_name, map_run, open_mosaic, prepared_tiles

__all__ = ["map_cells", "map_crater", "map_data", "map_name", "map_run", "map_warnings", "open_mosaic"]

if TYPE_CHECKING:
    from ...config import Config
    from ..connection.predict import ConnectionEnsemble
    from ..ensemble import Ensemble
    from .predict import EjectaEnsemble

Brightness = tuple[tuple[float, ...], tuple[float, ...]]

PORTION = 128
"""Tiles predicted between two reports; bounds the memory, changes no result."""


# --- what there is to map ---------------------------------------------------------------------------------------------------


def map_warnings(config: Config) -> list[str]:
    run = map_run(config)
    said: list[str] = []
    if run.match_brightness:
        return said
    with open_mosaic(config) as mosaic:
        for family, wanted in run.versions.items():
            version = chosen_version(config, family, Trainings(config).weights(family, wanted, run.split))
            path = next(iter(checkpoint_paths(config, family, version, run.split).values()))
            seen, kept = load(path, family, version).seen, config.data.statistics
            said += far_from(seen, mosaic, f"{family} version {version}", grey=False, remembered=kept)
    step = "; map: {match_brightness: true} brings its bands to the training's"
    return [text + step for text in said]


def tiles_to_map(config: Config, crater: Crater, mosaic: Mosaic) -> pd.DataFrame:
    path = prepared_tiles(config, crater.fid)
    return read_table(path) if path is not None else eval_positions(crater, mosaic.grid, None, config.run.tiles)


# --- one crater -------------------------------------------------------------------------------------------------------------


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
        facts = write_crater(workspace.folder, crater, mosaic.grid, pieces, connected, len(tiles), map_run(config).threshold)
    return facts


def vote(members: Members, mosaic: Mosaic, crater: Crater, tiles: pd.DataFrame, workspace: Workspace) -> pd.DataFrame:
    """The tiles that the connection ensemble links to the crater, with ``votes``, the share of its members that say so."""
    from ..connection.evaluate import connected_tiles

    if members.connection is None:
        return tiles.assign(votes=1.0)
    shares = []
    for start in range(0, len(tiles), PORTION):
        workspace.keep_going()
        portion = tiles.iloc[start : start + PORTION]
        shares.append(members.connection.votes(mosaic, crater, portion).mean(0, dtype=np.float64))
        workspace.report(item=start + len(portion), items=len(tiles), doing="connection")
    voted = tiles.assign(votes=np.concatenate(shares) if shares else np.zeros(0))
    return connected_tiles(voted, members.iter_threshold).reset_index(drop=True)


def segment(ensemble: EjectaEnsemble, mosaic: Mosaic, crater: Crater, tiles: pd.DataFrame, workspace: Workspace) -> Pieces:
    """The ensemble's vote share and mean probability around the crater: pieces (2, h, w) on the mosaic's grid."""
    stitcher = Stitcher(tiles, layers=2)
    for start in range(0, len(tiles), PORTION):
        workspace.keep_going()
        portion = tiles.iloc[start : start + PORTION]
        stitcher.add(start, np.stack(ensemble.predict(mosaic, crater, portion), axis=1))
        workspace.report(item=start + len(portion), items=len(tiles), doing="ejecta")
    return land(stitcher.canvases(), crater.grid(mosaic.grid), mosaic.grid)


def load_members(config: Config, params: dict[str, Any]) -> Members:
    """The ensembles whose weights the plan froze; kept in memory for the process's next crater."""
    split, chosen = params["split"], {family: chosen_version(config, family, found) for family, found in params["weights"].items()}
    marks = {family: params["weights"][family][str(version)][str(split)] for family, version in chosen.items()}
    frozen = tuple((family, version, tuple(marks[family].items())) for family, version in chosen.items())
    paths = tuple(tuple(frozen_paths(config, family, version, split, marks[family])) for family, version in chosen.items())
    with open_mosaic(config) as mosaic:
        brightness = brightness_of(mosaic, config.data.statistics) if params["match_brightness"] else None
        members = _load(frozen, paths, brightness)
        require_bands(mosaic, members.ejecta.checkpoint.norm.shape[1] - 1)
    return members


def brightness_of(mosaic: Mosaic, remembered: Path) -> Brightness:
    """Mean and deviation of the mosaic's bands, as plain numbers."""
    mean, deviation = mosaic.statistics(remembered)[:2]
    return tuple(mean.tolist()), tuple(np.where(deviation > 0, deviation, 1).tolist())


def require_bands(mosaic: Mosaic, bands: int) -> None:
    if mosaic.count != bands:
        raise InputError(
            f"the mosaic {mosaic.path} has {mosaic.count} band(s), the networks were trained on {bands}",
            valid=f"a mosaic of {bands} band(s)",
            next_step=f"name the bands to use in the config, such as map: {{bands: {[1] * bands}}}, or train on such a mosaic",
        )


@lru_cache(maxsize=1)
def _load(frozen: tuple[Any, ...], paths: tuple[tuple[Path, ...], ...], brightness: Brightness | None) -> Members:
    """``frozen``: (family, version, digests) of each family, in the order of ``paths``; ``brightness``: what bands are normalised by."""
    from ..connection.predict import ConnectionEnsemble
    from .predict import EjectaEnsemble

    kinds: dict[str, type[Ensemble]] = {"connection": ConnectionEnsemble, "ejecta": EjectaEnsemble}
    loaded: dict[str, Any] = {}
    for (family, version, _), own in zip(frozen, paths, strict=True):
        loaded[family] = kinds[family].load(list(own), family, version)
        if brightness is not None:
            _match(loaded[family], brightness)
    return Members(loaded["ejecta"], loaded.get("connection"))


def _match(ensemble: Ensemble, brightness: Brightness) -> None:
    """Normalise bands by a mosaic's mean and deviation, not the training's; other numbers of bands are refused later."""
    norm, bands = ensemble.checkpoint.norm.copy(), len(brightness[0])
    if bands < norm.shape[1]:
        norm[:, :bands] = brightness
        ensemble.renormalise(norm)
