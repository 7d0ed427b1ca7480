"""A tiny body with craters that have a bright and a dark wall, a catalogue of them, and a project that trains on their crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from affine import Affine

from cratermill.geo.bodies import Body

BODY = Body("moon", 1737400.0, 1737400.0, "test")
SHAPE = (180, 360)
CRATERS = 48

HEADER = (
    "version,version_run,test-set,trainings_per_test,val_frac,val_metric,batch_size,loss,lr,scheduler,LR_CosineAnnealingLR_T_max,optimizer,"
    "OPT_Adam_weight_decay,max_epochs,model_name,crop_px,latent_dim,clusters,cluster_method\n"
)
ROWS = (
    "1,True,[0],2,0.25,loss,8,mse,0.002,CosineAnnealingLR,2,Adam,0.00001,2,cae,32,6,3,kmeans\n"
    "2,False,[0],1,0.25,loss,8,mse,0.002,ReduceLROnPlateau,,Adam,,2,mae_small,40,20,2,gmm\n"
)

CONFIG = """
name: latent
seed: 3
data: data/moon
splits: {{count: 1, test_fraction: 0.25}}
trainer: {{accelerator: cpu, precision: 32-true}}
train:
  autoencoder:
    table: configs/autoencoder.csv
    data: {data}
map:
  versions: {{autoencoder: 1}}
  options: {{chunk: 20, window: [170, -30, -150, 30], thumbnails: 20}}
"""


def catalogue(count: int = CRATERS, seed: int = 0) -> pd.DataFrame:
    """Craters in the columns of the Robbins database, on a lattice so that they don't touch; some near ±180°."""
    rng = np.random.default_rng(seed)
    lon, lat = np.meshgrid(np.arange(-179, 180, 30), np.arange(-45, 46, 30))
    chosen = rng.permutation(lon.size)[:count]
    names = [f"01-1-{number:06d}" for number in range(len(chosen))]
    lon = lon.ravel()[chosen] % 360
    return pd.DataFrame(
        {"CRATER_ID": names, "LAT_CIRC_IMG": lat.ravel()[chosen], "LON_CIRC_IMG": lon, "DIAM_CIRC_IMG": rng.uniform(160, 400, len(chosen))}
    )


def write_mosaic(path: Path, craters: pd.DataFrame, seed: int = 0, roll: int = 0, **profile) -> Path:
    """Noise, and in each crater a wall that is bright on the left and dark on the right, seen truly on the ground."""
    lon, lat = np.meshgrid(np.arange(SHAPE[1]) + 0.5 - 180, 90 - (np.arange(SHAPE[0]) + 0.5))
    image = np.random.default_rng(seed).normal(110, 4, SHAPE)
    for crater in craters.itertuples():
        away = BODY.distance_m(lon, lat, crater.LON_CIRC_IMG, crater.LAT_CIRC_IMG) / (crater.DIAM_CIRC_IMG * 500)
        east = np.sin(np.radians(lon - crater.LON_CIRC_IMG))
        image += np.where(away < 1, -70 * np.sign(east), 0)
    pixel = np.pi * BODY.semi_major_m / SHAPE[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = Affine(pixel, 0, -pixel * SHAPE[1] / 2, 0, -pixel, pixel * SHAPE[0] / 2)
    kind = {"driver": "GTiff", "count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8", "nodata": 0, **profile}
    with rasterio.open(path, "w", **kind, crs=BODY.cylindrical_crs().to_wkt(), transform=affine) as file:
        file.write(np.roll(np.clip(image, 1, 255).astype(kind["dtype"]), roll, axis=1)[None])
    return path


def project(root: Path, data: str = "{catalogue: data/moon/craters.csv}", rows: str = ROWS) -> Path:
    """A project with mosaic, catalogue, table and config; nothing prepared."""
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "autoencoder.csv").write_text(HEADER + rows)
    config = root / "configs" / "latent.yaml"
    config.write_text(CONFIG.format(data=data))
    craters = catalogue()
    write_mosaic(root / "data" / "moon" / "mosaics" / "cylindrical_mosaic.tif", craters)
    craters.to_csv(root / "data" / "moon" / "craters.csv", index=False)
    return config


def run(config: Path, kind: str = "train"):
    """Every cell of a plan, in this process; the plan."""
    from cratermill.batch.cell import run_cell
    from cratermill.batch.plan import freeze
    from cratermill.pipeline import run_cell as science
    from cratermill.pipeline.launch import PLANNERS
    from cratermill.pipeline.load_config import load_config

    plan = PLANNERS[kind](load_config(config))
    freeze(plan)
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"
    return plan
