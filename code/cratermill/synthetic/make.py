"""From a seed to a data folder: the steps of a synthetic planet, in order."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from .. import __version__
from ..core.errors import InputError, WorkError
from ..core.files import read_json, write_json
from ..core.progress import Progress
from ..geo.bodies import Body, get_body
from ..geo.cog import MEMORY_BYTES
from ..geo.grid import Grid
from .lists import write_catalogue, write_positions, write_rims
from .parameters import Parameters, parameters_from
from .planet_folder import PlanetFolder
from .rasters import Painter, steps
from .render import Planet
from .training_tiles import Campaign

BLOCK_PX = (512, 512)


@dataclass(frozen=True)
class PlanetSummary:
    """What was made: counts of craters and tiles, the share of the planet that fresh ejecta cover, and how long it took."""

    folder: Path
    body: str
    shape: tuple[int, int]
    bands: int
    seed: int
    craters: int
    fresh: int
    trained: int
    tiles: int
    ejecta_share: float
    seconds: float
    made: bool  # False: the same planet was there already


def synthesise(
    folder: str | Path,
    *,
    body: str | Path | Body = "mercury",
    shape: tuple[int, int] = (512, 1024),
    seed: int = 0,
    n_fresh: int = 32,
    tile_shape_px: tuple[int, int] | None = None,
    bands: int = 3,
    workers: int = 2,
    progress: Progress | None = None,
    overwrite: bool = False,
    block_px: tuple[int, int] = BLOCK_PX,
    **options: Any,
) -> PlanetSummary:
    """Make a planet with exact truth in EJMAP's data layout; ``options`` are further fields of ``Parameters``.

    The result depends on the body and the parameters alone, not on ``block_px`` or ``workers``. A folder that holds the same planet is left
    as it is; another data set there is an InputError, unless it is a synthetic planet and ``overwrite`` is given. WorkError: can't write.
    """
    started = time.monotonic()
    body = body if isinstance(body, Body) else get_body(body)
    options |= {"shape": tuple(shape), "seed": seed, "n_fresh": n_fresh, "tile_shape_px": tile_shape_px, "bands": bands}
    parameters = parameters_from(options)
    paths = PlanetFolder(Path(folder))
    if _is_made(paths, parameters, body):
        return _summary(paths, read_json(paths.planet), time.monotonic() - started, made=False)
    _clear(paths, overwrite)
    with _writing(paths, parameters):
        record = _make(paths, parameters, body, workers, progress, block_px)
        write_json(paths.planet, record)
    return _summary(paths, record, time.monotonic() - started, made=True)


def describe(folder: str | Path) -> dict[str, Any]:
    """The record of a synthetic planet (``truth/planet.json``): parameters, craters with ages and areas, tiles, pairs by distance."""
    paths = PlanetFolder(Path(folder))
    record = read_json(paths.planet)
    if record is None:
        unfinished = paths.mosaic.exists() and paths.catalogue.exists()
        given = f"{paths.root} holds no {'finished ' if unfinished else ''}synthetic planet: {paths.planet} is missing or broken"
        raise InputError(given, next_step=f"make one with: cratermill planet synth {shlex.quote(str(paths.root))}")
    return record


def planet_grid(body: Body, shape: tuple[int, int]) -> Grid:
    """The mosaic's grid: equidistant cylindrical, −180° … 180°, 90° … −90°."""
    crs = body.cylindrical_crs()
    whole = Grid(crs, Affine.identity(), shape)
    x, y = whole.projection.to_xy(np.array([90.0]), np.array([90.0]))
    half_width, half_height = 2 * float(x[0]), float(y[0])
    return Grid(crs, Affine(2 * half_width / shape[1], 0, -half_width, 0, -2 * half_height / shape[0], half_height), shape)


def _make(paths, parameters: Parameters, body: Body, workers: int, progress: Progress | None, block_px) -> dict[str, Any]:
    grid = planet_grid(body, parameters.shape)
    planet = Planet(parameters)
    craters = [ejecta.crater for ejecta in planet.fresh]
    write_rims(paths.craters, craters, body)
    write_catalogue(paths.catalogue, planet.craters, craters, body)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        painter = Painter(planet, grid, paths, pool, block_px, _ticker(progress, steps(planet, block_px)))
        counts = painter.truth_masks()
        campaign = painter.training(counts)
        painter.owner()
        painter.mosaic()
    write_positions(paths.human_positions, campaign.tiles)
    for fid, indices in campaign.listed.items():
        write_positions(paths.positions(fid), campaign.tiles, indices)
    return _record(painter, campaign, body, float(grid.resolution_m))


