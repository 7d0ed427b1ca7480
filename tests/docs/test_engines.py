"""Each library that the project names carries a feature, used here as a user would: its answer and the library's part are seen.

terratorch's is in tests/networks/test_terratorch.py, beside its slow import.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cratermill import open_mosaic, sample_tile
from tests.docs.test_docs import ENGINES
from tests.mosaics import global_grid, noise, write_mosaic


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    grid = global_grid(rows=60)
    pixels = noise(grid, 2)
    return SimpleNamespace(path=write_mosaic(tmp_path_factory.mktemp("engines") / "x.tif", pixels, grid), grid=grid, pixels=pixels)


def counted(monkeypatch, module: object, name: str) -> list[object]:
    """Calls of a library's function from now on."""
    calls, real = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given, **named: (calls.append(given), real(*given, **named))[1])
    return calls


def torch_(mosaic, patch):
    import torch

    from cratermill.networks import build_classifier

    network = build_classifier("resnet10t", 2).eval()
    before, step = network.fc.bias.clone(), torch.optim.SGD(network.parameters(), 0.1)
    network(torch.from_numpy(mosaic.pixels[None, :, :32, :32]).float()).sum().backward()
    step.step()
    assert not torch.equal(before, network.fc.bias), "a step of training changes the network"


def submitit(mosaic, patch):
    import submitit

    from cratermill.batch.by_submitit import script_of
    from cratermill.batch.jobscript import Job
    from cratermill.batch.profile import Profile, Resources

    calls = counted(patch, submitit.SlurmExecutor, "_make_submission_file_text")
    script = script_of(Job("train", 3, "/p/log/runs/r", 2, Resources(), "/p/python", root="/p"), Profile(name="x"))
    assert calls and script.startswith("#!/bin/bash") and "#SBATCH --job-name=train" in script


def torchgeo(mosaic, patch):
    from torchgeo.samplers import RandomGeoSampler

    from cratermill.samples.torchgeo_views import MosaicDataset

    data = MosaicDataset(mosaic.path)
    (query,) = RandomGeoSampler(data, size=8, length=1)
    assert data[query]["image"].shape == (2, 8, 8)


def xarray(mosaic, patch):
    import xarray

    opened = open_mosaic(mosaic.path)
    assert isinstance(opened, xarray.DataArray)
    np.testing.assert_array_equal(opened.isel(band=1, y=slice(3, 5)), mosaic.pixels[1, 3:5])


def rioxarray(mosaic, patch):
    tile = sample_tile(mosaic.path, 20, 40, extent_m=500e3, size_px=8)
    assert tile.rio.crs.to_dict()["proj"] == "aeqd" and tile.rio.resolution() == (62_500.0, -62_500.0)


def dask(mosaic, patch):
    from dask.callbacks import Callback

    from cratermill.geo.mosaic import Mosaic

    tasks: list[object] = []
    with Callback(pretask=lambda key, *_: tasks.append(key)):
        mean = Mosaic.open(mosaic.path, [2]).statistics().mean
    assert tasks and mean == pytest.approx(mosaic.pixels[1].mean())


def dask_jobqueue(mosaic, patch):
    from dask_jobqueue.slurm import SLURMJob

    from cratermill.batch import dask_cluster
    from cratermill.batch.profile import Profile

    calls = counted(patch, SLURMJob, "job_script")
    assert "dask_worker" in dask_cluster.script(Profile(name="x"), mosaic.path.parent, mosaic.path.parent) and calls


def numexpr(mosaic, patch):
    import numexpr

    calls = counted(patch, numexpr, "evaluate")
    ratio = open_mosaic(mosaic.path, ["b1 / (b2 + 1)"])
    np.testing.assert_allclose(ratio[0], mosaic.pixels[0] / (mosaic.pixels[1] + 1.0), rtol=1e-6)
    assert calls


def imgaug(mosaic, patch):
    from cratermill.samples.augment import Augmenter
    from cratermill.samples.augment import imgaug as library

    changes = {name: one.colour(np.full((8, 8, 3), 90, np.uint8), 1) for name, one in Augmenter(turns=True).each(3).items()}
    assert all(hasattr(library().augmenters, name) for name in changes)
    assert (changes["MultiplyAndAddToBrightness"] != 90).any(), "brightness is changed"


def pandas(mosaic, patch):
    import pandas

    from cratermill.craters.catalogue import read_catalogue

    table = mosaic.path.parent / "craters.csv"
    table.write_text("lon,lat,radius_m\n10,20,5e3\n-30,0,7e3\n")
    found = read_catalogue(table, mosaic.grid.body, where="radius_m > 6e3")
    assert isinstance(found, pandas.DataFrame) and found["lon"].tolist() == [-30]


FEATURES = {feature.__name__.rstrip("_"): feature for feature in (torch_, submitit, torchgeo, xarray, rioxarray)}
FEATURES |= {feature.__name__: feature for feature in (dask, dask_jobqueue, numexpr, imgaug, pandas)}


@pytest.mark.parametrize("package", FEATURES)
def test_what_the_pages_say_of_a_library_can_be_seen(package, mosaic, monkeypatch):
    FEATURES[package](mosaic, monkeypatch)


def test_no_library_is_left_out():
    assert {*FEATURES, "terratorch"} == set(ENGINES)
    assert "SemanticSegmentationTask" in (Path(__file__).parents[1] / "networks" / "test_terratorch.py").read_text(encoding="utf-8")
