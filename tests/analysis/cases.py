"""A small body with masks that are known in closed form, on mosaics that begin on any meridian."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from affine import Affine

from cratermill.geo.bodies import Body
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Grid, azimuthal_grid

BODY = Body("test body", 1_000_000.0, 1_000_000.0)
SHAPE = (480, 960)
CRATERS = {1: (20.0, 10.0, 45e3), 4: (25.0, 19.0, 40e3), 7: (179.6, -12.0, 60e3), 9: (30.0, 86.0, 50e3), 12: (90.0, -50.0, 30e3)}
"""Apart, overlapping (1 and 4), across the seam (7), over the pole (9); 12 has no ejecta."""
Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def grid(first_lon: float = -180.0, body: Body = BODY) -> Grid:
    step = 360 / SHAPE[1]
    return Grid(body.geographic_crs(), Affine(step, 0, first_lon, 0, -step, 90), SHAPE)


def polar(on: Grid, lon: float, lat: float, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (degrees, clockwise from north) and distance (crater radii) of all pixels of a mosaic from a crater."""
    lons, lats = on.lonlat(np.arange(on.height)[:, None], np.arange(on.width)[None])
    east, north = azimuthal_grid(on.body, lon, lat, on.resolution_m).projection.to_xy(*np.broadcast_arrays(lons, lats))
    return np.degrees(np.arctan2(east, north)), np.hypot(east, north) / radius_m


def disc_and_ray(azimuth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """A blanket of three radii and one ray towards the east-north-east, ten radii long."""
    return (distance <= 3) | ((np.abs(azimuth - 67.5) < 12) & (distance <= 10))


def write_world(
    folder: Path,
    first_lon: float = -180.0,
    shape: Shape = disc_and_ray,
    body: Body = BODY,
    names: tuple[str, ...] = (),
    fids: tuple[int, ...] = tuple(CRATERS),
) -> Path:
    """A data folder: mosaic, crater list, and in ``masks/`` whole-crater masks as windows of the mosaic's grid."""
    on = grid(first_lon, body)
    lon, lat = on.lonlat(np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])[None])
    image = np.stack([100 + 50 * np.sin(np.radians(3 * lon)) * np.cos(np.radians(lat)), np.broadcast_to(120 + lat, lon.shape)])
    write_cog(folder / "mosaics" / "cylindrical_mosaic.tif", image.astype(np.float32), on, names=names)
    columns = ["crat_FID", "center_lon", "center_lat", "radius", "train"]
    table = pd.DataFrame([(fid, *values, 1) for fid, values in CRATERS.items()], columns=columns)
    (folder / "ejc_data").mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "ejc_data" / "fresh_craters.csv", index=False)
    for fid in fids:
        place = CRATERS[fid]
        mask = np.zeros(SHAPE, bool) if fid == 12 else shape(*polar(on, *place))
        write_mask(folder / "masks" / f"mask_crater_{fid}.tif", mask, on)
    return folder


def write_mask(path: Path, mask: np.ndarray, on: Grid) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_cog(path, mask.astype(np.uint8), on)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()
