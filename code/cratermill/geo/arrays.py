"""Mosaics as xarray's DataArrays, DataArrays as mosaics, and dask arrays as files.

A DataArray (band, y, x) carries its CRS and transform the way rioxarray does, and is read lazily, block by block, by whatever dask
scheduler is active. ``lon`` and ``lat`` (degrees) stand beside ``x`` and ``y`` on grids that are linear in them, counted as the file
counts them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError
from ..core.files import fingerprint
from .band_statistics import marks_of
from .blocks import computed, lazy_raster
from .cog import write_cog
from .grid import Grid, Window, square_grid
from .mosaic import Mosaic
from .projections import Linear
from .sampling import sample_masked

if TYPE_CHECKING:
    import xarray

CHUNK_PX = 2048


def as_array(mosaic: Mosaic, *, masked: bool = True, chunk_px: int = CHUNK_PX) -> xarray.DataArray:
    """The whole mosaic, (band, y, x), in chunks of about ``chunk_px`` squared that hold whole blocks of the file.

    ``masked``: floats, NaN where there is no data; else the file's own type, with ``mosaic.fill`` there.
    """
    if not masked:
        _require_one_value(mosaic)
    dtype = floats_of(mosaic.dtype) if masked else mosaic.dtype
    height, width = (max(chunk_px // side, 1) * side for side in mosaic.block_shape)
    marks = marks_of(mosaic)
    name = f"mosaic-{fingerprint([marks, list(mosaic.bands), masked, height, width])[:32]}" if marks else None
    pixels = lazy_raster(partial(_read_masked, mosaic, masked), (mosaic.count, *mosaic.grid.shape), dtype, (height, width), name)
    return described(pixels, mosaic.grid, mosaic.bands, np.nan if masked else mosaic.nodata)


def _require_one_value(mosaic: Mosaic) -> None:
    if len(set(mosaic.validity.nodata)) > 1:
        raise InputError(
            f"the bands of {mosaic.path} have different nodata values: {', '.join(map(str, mosaic.validity.nodata))}",
            valid="one value for all bands of an array that isn't masked",
            next_step="take it with masked=True: NaN where there is no data",
        )


def floats_of(dtype: np.dtype) -> np.dtype:
    """The floats that hold all values of a type of pixels: float32 for up to 16 bits, else float64."""
    return np.result_type(dtype, np.float32)


def described(pixels: Any, grid: Grid, bands: Any, nodata: Any = None) -> xarray.DataArray:
    """Pixels (C, h, w) of a grid as a DataArray with coordinates, CRS, transform and nodata value."""
    import rioxarray  # noqa: F401  # registers .rio
    import xarray

    coords: dict[Hashable, Any] = {"band": list(bands) if all(isinstance(band, int) for band in bands) else [_name(band) for band in bands]}
    if grid.is_north_up:
        coords["x"], coords["y"] = grid.xy(0, np.arange(grid.width))[0], grid.xy(np.arange(grid.height), 0)[1]
        if isinstance(grid.projection, Linear):
            coords["lon"] = ("x", grid.projection.to_lonlat(coords["x"], 0.0)[0])
            coords["lat"] = ("y", grid.projection.to_lonlat(0.0, coords["y"])[1])
    array: Any = xarray.DataArray(pixels, dims=("band", "y", "x"), coords=coords)
    array = array.rio.write_crs(grid.crs.to_wkt("WKT2_2019")).rio.write_transform(grid.affine)
    array.attrs |= {"body": grid.body.name, "radius_m": grid.body.semi_major_m}
    return array if nodata is None else array.rio.write_nodata(nodata)


def sample_array(source: Mosaic, lon: float, lat: float, half_m: float, size_px: int, method: str = "auto") -> xarray.DataArray:
    """A square of ``half_m`` to each side of a point, seen from above (azimuthal equidistant around it): floats, NaN for no data."""
    grid = square_grid(source.grid.body, lon, lat, half_m, size_px)
    pixels, missing = sample_masked(source, grid, method)
    values = pixels.astype(floats_of(source.dtype))
    if missing is not None:
        values[np.broadcast_to(missing, values.shape)] = np.nan
    return described(values, grid, source.bands, np.nan)


def write_array(path: str | Path, array: Any, grid: Grid, **options: Any) -> Path:
    """A dask array, or a DataArray that holds one, (C, h, w) or (h, w) on a grid, as COG, or as Zarr where the name ends in .zarr.

    ``options``: those of :func:`cratermill.geo.cog.write_cog`. This process writes the blocks, in order, as they come. Nothing is left
    behind where computing or writing fails, and an older file stays as it was.
    """
    path, lazy = Path(path), getattr(array, "data", array)
    if path.suffix == ".zarr":
        return _write_zarr(path, lazy, grid, options)
    bands = lazy.shape[0] if lazy.ndim == 3 else 1
    nodata = options.get("nodata")
    # What is all nodata stays a hole of the file.
    blocks = ((window, pixels) for window, pixels in computed(lazy) if nodata is None or not _empty(pixels, nodata))
    return write_cog(path, blocks, grid, dtype=options.pop("dtype", lazy.dtype), bands=bands, **options)


def _empty(pixels: np.ndarray, nodata: float) -> bool:
    return bool(np.isnan(pixels).all() if nodata != nodata else (pixels == nodata).all())


def _write_zarr(path: Path, lazy: Any, grid: Grid, options: dict[str, Any]) -> Path:
    three = lazy if lazy.ndim == 3 else lazy[None]
    array = described(three, grid, list(range(1, three.shape[0] + 1)), options.get("nodata"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:40]}.") as folder:
        array.to_dataset(name="mosaic").to_zarr(Path(folder) / "new", mode="w", consolidated=False)
        if path.exists():
            path.rename(Path(folder) / "old")
        (Path(folder) / "new").rename(path)
    return path


def _read_masked(mosaic: Mosaic, masked: bool, window: Window) -> np.ndarray:
    pixels, missing = mosaic.read_masked(window)
    if not masked:
        return pixels
    values = pixels.astype(floats_of(mosaic.dtype))
    if missing is not None:
        values[np.broadcast_to(missing, values.shape)] = np.nan
    return values


def _name(band: int | str) -> str:
    return band if isinstance(band, str) else f"b{band}"
