"""Raster files as they are opened: GDAL's settings, its errors in words, and the grid on which a file's pixels lie."""

from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import pyproj
import rasterio
from rasterio._err import CPLE_BaseError

from ..core.errors import InputError
from ..core.notices import notice
from .bodies import Body, body_of_crs, published_crs, west_doubt
from .grid import Grid

# GDAL would keep 5 % of the machine's memory as decoded blocks, in every worker. It reads this once, at the first raster; rasterio.Env is
# no way to set it, since there the number is one of bytes and holds for all threads until any of them leaves its Env.
os.environ.setdefault("GDAL_CACHEMAX", "128")


def _share_heaps(most: int = 2) -> None:
    """Let threads share heaps, where glibc would give each its own and keep what it frees: threads of readers and writers come and go."""
    arena_max = -8  # M_ARENA_MAX of malloc.h
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(arena_max, most)


_share_heaps()


GDAL_ERRORS = (rasterio.errors.RasterioError, CPLE_BaseError)
"""What rasterio raises; the second where it hands GDAL's own on."""


EARTH_M = 6378137.0


@contextlib.contextmanager
def explained(path: Path, where: str = "") -> Iterator[None]:
    try:
        yield
    except GDAL_ERRORS as error:
        raise InputError(
            f"{path} can't be read{where}: {_cause(error)}",
            valid="a complete raster file",
            next_step="the file is probably truncated or damaged: copy or download it again",
        ) from error


def opened(name: str, threads: int):
    """Compressed blocks of one window are unpacked by so many threads."""
    remote = "://" in name
    # A server's folder needn't be listed to read one of its files.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if remote else {}
    try:
        with rasterio.Env(GDAL_NUM_THREADS=threads, **options):
            return rasterio.open(name)
    except rasterio.errors.RasterioError as error:
        step = "the file is probably truncated or damaged: copy or download it again"
        if remote:
            step = "check the address, and for s3:// the credentials"
        elif not Path(name).exists():
            step = "check the path"
        raise InputError(
            f"{name} can't be opened: {_cause(error)}", valid="a raster file that GDAL reads (GeoTIFF, COG, VRT, …)", next_step=step
        ) from error


def place_of(path: Path) -> Grid | None:
    """The grid of a raster file; None for a plain picture, which has no CRS. ``InputError`` for what GDAL can't open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with opened(str(path), 1) as dataset:
            plain = dataset.crs is None or dataset.transform.is_identity
            return None if plain else grid_of(dataset.crs, dataset.transform, dataset.shape, path)


def grid_of(crs, affine, shape: tuple[int, int], path: Path) -> Grid:
    """The grid of a raster; ``InputError`` where it has none, is turned, or lies on no known body."""
    if crs is None:
        step = f"gdal_edit.py -a_srs '+proj=eqc +R=2439400 +units=m' {quote(str(path))} (with the right projection and radius) writes it"
        raise InputError(f"{path} has no CRS, so neither its body nor its radius is known", valid="a georeferenced mosaic", next_step=step)
    if affine.is_identity:
        raise InputError(f"{path} has no geotransform", valid="a georeferenced mosaic", next_step="gdal_edit.py -a_ullr writes its extent")
    try:
        grid = Grid(published_crs(crs), affine, shape)
        if not grid.is_north_up:
            raise InputError("the raster is rotated or sheared", valid="a north-up raster", next_step="gdalwarp SRC DST makes one")
        body = body_of_crs(grid.crs)  # refuses what has no body, or latitudes of another kind
        if grid.crs.is_geographic and grid.columns_per_turn is None:
            raise InputError("the CRS has a pole of its own", valid="longitudes and latitudes of the body", next_step="gdalwarp SRC DST")
        _say_doubts(grid.crs, body, path)
        return grid
    except InputError as error:
        raise InputError(f"{path}: {error.given}", valid=error.valid, next_step=error.next_step) from error


def _say_doubts(crs: pyproj.CRS, body: Body, path: Path) -> None:
    if abs(body.semi_major_m / EARTH_M - 1) < 0.01:
        said = f"{path} is on the Earth's ellipsoid ({crs.name}), and so are all metres and kilometres"
        notice(f"{said}; if it shows another body, give it its CRS: gdal_edit.py -a_srs '+proj=longlat +R=1737400' {quote(str(path))}")
    if doubt := west_doubt(path, crs):
        notice(f"{doubt}. If craters lie mirrored, give it a CRS that counts east, or gdalwarp it to one")


def _cause(error: Exception) -> str:
    return str(error.__cause__ or error).strip().splitlines()[0]
