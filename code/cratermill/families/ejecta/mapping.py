"""Mapping one crater: tiles, votes, masks of the ensemble, back on the mosaic's grid. A crater is a cell of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...config import Config
from ...core.errors import InputError
from ...core.files import content_digest
from ...core.paths import DataFolder
from ...geo.mosaic import Mosaic, require_body
from ...samples.brightness import far_from
from ...samples.inputs import digest
from ...training.checkpoint import load
from ..ejecta_common.craters import Crater, choose, read_craters
from ..ejecta_common.prepare import Preparation, read_table
from ..ejecta_common.stitch import Pieces, Stitcher, land
from ..ejecta_common.tile_positions import eval_positions
from ..members import checkpoint_digests, checkpoint_paths, frozen_paths
from .crater_files import write_crater

if TYPE_CHECKING:
    from ...config import MapRun
    from ..connection.predict import ConnectionEnsemble
    from .predict import EjectaEnsemble

PORTION = 128
"""Tiles predicted between two reports; bounds the memory, changes no result."""


# --- what there is to map ---------------------------------------------------------------------------------------------------


def map_run(config: Config) -> MapRun:
    if config.run.map is None:
        raise InputError("the config makes no map", valid="map: {versions: {…}, split: 0}", next_step="add 'map', as in configs/demo")
    return config.run.map


def map_data(config: Config) -> DataFolder:
    run = map_run(config)
    return DataFolder(config.path(run.data)) if run.data else config.data


def map_mosaic(config: Config) -> Path:
    run = map_run(config)
    if run.mosaic:
        return config.path(run.mosaic)
    return map_data(config).mosaic if run.data else config.mosaic


def map_catalogue(config: Config) -> Path:
    run = map_run(config)
    return config.path(run.catalogue) if run.catalogue else map_data(config).craters


def map_name(config: Config) -> str:
    """The configured name, or one made of versions, split and number of members, and of the mosaic where it isn't the one trained on."""
    run = map_run(config)
    if run.name:
        return run.name
    members = len(checkpoint_digests(config, "ejecta", run.versions["ejecta"], run.split))
    name = f"ejc-version-{run.versions['ejecta']}_conn-version-{run.versions.get('connection', 'none')}_test-set-{run.split}_x{members}"
    elsewhere = Path(run.mosaic).stem if run.mosaic else Path(run.data).name if run.data else ""
    return f"{name}_{elsewhere}" if elsewhere else name


def open_mosaic(config: Config) -> Mosaic:
    path = _there(config, map_mosaic(config), "the mosaic", "mosaic")
    mosaic = Mosaic.open(path, map_run(config).bands)
    if config.run.body and not map_run(config).mosaic and not map_run(config).data:
        require_body(mosaic, config.run.body)
    return mosaic


def _there(config: Config, path: Path, what: str, key: str) -> Path:
    """The file, if it is there; a missing one is said to be the config's where the config names it."""
    given = getattr(map_run(config), key)
    if given and not path.exists():
        raise InputError(f"map.{key} is {given}, but there is no {path}", next_step=f"correct map.{key}, or leave it out")
    return map_data(config).require(path, what)


def map_cells(config: Config) -> list[dict[str, Any]]:
    """One cell per crater; its params hold all that the result depends on, contents of files as digests."""
    run = map_run(config)
    weights = {family: checkpoint_digests(config, family, version, run.split) for family, version in run.versions.items()}
    with open_mosaic(config) as mosaic:
        craters = read_craters(_there(config, map_catalogue(config), "the crater list", "catalogue"), mosaic)
        grid = mosaic.grid
    common = {
        "versions": run.versions,
        "split": run.split,
        "checkpoints": weights,
        "threshold": run.threshold,
        "mosaic": digest(map_mosaic(config)),
        "bands": run.bands,
        "match_brightness": run.match_brightness,
    }
    cells = []
    for crater in choose(craters, run.craters):
        place = {"fid": crater.fid, "lon": crater.lon, "lat": crater.lat, "radius_m": crater.radius_m}
        tiles = tiles_mark(config, crater, grid.body.half_circumference_m)
        cells.append({"key": f"crater_{crater.fid}", **place, **common, "tiles": tiles})
    if not cells:
        raise InputError(f"{map_catalogue(config)} lists no craters", next_step="give at least one crater")
    return cells


def map_warnings(config: Config) -> list[str]:
    run, said = map_run(config), []
    if run.match_brightness:
        return said
    with open_mosaic(config) as mosaic:
        for family, version in run.versions.items():
            path = next(iter(checkpoint_paths(config, family, version, run.split).values()))
            seen, kept = load(path, family, version).seen, config.data.statistics
            said += far_from(seen, mosaic, f"{family} version {version}", grey=False, remembered=kept)
    step = "; map: {match_brightness: true} brings its bands to the training's"
    return [text + step for text in said]


