"""A small body whose ejecta are known in closed form, and ensembles that know them: what the map must give back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import rasterio
import torch
from affine import Affine

from cratermill.core.files import write_json
from cratermill.families import members
from cratermill.families.ejecta import mapping
from cratermill.families.ejecta_common import planned
from cratermill.geo.bodies import Body, body_of_crs
from cratermill.geo.grid import Grid, Window
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.load_config import parse_config

BODY = Body("test body", 1_000_000.0, 1_000_000.0)
SHAPE = (180, 360)
CRATERS = {
    1: (-60.0, 20.0, 30e3),
    4: (-50.0, 26.0, 25e3),  # its ejecta overlap those of 1
    7: (178.5, -10.0, 40e3),  # across the antimeridian
    9: (20.0, 86.0, 30e3),  # over the pole
    12: (90.0, -50.0, 20e3),  # without connected tiles
}
BARREN = 12
USED = {"connection": {"3": {"0": "a", "1": "b", "2": "c"}}, "ejecta": {"2": {"0": "d", "1": "e"}}}
"""Checkpoints of the parts, as the stage notes them."""


class Workspace:
    """What a cell gets, without a plan."""

    def __init__(self, folder: Path):
        self.folder, self.reports = folder, []
        folder.mkdir(parents=True, exist_ok=True)

    def keep_going(self) -> None:
        pass

    def report(self, **progress) -> None:
        self.reports.append(progress)


def mosaic_grid(first_lon: float = -180.0) -> Grid:
    return Grid(BODY.geographic_crs(), Affine(1, 0, first_lon, 0, -1, 90), SHAPE)


def write_mosaic(path: Path, first_lon: float = -180.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = mosaic_grid(first_lon)
    lon, lat = grid.lonlat(np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])[None])
    image = (110 + 60 * np.sin(np.radians(5 * lon)) * np.cos(np.radians(7 * lat)) + lat / 4).astype(np.uint8)
    profile = {"driver": "GTiff", "count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs=grid.crs.to_wkt(), transform=grid.affine) as file:
        file.write(image[None])
    return path


def make_config(root: Path, first_lon: float = -180.0, **map_keys):
    """A data folder with a mosaic and a crater list, and a config that maps it."""
    (root / "configs").mkdir(parents=True, exist_ok=True)
    write_mosaic(root / "data" / "mosaics" / "cylindrical_mosaic.tif", first_lon)
    columns = ["crat_FID", "center_lon", "center_lat", "radius", "train"]
    table = pd.DataFrame([(fid, *values, 0) for fid, values in CRATERS.items()], columns=columns)
    (root / "data" / "ejc_data").mkdir(exist_ok=True)
    table.to_csv(root / "data" / "ejc_data" / "fresh_craters.csv", index=False)
    content = {"name": "test", "data": "data", "tiles": {"eval_size_px": 8, "max_distance_fraction": 0.2}}
    return parse_config({**content, "map": {"versions": {"connection": 3, "ejecta": 2}, **map_keys}}, root)


def probability(crater, lon, lat) -> np.ndarray:
    """Ejecta within five radii and on six rays twice as long; a little less probable further out."""
    forward = BODY.geod.inv(*np.broadcast_arrays(np.full_like(lon, crater.lon), np.full_like(lon, crater.lat), lon, lat))
    distance = BODY.distance_m(crater.lon, crater.lat, lon, lat) / crater.radius_m
    reach = 7 + 3 * np.cos(np.radians(6 * forward[0]))
    return np.where(distance <= reach, 0.95 - 0.02 * distance, 0.1 / (1 + distance)).astype(np.float32)


def on_mosaic(path, grid, fill):
    """A crater's raster on the whole mosaic, placed by its own georeference."""
    with rasterio.open(path) as dataset:
        values = dataset.read()
        row, col = (round(float(value)) for value in grid.rowcol(dataset.transform.c + 0.5, dataset.transform.f - 0.5))
        assert dataset.crs.is_geographic and body_of_crs(dataset.crs).same_figure(BODY)
    whole = np.full((len(values), *grid.shape), fill, values.dtype)
    assert row >= 0 and col >= 0 and row + values.shape[1] <= grid.shape[0] and col + values.shape[2] <= grid.shape[1]
    whole[:, row : row + values.shape[1], col : col + values.shape[2]] = values
    return whole


class KnowingEjecta:
    """An ensemble of ``members`` that all know the truth, and say it of so many tiles at a time."""

    together = 128

    hparams = SimpleNamespace(tile_size_px=16)
    checkpoint = SimpleNamespace(norm=np.zeros((2, 2)))

    def shown(self) -> dict:
        return {"here": {}, "trained": {}}

    def answers(self, mosaic: Mosaic, crater, table: pd.DataFrame):
        grid, size = crater.grid(mosaic.grid), self.hparams.tile_size_px
        mean = np.empty((len(table), size, size), np.float32)
        for index, tile in enumerate(table.itertuples()):
            fine = grid.window(Window(int(tile.y), int(tile.x), int(tile.height), int(tile.width))).resized((size, size))
            mean[index] = probability(crater, *fine.lonlat(np.arange(size)[:, None], np.arange(size)[None]))
        yield from torch.from_numpy(np.stack([mean > 0.5, mean], axis=1)).split(self.together)


class KnowingConnection:
    """Three members, of which the last never sees anything; a tile within twelve radii is connected."""

    hparams = SimpleNamespace(iter_threshold=0.6)

    def shown(self) -> dict:
        """Trained where one tile in fifty was connected."""
        return {"here": {}, "trained": {"share": [0.02]}}

    def answers(self, mosaic: Mosaic, crater, table: pd.DataFrame):
        grid = crater.grid(mosaic.grid)
        rows, cols = (table[a].to_numpy() + table[b].to_numpy() / 2 - 0.5 for a, b in (("y", "height"), ("x", "width")))
        metres = np.hypot(*(axis - (grid.shape[0] - 1) / 2 for axis in (rows, cols))) * grid.resolution_m
        near = (metres < 12 * crater.radius_m) & (crater.fid != BARREN)
        yield from torch.from_numpy(np.stack([near, near, np.zeros_like(near)])).float().split(KnowingEjecta.together, dim=1)


def know(monkeypatch) -> None:
    """Give mapping these ensembles in place of trained ones."""
    digests = {"connection": {"0": "a", "1": "b", "2": "c"}, "ejecta": {"0": "d", "1": "e"}}
    monkeypatch.setattr(members.Trainings, "marks", lambda self, family, version, split: digests[family])
    monkeypatch.setattr(mapping, "load_members", lambda config, params: mapping.Members(KnowingEjecta(), KnowingConnection()))


def map_all(config, root: Path) -> list[Path]:
    """Map every crater; returns the products."""
    products = []
    for params in planned.map_cells(config):
        workspace = Workspace(root / "cells" / params["key"])
        metrics = mapping.map_crater(config, params, workspace)
        write_json(workspace.folder / "cell.json", {"params": params, "metrics": metrics | {"weights": USED}})
        products.append(workspace.folder)
    return products
