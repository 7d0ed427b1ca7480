"""What a map of ejecta, or of connected tiles, consists of, from the configuration and the files that it names.

Libraries are imported only when those changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config import BEST, Config, CraterList, band_marks
from ...core.errors import InputError
from ...core.files import content_digest
from ...core.paths import DataFolder
from ...samples.inputs import digest, mark
from ..members import Trainings

if TYPE_CHECKING:
    from ...geo.mosaic import Mosaic
    from .craters import Crater


def map_data(config: Config) -> DataFolder:
    run = config.map_run
    return DataFolder(config.path(run.data)) if run.data else config.data


def map_mosaic(config: Config) -> Path:
    run = config.map_run
    if run.mosaic:
        return config.path(run.mosaic)
    return map_data(config).mosaic if run.data else config.mosaic


def map_catalogue(config: Config) -> Path:
    run = config.map_run
    return config.path(run.catalogue) if run.catalogue else map_data(config).craters


def map_crater_list(config: Config) -> CraterList | None:
    """How the list that is mapped is read; the training's own keys say nothing of a list elsewhere."""
    run = config.map_run
    listed = run.crater_list if run.catalogue or run.data else run.crater_list or config.run.crater_list
    if isinstance(run.craters, str) and run.craters != "all":
        return (listed or CraterList()).narrowed(run.craters)
    return listed


def map_name(config: Config, trainings: Trainings | None = None) -> str:
    """The configured name, or one made of versions, split and number of members, and of the mosaic where it isn't the one trained on."""
    run = config.map_run
    if run.name:
        return run.name
    trainings, family = trainings or Trainings(config), "ejecta" if "ejecta" in run.versions else "connection"
    wanted = run.versions[family]
    members = "" if wanted == BEST else f"_x{len(trainings.marks(family, int(wanted), run.split))}"
    ejecta = f"ejc-version-{wanted}_" if family == "ejecta" else ""
    name = f"{ejecta}conn-version-{run.versions.get('connection', 'none')}_test-set-{run.split}{members}"
    elsewhere = Path(run.mosaic).stem if run.mosaic else Path(run.data).name if run.data else ""
    return f"{name}_{elsewhere}" if elsewhere else name


def open_mosaic(config: Config) -> Mosaic:
    from ...geo import layers
    from ...geo.mosaic import require_body

    path = _there(config, map_mosaic(config), "the mosaic", "mosaic")
    mosaic = layers.open_mosaic(path, config.map_bands)
    if config.run.body and not config.map_run.mosaic and not config.map_run.data:
        require_body(mosaic, config.run.body)
    return mosaic


def _there(config: Config, path: Path, what: str, key: str) -> Path:
    """The file, if it is there; a missing one is said to be the config's where the config names it."""
    given = getattr(config.map_run, key)
    if given and not path.exists():
        raise InputError(f"map.{key} is {given}, but there is no {path}", next_step=f"correct map.{key}, or leave it out")
    return map_data(config).require(path, what)


def map_cells(config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
    """One cell per crater; its params hold all that the votes depend on, contents of files as digests."""
    run, trainings = config.map_run, trainings or Trainings(config)
    weights = {family: trainings.weights(family, version, run.split) for family, version in run.versions.items()}
    mosaic = _there(config, map_mosaic(config), "the mosaic", "mosaic")
    catalogue = _there(config, map_catalogue(config), "the crater list", "catalogue")
    mark(catalogue)  # whoever remembers the cells must know which files they follow from
    common = {
        "versions": run.versions,
        "split": run.split,
        "weights": weights,
        "mosaic": digest(mosaic),
        "bands": band_marks(config.map_bands),
        "match_brightness": run.match_brightness,
    }
    return [{"key": f"crater_{place['fid']}", **place, **common} for place in read_places(config, catalogue)]


def read_places(config: Config, catalogue: Path) -> list[dict[str, Any]]:
    """FID, position, radius and the mark of the tiles of every crater to map."""
    from .craters import choose, read_craters

    run = config.map_run
    with open_mosaic(config) as mosaic:
        craters = read_craters(catalogue, mosaic, map_crater_list(config))
        half_m = mosaic.grid.body.half_circumference_m
    places = [
        {"fid": one.fid, "lon": one.lon, "lat": one.lat, "radius_m": one.radius_m, "tiles": tiles_mark(config, one, half_m)}
        for one in choose(craters, run.craters if isinstance(run.craters, list) else "all")
    ]
    if not places:
        raise InputError(f"{catalogue} lists no craters", next_step="give at least one crater")
    return places


def prepared_tiles(config: Config, fid: int) -> Path | None:
    """The table of tiles that prepare or EJMAP made, where the map is of the same craters on the same mosaic."""
    run, path = config.map_run, map_data(config).eval_positions(fid)
    return path if path.exists() and not run.mosaic and not run.catalogue else None


def tiles_mark(config: Config, crater: Crater, half_circumference_m: float) -> Any:
    """A plain value that changes when the tiles to map do."""
    path, tiles = prepared_tiles(config, crater.fid), config.run.tiles
    if path is not None:
        return content_digest(path)
    return [tiles.eval_size_px, tiles.eval_step, tiles.max_distance_m(crater.fid, half_circumference_m)]


def require_current_tiles(config: Config) -> None:
    """Raise ``InputError`` where tables of tiles to map were prepared for another mosaic, crater list or other ``tiles`` than there are."""
    from .prepare import Preparation

    run = config.map_run
    if run.mosaic or run.catalogue:
        return  # the tiles are laid out anew
    elsewhere = {} if run.data is None else {"data": run.data, "mosaic": None}
    here = Config(config.run.model_copy(update=elsewhere), config.root, config.source)
    work = Preparation(here, check="changed")
    if work.done:
        with work:
            work.evaluation_tiles()
