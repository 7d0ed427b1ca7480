"""What notebooks and scripts use: rasters as xarray, tables as pandas and geopandas, runs as values.

Paths are relative to the current folder. What is wrong with input is an ``InputError``, which says what is valid and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .core.errors import InputError, nearest
from .core.paths import Project, find_root

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    import xarray

    from .config import Config

MAP_RASTERS = {"owner": "ml_FID_map_all.tif", "probability": "max_probability_all.tif", "composite": "ejecta-map_all.tif"}
PREDICTION = "prediction.tif"


# --- rasters ------------------------------------------------------------------------------------------------------------------


def open_mosaic(
    path: str | Path, bands: Sequence[int | str] | None = None, *, masked: bool = True, chunk_px: int = 2048
) -> xarray.DataArray:
    """A mosaic as a DataArray (band, y, x), read lazily by dask; CRS and transform as rioxarray keeps them (``array.rio.crs``).

    ``path``: anything that GDAL reads, by its path or its address (``https://…``, ``s3://…``: only the blocks that are used are fetched),
    or a Zarr store. ``bands``: numbers from 1, names, or formulas such as ``"b1 / b3"`` (of a Zarr store numbers); all but alpha when
    left out. ``masked``: floats with NaN where there is no data (nodata, masks, alpha and ISIS's special values), so that
    ``array.notnull()`` is the mask of valid data; otherwise the file's own type. ``chunk_px``: about the side of a chunk, in pixels.
    ``x`` and ``y`` are in the CRS's units, ``lon`` and ``lat``, on cylindrical grids, in degrees as the file counts them (−180…180 or
    0…360); ``array.attrs["radius_m"]`` is the body's.

    Raises ``InputError`` for files that can't be read, have no CRS, or lack a band.
    """
    from .geo.arrays import as_array
    from .geo.mosaic import Mosaic

    return as_array(Mosaic.open(path, bands), masked=masked, chunk_px=chunk_px)


def sample_tile(
    mosaic: str | Path | xarray.DataArray,
    lon: float,
    lat: float,
    radius_m: float | None = None,
    *,
    extent_m: float | None = None,
    size_px: int = 256,
    radii: float = 2.0,
    bands: Sequence[int | str] | None = None,
    method: Literal["auto", "bilinear", "nearest", "average"] = "auto",
) -> xarray.DataArray:
    """A square around a point as seen from above: (band, y, x) of ``size_px`` pixels a side, floats, NaN where there is no data.

    ``mosaic``: a path or an address, or a DataArray with a CRS, as :func:`open_mosaic` gives it; only the pixels that the tile needs are
    read. ``lon`` and ``lat`` in degrees, east positive, −180…180 or 0…360. The square is ``extent_m`` metres wide, or ``radii`` times
    ``radius_m`` to each side. The tile has a CRS of its own, azimuthal equidistant around the point, so that neither seam nor pole shows.
    ``auto`` averages where the tile's pixels are larger than the mosaic's and is bilinear otherwise; ``nearest`` keeps labels.

    Raises ``InputError`` unless exactly one of ``radius_m`` and ``extent_m`` is given and positive.
    """
    from .geo.arrays import sample_array
    from .geo.mosaic import ArrayMosaic, Mosaic

    given = [size for size in (radius_m, extent_m) if size is not None]
    if len(given) != 1 or not given[0] > 0 or not radii > 0 or size_px < 1:
        raise InputError(
            f"radius_m={radius_m}, extent_m={extent_m}, radii={radii}, size_px={size_px}",
            valid="either radius_m (with radii) or extent_m, positive numbers of metres, and at least one pixel",
        )
    half_m = radii * radius_m if radius_m is not None else given[0] / 2
    if isinstance(mosaic, (str, Path)):
        with Mosaic.open(mosaic, bands) as source:
            return sample_array(source, lon, lat, half_m, size_px, method)
    if bands is not None:
        raise InputError("bands= with an array", valid="bands of a path", next_step="choose them before: array.sel(band=…)")
    return sample_array(ArrayMosaic(mosaic), lon, lat, half_m, size_px, method)


def open_map(folder: str | Path) -> xarray.Dataset:
    """The rasters of a map as a lazy Dataset on the mosaic's grid, read from its cloud-optimised GeoTIFFs by dask.

    ``folder``: its path, or its name below ``results/output_masks``. Of ejecta: ``owner`` (y, x) int32, the FID of the crater whose ejecta
    lie there, −1 for none; ``votes`` (y, x) float32, the largest share of the ensemble's votes of any crater, and ``probability`` (y, x)
    float32, NaN where nobody looked; ``composite`` (band, y, x) uint8, RGBA. Of craters: ``probability`` (y, x) float32, 0–1. ``attrs``
    hold the map's name and, of ejecta, its versions, split and threshold.

    Raises ``InputError`` where there is no map, or none with rasters.
    """
    place = _map_folder(folder)
    found = {name: _raster(place / file, name == "probability") for name, file in MAP_RASTERS.items() if (place / file).exists()}
    if (place / PREDICTION).exists():
        found["probability"] = _raster(place / PREDICTION, True) / 254
    if not found:
        raise InputError(f"{place} holds no rasters of a map", valid=f"a map with one of {', '.join([*MAP_RASTERS.values(), PREDICTION])}")
    if "owner" in found:
        found["votes"] = _votes(place, found["owner"])
    return _dataset(place, found)


def _map_folder(folder: str | Path) -> Path:
    from .pipeline.map_sources import find_map

    return find_map(folder)


def _raster(path: Path, masked: bool) -> xarray.DataArray:
    import rioxarray

    array: Any = rioxarray.open_rasterio(path, chunks={"x": 2048, "y": 2048}, lock=False, masked=masked)
    return array if array.sizes["band"] > 1 else array.isel(band=0, drop=True)


def _votes(place: Path, like: xarray.DataArray) -> xarray.DataArray:
    from .analysis.shares import most_of, share_files
    from .geo.mosaic import Mosaic

    with Mosaic.open(place / MAP_RASTERS["owner"], labels=True) as owner:
        shares = most_of(share_files(place), owner.grid)[0]
    return like.copy(data=shares).drop_attrs()


def _dataset(place: Path, found: dict[str, xarray.DataArray]) -> xarray.Dataset:
    import xarray

    from .core.files import read_json

    made = read_json(place / "provenance.json", {})
    known = {name: made[name] for name in ("versions", "split", "threshold") if name in made}
    return xarray.Dataset(found, attrs={"map": place.name, **known})


# --- tables -------------------------------------------------------------------------------------------------------------------


def open_craters(path: str | Path, *, where: str | None = None, **listed: Any) -> geopandas.GeoDataFrame:
    """A crater list: FID, lon (−180…180), lat in degrees, radius_m in metres, its own columns and shapes, with the body's CRS.

    ``path``: CSV, GeoPackage, shapefile, GeoJSON, ``.diam`` or ``.scc``, or a map (folder or name), whose craters are read. ``where``: an
    expression such as ``"radius_m > 2e4 and abs(lat) < 60"``; ``listed``: ``units`` ("m" or "km"), ``layer``, ``columns`` ({name:
    formula}).

    Raises ``InputError`` with file, row, column and value of what is wrong.
    """
    from .craters.catalogue import read_catalogue

    path = Path(path)
    if path.is_dir() or not path.suffix:
        path = _existing(_map_folder(path), ("craters.gpkg", "craters.csv"))
    return read_catalogue(path, where=where, **listed)


def open_table(folder: str | Path, name: str) -> geopandas.GeoDataFrame:
    """A table of a map with its shapes: ``"ejecta_polygons"`` (outlines of the ejecta), ``"new_craters"``, the patterns
    ``"analysis_overlaps"``, ``"analysis_clean"`` and ``"analysis_hm"``, or any other of its GeoPackages and CSV files.

    ``folder``: the map's path, or its name. A CSV without a GeoPackage beside it has points where it has ``lon`` and ``lat``.

    Raises ``InputError``, with the names that there are, where the map has no such table.
    """
    import geopandas
    import pandas as pd

    place = _map_folder(folder)
    layers = {path.stem: (path, None) for path in sorted(place.glob("*.gpkg"))}
    if (place / "analysis.gpkg").exists():
        layers |= {layer: (place / "analysis.gpkg", layer) for layer in geopandas.list_layers(place / "analysis.gpkg")["name"]}
        layers.pop("analysis", None)
    if name in layers:
        path, layer = layers[name]
        return geopandas.read_file(path, layer=layer) if layer else geopandas.read_file(path)
    tables = {path.stem: path for path in sorted(place.glob("*.csv"))}
    if name not in tables:
        raise InputError(
            f"{place} has no table {name!r}", valid=nearest(name, sorted({*layers, *tables})), next_step="or 'cratermill analyse'"
        )
    table = pd.read_csv(tables[name])
    places = geopandas.points_from_xy(table["lon"], table["lat"]) if {"lon", "lat"} <= set(table) else None
    return geopandas.GeoDataFrame(table, geometry=places)


def open_leaderboard(family: str, project: str | Path = ".", *, group: str = "") -> pd.DataFrame:
    """The versions of a family that were summarised, best first: scores with intervals, and a column per hyper-parameter of their rows.

    ``project``: the project's folder or one in it; ``group``: as in the run configuration.

    Raises ``InputError`` where no version was summarised.
    """
    import pandas as pd

    from .core.files import read_json
    from .families import get_family

    folder = Project(find_root(Path(project)), group).family_results(get_family(family).short)
    board = pd.read_csv(_existing(folder, ("leaderboard.csv",)))
    rows = [read_json(folder / f"version_{version}" / "hparams.json", {}) for version in board["version"]]
    columns = pd.DataFrame(rows, index=board.index)
    return board.join(columns[[name for name in columns if name not in board]])


def _existing(folder: Path, names: Sequence[str]) -> Path:
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise InputError(
            f"{folder} holds no {' or '.join(names)}", valid="what a finished run wrote", next_step="cratermill status says how far it is"
        )
    return found


# --- runs ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run at one moment: its name, how many cells are in which state, whether all are done, a row per cell, and files to read."""

    name: str
    counts: dict[str, int]
    finished: bool
    cells: pd.DataFrame
    results: list[str]

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {', '.join(f'{number} {state}' for state, number in self.counts.items())})"


