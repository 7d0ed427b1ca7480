"""A planet of a few hundred pixels, made in a second: bright discs of ejecta around craters, all exactly known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from shapely.geometry import Point

from cratermill.config import Config
from cratermill.geo.bodies import Body

BODY = Body("mercury", 2439400.0, 2439400.0, "test")
SHAPE = (180, 360)
CRATERS = {1: (-100.0, 20.0), 2: (-30.0, -25.0), 3: (40.0, 10.0), 4: (179.0, 0.0), 5: (120.0, -40.0)}
RADIUS_M, REACH_M = 90e3, 900e3


def write_raster(path: Path, array: np.ndarray, nodata=None, affine: Affine | None = None, crs=None) -> Path:
    """An array (C, h, w) as a GeoTIFF on the tiny planet's equidistant cylindrical grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixel = 2 * np.pi * BODY.semi_major_m / SHAPE[1]
    affine = affine or Affine(pixel, 0, -pixel * SHAPE[1] / 2, 0, -pixel, pixel * SHAPE[0] / 2)
    profile = {"driver": "GTiff", "count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype.name}
    with rasterio.open(path, "w", **profile, crs=(crs or BODY.cylindrical_crs()).to_wkt(), transform=affine, nodata=nodata) as file:
        file.write(array)
    return path


def tiny_data(folder: Path, seed: int = 0, craters: dict[int, tuple[float, float]] = CRATERS) -> Path:
    """A data folder in EJMAP's layout: mosaic, craters (all drawn), masks, tiles of 10 x 20 pixels."""
    rng = np.random.default_rng(seed)
    lon = (np.arange(SHAPE[1]) + 0.5) - 180
    lat = 90 - (np.arange(SHAPE[0]) + 0.5)
    lon, lat = np.meshgrid(lon, lat)
    ejecta = {fid: BODY.distance_m(lon, lat, *centre) <= REACH_M for fid, centre in craters.items()}
    anywhere = np.any(list(ejecta.values()), axis=0)
    image = np.clip(90 + 70 * anywhere + rng.normal(0, 12, (3, *SHAPE)), 1, 255).astype(np.uint8)
    write_raster(folder / "mosaics" / "cylindrical_mosaic.tif", image)
    tiles = tile_table()
    write_raster(folder / "ejc_data" / "human_mask.tif", anywhere[None].astype(np.uint8))
    tiles.to_csv(folder / "ejc_data" / "human_positions.csv", index=False)
    for fid, centre in craters.items():
        write_raster(folder / "cyl_data" / f"mask_crater_{fid}.tif", ejecta[fid][None].astype(np.uint8))
        near = BODY.distance_m(tiles["x"] + 10 - 180, 90 - tiles["y"] - 5, *centre) < 0.25 * BODY.half_circumference_m
        tiles[near].to_csv(folder / "cyl_data" / f"positions_crater_{fid}.csv", index=False)
    table = {"crat_FID": list(craters), "center_lon": [c[0] for c in craters.values()], "center_lat": [c[1] for c in craters.values()]}
    frame = pd.DataFrame(table).assign(radius=RADIUS_M, train=1)
    rims = [Point(*centre).buffer(np.degrees(RADIUS_M / BODY.semi_major_m)) for centre in craters.values()]
    gpd.GeoDataFrame(frame, geometry=rims, crs=BODY.geographic_crs()).to_file(folder / "ejc_data" / "fresh_craters.gpkg")
    return folder


def tile_table() -> pd.DataFrame:
    """Every tile of 10 x 20 pixels between 70 degrees south and north."""
    corners = [(row, col) for row in range(20, 160, 10) for col in range(0, 360, 20)]
    table = pd.DataFrame(corners, columns=["y", "x"])
    return table.assign(pos_index=range(len(table)), height=10, width=20)[["pos_index", "x", "y", "height", "width"]]


CONFIG = """
name: tiny
seed: 7
data: data/tiny
tiles: {eval_size_px: 10}
splits: {count: 2, test_fraction: 0.25}
trainer: {accelerator: cpu, precision: 32-true}
"""

CONNECTION = """\
version,norm_from_train,img_augment,connection_weights,distance_weights,val_frac,val_metric,model_name,pretrained,batch_size,loss,LS_focal_alpha,lr,\
scheduler,LR_StepLR_step_size,LR_StepLR_gamma,optimizer,OPT_AdamW_weight_decay,max_epochs,early_stop_patience,version_run,test-set,trainings_per_test,\
iter_threshold,eval_ejc_version,tile_size_px
3,False,False,True,False,0.2,F1_Score,test_efficientnet,False,8,focal,0.5,0.003,StepLR,10,0.9,AdamW,0.1,3,20,True,[0],2,0.5,,64
"""

EJECTA = """\
version,buffer_bounds,img_augment,distance_mode,log_dist,num_1_factor,num_1_point95,norm_from_train,val_frac,val_metric,model_name,accept_midinput,\
MDL_Unet_encoder_name,batch_size,loss,LS_focal_alpha,lr,scheduler,LR_StepLR_step_size,LR_StepLR_gamma,optimizer,OPT_AdamW_weight_decay,max_epochs,\
early_stop_patience,version_run,test-set,trainings_per_test,eval_conn_version,pretrained,tile_size_px
8,"(2,5)",False,absolute,True,0.25,10,True,0.2,F1_Score,Unet,True,tu-test_efficientnet,4,dice,,0.003,StepLR,10,0.9,AdamW,0.1,3,20,True,[0],2,3,False,32
"""


def tiny_project(root: Path) -> Path:
    """A project with prepared data; returns its config."""
    from cratermill.pipeline.launch import prepare

    config = unprepared_project(root)
    prepare(config)
    return config


def unprepared_project(root: Path) -> Path:
    """A project whose data are still to be prepared; returns its config."""
    (root / "configs").mkdir()
    (root / "configs" / "connection.csv").write_text(CONNECTION)
    (root / "configs" / "ejecta.csv").write_text(EJECTA)
    config = root / "configs" / "tiny.yaml"
    config.write_text(CONFIG + "train: {connection: {table: configs/connection.csv}, ejecta: {table: configs/ejecta.csv}}\n")
    tiny_data(root / "data" / "tiny")
    return config


def with_trainer(config: Config, **changes: Any) -> Config:
    """The configuration with other options of its trainer."""
    trainer = config.run.trainer.model_copy(update=changes)
    return Config(config.run.model_copy(update={"trainer": trainer}), config.root, config.source)
