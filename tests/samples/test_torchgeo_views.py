"""Mosaics and stores as torchgeo sees them: the very pixels, across the seam of nothing, on planetary CRSs, into a trainer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples
from torchgeo.samplers import GridGeoSampler, PreChippedGeoSampler, RandomGeoSampler

from cratermill.core.errors import InputError
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from cratermill.samples.store import Piece, Spec, write_store
from cratermill.samples.torchgeo_views import MosaicDataset, StoreDataset
from tests.tiny import BODY, SHAPE, write_raster


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch geo")
    rng = np.random.default_rng(0)
    image = rng.integers(1, 255, (2, *SHAPE)).astype(np.uint8)
    image[:, 20:30, 40:60] = 0
    return (
        write_raster(folder / "mosaic.tif", image, nodata=0),
        write_raster(folder / "mask.tif", (image[:1] > 128).astype(np.uint8)),
        image,
    )


def test_a_grid_of_tiles_holds_every_pixel_once(files):
    path, _, image = files
    dataset = MosaicDataset(path, fill=-1)
    assert dataset.crs.ellipsoid.semi_major_metre == BODY.semi_major_m
    sampler = GridGeoSampler(dataset, size=60, stride=60)
    seen = np.full(image.shape, -9.0)
    with Mosaic.open(path) as mosaic:
        for query in sampler:
            sample = dataset[query]
            (row,), (col,) = (np.atleast_1d(v) for v in mosaic.grid.rowcol(query[0].start, query[1].stop))
            window = Window(round(float(row) + 0.5), round(float(col) + 0.5), 60, 60)
            seen[:, *window.slices] = sample["image"]
            assert torch.equal(sample["valid"], torch.from_numpy(image[0][window.slices] > 0))
    assert np.array_equal(seen, np.where(image == 0, -1, image))


def test_images_and_masks_of_random_places_agree_and_stack(files):
    path, labels, _ = files
    both = MosaicDataset(path, [1]) & MosaicDataset(labels, labels=True)
    sampler = RandomGeoSampler(both, size=32, length=8, generator=torch.Generator().manual_seed(0))
    (batch,) = DataLoader(both, batch_size=8, sampler=sampler, collate_fn=stack_samples)
    assert batch["image"].shape == (8, 1, 32, 32) and batch["mask"].shape == (8, 32, 32)
    x, y, _ = both.bounds
    aligned = both[x.start : x.start + 32 * x.step, y.stop - 32 * y.step : y.stop]
    assert torch.equal(aligned["mask"].bool(), aligned["image"][0] > 128)
    coarse = MosaicDataset(path, [1])
    assert coarse[x.start : x.stop : 4 * x.step, y.start : y.stop : 4 * y.step]["image"].shape == (1, 45, 90)
    with pytest.raises(IndexError, match="not found"):
        coarse[x.stop + 10 : x.stop + 20, y.start : y.stop]


def test_a_trainer_of_torchgeo_takes_them(files):
    from torchgeo.trainers import SemanticSegmentationTask

    both = MosaicDataset(files[0]) & MosaicDataset(files[1], labels=True)
    batch = stack_samples([both[query] for query in RandomGeoSampler(both, size=32, length=2)])
    task = SemanticSegmentationTask(model="unet", backbone="resnet18", in_channels=2, task="binary", num_classes=None, loss="bce")
    logits = task(batch["image"])
    assert torch.isfinite(task.criterion(logits.squeeze(1), batch["mask"].float()))


def test_samples_of_a_store_lie_where_they_were_cut(tmp_path):
    rows = pd.DataFrame({"lon": [10.0, -170.0, 60.0], "lat": [0.0, 40.0, -80.0], "radius_m": [5e4, 6e4, 7e4]})
    images = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    write_store(
        tmp_path / "s", "m", rows, {"image": Spec((8, 8), np.dtype(np.uint8))}, lambda part: Piece(part, {"image": images[part.index]})
    )
    dataset = StoreDataset(tmp_path / "s", BODY.geographic_crs(), half_side_radii=2)
    samples = [dataset[query] for query in PreChippedGeoSampler(dataset)]
    assert [one["number"] for one in samples] == [0, 1, 2]
    assert all(np.array_equal(one["image"][0], image) for one, image in zip(samples, images, strict=True))
    west, south, east, north = dataset.index.geometry.iloc[1].bounds
    half = np.degrees(2 * 6e4 / BODY.semi_major_m)
    assert np.allclose([(west + east) / 2, (south + north) / 2, (north - south) / 2], [-170, 40, half])
    assert np.isclose((east - west) / 2, half / np.cos(np.radians(40)))
    write_store(
        tmp_path / "t", "m", rows[["lon"]], {"image": Spec((8, 8), np.dtype(np.uint8))}, lambda part: Piece(part, {"image": images})
    )
    with pytest.raises(InputError, match="no lat, radius_m"):
        StoreDataset(tmp_path / "t", BODY.geographic_crs())
