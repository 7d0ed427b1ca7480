"""A folder as EJMAP leaves it, made by hand from a prepared tiny project: npy per tile, its own positions, a shapefile, its tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from cratermill.config import Config
from cratermill.families.ejecta_common import tile_images as views
from cratermill.families.ejecta_common.craters import read_craters
from cratermill.families.ejecta_common.prepare import mask_tile
from cratermill.geo.grid import tile_distance_m
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.load_config import load_config
from tests.tiny import CONNECTION, EJECTA

PAIR_PX, SQUARE_PX = 64, 48


def ejmap_folder(into: Path, prepared: Path, *, channels_last: bool = False, dtype: str = "uint8", pixels_less: int = 0) -> Path:
    """``prepared``: a tiny project's config. ``pixels_less``: by how much EJMAP's azimuthal raster is smaller than ours, per side."""
    config = load_config(prepared)
    ours, data = config.data, into / "data"
    for name in ("mosaics", "cyl_data"):
        shutil.copytree(ours.root / name, data / name)
    for path in (ours.human_mask, ours.human_positions):
        _copy(path, data / "ejc_data" / path.name)
    gpd.read_file(ours.craters).to_file(data / "ejc_data" / "fresh_craters.shp")
    (data / "conn_data" / "eval_positions").mkdir(parents=True)
    table = _moved(pd.read_csv(ours.az_positions), -pixels_less)
    table.to_csv(data / "conn_data" / "az_positions_all.csv", index=False)
    for path in ours.eval_positions(0).parent.glob("*.csv"):
        _moved(pd.read_csv(path), -pixels_less).to_csv(data / "conn_data" / "eval_positions" / path.name, index=False)
    _write_tiles(config, data, channels_last, dtype)
    (into / "code").mkdir()
    (into / "code" / "connection_version_hparams.csv").write_text(CONNECTION)
    (into / "code" / "ejecta_version_hparams.csv").write_text(EJECTA)
    return into


def _moved(table: pd.DataFrame, by: int) -> pd.DataFrame:
    return table.assign(x=table["x"] + by, y=table["y"] + by)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _write_tiles(config: Config, data: Path, channels_last: bool, dtype: str) -> None:
    table = pd.read_csv(config.data.az_positions)
    for folder in ("conn_data/images", "conn_data/attention", "ejc_data/images", "ejc_data/masks", "ejc_data/distances"):
        (data / folder).mkdir()
    with Mosaic.open(config.data.mosaic) as mosaic:
        for crater in read_craters(config.data.craters, mosaic):
            rows = table[table["crat_FID"] == crater.fid].reset_index(drop=True)
            image, attention = views.pair_images(mosaic, crater, rows, "pair", PAIR_PX, 3.0)
            for row, one, two in zip(rows.itertuples(), image, attention, strict=True):
                name = f"{row.pos_index}_crater_{crater.fid}.npy"
                np.save(data / "conn_data" / "images" / f"image_{name}", _image(one, channels_last, dtype))
                np.save(data / "conn_data" / "attention" / f"att_{name}", two[None])
            _write_squares(mosaic, crater, rows[rows["num_1"] > 0], config, data, channels_last, dtype)


def _write_squares(mosaic, crater, rows, config: Config, data: Path, channels_last: bool, dtype: str) -> None:
    grids = views.tile_grids(crater.grid(mosaic.grid), rows, SQUARE_PX)
    image = views.square_images(mosaic, crater.grid(mosaic.grid), rows, SQUARE_PX)
    with Mosaic.open(config.data.mask(crater.fid)) as mask:
        for row, grid, one in zip(rows.itertuples(), grids, image, strict=True):
            name = f"{row.pos_index}_crater_{crater.fid}.npy"
            np.save(data / "ejc_data" / "images" / f"image_{name}", _image(one, channels_last, dtype))
            np.save(data / "ejc_data" / "masks" / f"mask_{name}", mask_tile(mask, grid))
            np.save(data / "ejc_data" / "distances" / f"distance_{name}", tile_distance_m(grid))


def _image(image: np.ndarray, channels_last: bool, dtype: str) -> np.ndarray:
    return (image.transpose(1, 2, 0) if channels_last else image).astype(dtype)