def load_config(path: str | Path, changes: Sequence[str] = ()) -> Config:
    """A run configuration, checked: ``config.run`` holds its keys, ``config.data`` and ``config.mosaic`` the paths they lead to.

    ``changes``: such as ``"map.threshold=0.6"`` or ``"ejecta.lr=0.001"``, which overrule the file.

    Raises ``InputError`` with file, key, value and valid names.
    """
    from .pipeline.load_config import load_config as load

    return load(Path(path), changes)


def prepare(config: str | Path | Config, workers: int = 1) -> dict[str, dict]:
    """Make the data that training reads, as ``cratermill prepare`` does; only what changed. By family: what was ``made``, ``warnings``.

    Raises ``InputError`` for what is wrong with the data.
    """
    from .core.progress import shown
    from .pipeline.launch import prepare as make

    path, changes = _source(config)
    with shown() as progress:
        return make(path, workers, progress, changes)


def plan(config: str | Path | Config, kind: Literal["train", "map", "all"] = "train", until: str = "compare") -> pd.DataFrame:
    """What a launch would do, and nothing of it done: a row per cell with index, stage, key, the indices it ``needs``, and if it is done.

    Raises ``InputError`` for what a launch would refuse; data must be prepared.
    """
    import pandas as pd

    from .batch.state import is_done
    from .pipeline.launch import make_plan

    path, changes = _source(config)
    made = make_plan(kind, load_config(path, changes), until, dry_run=True, workers=1, quiet=True)
    rows = [(one.index, one.stage, one.key, list(one.needs), is_done(made, one)) for one in made.cells]
    return pd.DataFrame(rows, columns=["index", "stage", "key", "needs", "done"])