def prepared_tiles(config: Config, fid: int) -> Path | None:
    """The table of tiles that prepare or EJMAP made, where the map is of the same craters on the same mosaic."""
    run, path = map_run(config), map_data(config).eval_positions(fid)
    return path if path.exists() and not run.mosaic and not run.catalogue else None


def tiles_mark(config: Config, crater: Crater, half_circumference_m: float) -> Any:
    """A plain value that changes when the tiles to map do."""
    path, tiles = prepared_tiles(config, crater.fid), config.run.tiles
    if path is not None:
        return content_digest(path)
    return [tiles.eval_size_px, tiles.eval_step, tiles.max_distance_m(crater.fid, half_circumference_m)]


def tiles_to_map(config: Config, crater: Crater, mosaic: Mosaic) -> pd.DataFrame:
    path = prepared_tiles(config, crater.fid)
    return read_table(path) if path is not None else eval_positions(crater, mosaic.grid, None, config.run.tiles)


def require_current_tiles(config: Config) -> None:
    """Raise ``InputError`` where tables of tiles to map were prepared for another mosaic, crater list or other ``tiles`` than there are."""
    run = map_run(config)
    if run.mosaic or run.catalogue:
        return  # the tiles are laid out anew
    elsewhere = {} if run.data is None else {"data": run.data, "mosaic": None}
    here = Config(config.run.model_copy(update=elsewhere), config.root, config.source)
    work = Preparation(here, check="changed")
    if work.done:
        with work:
            work.evaluation_tiles()


# --- one crater -------------------------------------------------------------------------------------------------------------


@dataclass
class Members:
    """The two ensembles of a map; without a connection version every tile is segmented."""

    ejecta: EjectaEnsemble
    connection: ConnectionEnsemble | None
    matched: bool = False

    @property
    def iter_threshold(self) -> float | None:
        return self.connection.hparams.iter_threshold if self.connection else None

    def match_brightness(self, mosaic: Mosaic, remembered: Path | None = None) -> None:
        """Normalise bands by this mosaic's mean and deviation where the training's would have been taken."""
        mean, deviation = mosaic.statistics(remembered)[:2]
        for ensemble in (self.ejecta, self.connection):
            if ensemble is not None:
                norm = ensemble.checkpoint.norm.copy()
                norm[:, : mosaic.count] = mean, np.where(deviation > 0, deviation, 1)
                ensemble.renormalise(norm)
        self.matched = True


def map_crater(config: Config, params: dict[str, Any], workspace: Any) -> dict:
    """Map one crater into ``workspace.folder``; returns its facts as metrics."""
    members = load_members(config, params)
    crater = Crater(params["fid"], params["lon"], params["lat"], params["radius_m"])
    with open_mosaic(config) as mosaic:
        tiles = tiles_to_map(config, crater, mosaic)
        connected = vote(members, mosaic, crater, tiles, workspace)
        pieces = segment(members.ejecta, mosaic, crater, connected, workspace)
        facts = write_crater(workspace.folder, crater, mosaic.grid, pieces, connected, len(tiles), params["threshold"])
    return facts


def vote(members: Members, mosaic: Mosaic, crater: Crater, tiles: pd.DataFrame, workspace: Any) -> pd.DataFrame:
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


def segment(ensemble: EjectaEnsemble, mosaic: Mosaic, crater: Crater, tiles: pd.DataFrame, workspace: Any) -> Pieces:
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
    frozen = tuple((family, version, tuple(params["checkpoints"][family].items())) for family, version in params["versions"].items())
    paths = tuple(tuple(frozen_paths(config, family, version, params["split"], dict(digests))) for family, version, digests in frozen)
    matched = params["mosaic"] if params["match_brightness"] else None
    members = _load(frozen, paths, matched)
    with open_mosaic(config) as mosaic:
        require_bands(mosaic, members.ejecta.checkpoint.norm.shape[1] - 1)
        if matched and not members.matched:
            members.match_brightness(mosaic, config.data.statistics)
    return members


def require_bands(mosaic: Mosaic, bands: int) -> None:
    if mosaic.count != bands:
        raise InputError(
            f"the mosaic {mosaic.path} has {mosaic.count} band(s), the networks were trained on {bands}",
            valid=f"a mosaic of {bands} band(s)",
            next_step=f"name the bands to use in the config, such as map: {{bands: {[1] * bands}}}, or train on such a mosaic",
        )


@lru_cache(maxsize=1)
def _load(frozen: tuple, paths: tuple[tuple[Path, ...], ...], matched: str | None) -> Members:
    """``frozen``: (family, version, digests) of each family, in the order of ``paths``; ``matched``: the mosaic they will be matched to."""
    from ..connection.predict import ConnectionEnsemble
    from .predict import EjectaEnsemble

    kinds = {"connection": ConnectionEnsemble, "ejecta": EjectaEnsemble}
    loaded = {family: kinds[family].load(list(path), family, version) for (family, version, _), path in zip(frozen, paths, strict=True)}
    return Members(loaded["ejecta"], loaded.get("connection"))