def _record(painter: Painter, campaign: Campaign, body: Body, resolution_m: float) -> dict[str, Any]:
    planet = painter.planet
    whole = 4 * np.pi * body.mean_radius_m**2
    craters = [
        {
            "crat_FID": ejecta.crater.fid,
            "center_lon": float(np.degrees(ejecta.crater.lon)),
            "center_lat": float(np.degrees(ejecta.crater.lat)),
            "radius_m": ejecta.crater.radius * body.mean_radius_m,
            "age": ejecta.crater.age,
            "train": int(ejecta.crater.train),
            "reach_m": ejecta.reach_angle * body.mean_radius_m,
            "ejecta_area_km2": painter.ejecta_area[ejecta.crater.fid] / 1e6,
            "owned_area_km2": painter.owned_area[ejecta.crater.fid] / 1e6,
            "tiles": len(campaign.listed.get(ejecta.crater.fid, ())),
        }
        for ejecta in sorted(planet.fresh, key=lambda ejecta: ejecta.crater.fid)
    ]
    return _identity(planet.parameters, body) | {
        "resolution_m": resolution_m,
        "tile_shape_px": list(planet.parameters.tile_shape),
        "craters_in_all": len(planet.craters) + len(craters),
        "fresh_craters": craters,
        "ejecta_share": sum(painter.owned_area.values()) / whole,
        "tiles": len(campaign.tiles),
        "pairs_without_ejecta_by_distance": campaign.pairs[0].tolist(),
        "pairs_with_ejecta_by_distance": campaign.pairs[1].tolist(),
    }


def _identity(parameters: Parameters, body: Body) -> dict[str, Any]:
    """What decides a planet: two equal ones are the same planet."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(parameters).items()}
    return {
        "cratermill": __version__,
        "body": {"name": body.name, "semi_major_m": body.semi_major_m, "semi_minor_m": body.semi_minor_m},
        "parameters": plain,
    }


def _is_made(paths: PlanetFolder, parameters: Parameters, body: Body) -> bool:
    record = read_json(paths.planet)
    identity = _identity(parameters, body)
    return bool(record) and paths.mosaic.exists() and all(record.get(key) == value for key, value in identity.items())


def _clear(paths: PlanetFolder, overwrite: bool) -> None:
    """Remove an older planet (its craters have other numbers), but never someone's data."""
    if not paths.mosaic.exists() and not paths.planet.exists():
        return
    if not paths.catalogue.exists() or not paths.truth.exists():
        raise InputError(f"{paths.root} holds a data set that is no synthetic planet", next_step="name another folder")
    if not overwrite and paths.planet.exists():
        next_step = "name another folder, or give --overwrite"
        raise InputError(f"{paths.root} holds another planet", valid="an empty folder", next_step=next_step)
    paths.planet.unlink(missing_ok=True)  # first: without it the folder counts as unfinished
    for path in (*paths.root.glob("cyl_data/mask_crater_*.tif"), *paths.root.glob("cyl_data/positions_crater_*.csv")):
        path.unlink()
    for path in paths.truth.glob("mask_crater_*.tif"):
        path.unlink()


@contextlib.contextmanager
def _writing(paths: PlanetFolder, parameters: Parameters) -> Iterator[None]:
    """Refuse early what can't fit, and turn what the system says into a message that names the folder."""
    try:
        paths.truth.mkdir(parents=True, exist_ok=True)
        _require_space(paths.root, parameters)
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkError(
            f"can't write the planet to {paths.root}: {reason}",
            next_step="check the folder's permissions and free space (df -h), or name another folder",
        ) from error


def _require_space(folder: Path, parameters: Parameters) -> None:
    rows, columns = parameters.shape
    raw = rows * columns * parameters.bands
    # Measured: 0.87 bytes per pixel and band with overviews. A large raster also lies uncompressed beside its target while it is written.
    needed = raw * (0.9 if raw <= MEMORY_BYTES else 1.9) + 0.1 * rows * columns + 2e6
    free = shutil.disk_usage(folder).free
    if free < needed:
        given = f"the planet needs about {needed / 1e6:.0f} MB, but {folder} has {free / 1e6:.0f} MB free"
        raise WorkError(given, next_step="make room, name another folder, or ask for a smaller shape")


def _ticker(progress: Progress | None, total: int) -> Callable[[str], None]:
    done = 0

    def tick(what: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(what, min(done, total), total)

    return tick


def _summary(paths: PlanetFolder, record: dict[str, Any], seconds: float, *, made: bool) -> PlanetSummary:
    p = record["parameters"]
    fresh = record["fresh_craters"]
    return PlanetSummary(
        folder=paths.root,
        body=record["body"]["name"],
        shape=tuple(p["shape"]),
        bands=p["bands"],
        seed=p["seed"],
        craters=record["craters_in_all"],
        fresh=len(fresh),
        trained=sum(crater["train"] for crater in fresh),
        tiles=record["tiles"],
        ejecta_share=record["ejecta_share"],
        seconds=seconds,
        made=made,
    )