def launch(
    config: str | Path | Config,
    kind: Literal["train", "map", "all"] = "all",
    *,
    executor: Literal["local", "slurm"] | None = None,
    profile: str | None = None,
    workers: int | None = None,
    wait: bool = False,
    until: str = "compare",
    overwrite: bool = False,
) -> Run:
    """Launch a configuration from a notebook cell, as ``cratermill launch`` does, and return the run as it then is.

    ``executor``: "local" stays here until all has ended, "slurm" submits by a ``profile`` of ``configs/clusters`` and returns, unless
    told to ``wait``; the profile's when left out, local without one. ``workers``: parallel processes here. ``until``: last stage of
    ``all``. Launching again does what is missing; failed cells are in ``Run.cells``, with their causes.

    Raises ``InputError`` for what can't be launched, ``WorkError`` where the scheduler refuses.
    """
    from .pipeline.launch import launched

    path, changes = _source(config)
    options: dict[str, Any] = {"executor": executor, "profile": profile, "workers": workers, "wait": wait, "until": until}
    _, made = launched(kind, path, changes=changes, overwrite=overwrite, **options)
    return status(made.path)


def status(run: str | Path = "latest", project: str | Path = ".") -> Run:
    """How far a run is, by its name, a beginning of it, ``"latest"``, or its ``plan.json``; the scheduler is asked where it has the run.

    ``Run.cells`` has a row per cell: index, stage, key, state, cause, seconds, progress, host, job and more.

    Raises ``InputError`` for a run that there isn't.
    """
    import pandas as pd

    from .batch import submissions
    from .batch.plan import find_run
    from .batch.slurm_state import watch
    from .batch.status import collect, results_of

    made = find_run(find_root(Path(project)), str(run))
    found = collect(made, watch if submissions.read(made) else None)
    return Run(made.run, found["counts"], found["finished"], pd.DataFrame(found["cells"]), results_of(made))


def _source(config: str | Path | Config) -> tuple[Path, list[str]]:
    """The file of a configuration, and what was changed when it was loaded."""
    if isinstance(config, (str, Path)):
        return Path(config), []
    if config.source is None:
        raise InputError("a configuration without a file", valid="a path, or what load_config gave")
    return config.source, config.run.changed
