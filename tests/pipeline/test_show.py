"""Pictures of samples and of augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from PIL import Image

from cratermill.core.errors import InputError
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.show import augment, planes, sample
from tests.families.autoencoder import case as latents
from tests.families.chips_common import case as chips
from tests.families.crater_detector.test_detector import ROW as DETECTOR
from tests.families.crater_unet.planet import ROW as UNET
from tests.pipeline.conftest import copy_project


def test_a_sample_is_drawn_as_the_network_gets_it(prepared, tmp_path):
    config = copy_project(prepared, tmp_path)
    picture = sample(config, "ejecta", 0)
    assert picture.parent == load_config(config).project.results / "shown"
    with Image.open(picture) as drawn:
        assert drawn.width > 600
    with pytest.raises(InputError, match="no training sample 100000"):
        sample(config, "connection", 100_000)
    with pytest.raises(InputError, match="trains no sgan"):
        sample(config, "sgan", 0)


def prepared_of(family: str, folder: Path) -> Path:
    """A small prepared project of a family; its config."""
    if family in ("sgan", "chip_classifier"):
        return chips.prepared(folder, family).source
    if family == "autoencoder":
        config = latents.project(folder)
    else:
        (folder / "configs").mkdir(parents=True)
        row = {name: value for name, value in {"crater_unet": UNET, "crater_detector": DETECTOR}[family].items() if name != "test_set"}
        pd.DataFrame([row | {"test-set": "[0]", "data": "dots", "size_min": 3}]).to_csv(folder / "configs" / "t.csv", index=False)
        config = folder / "configs" / "run.yaml"
        data = "{dots: {tiles: 12, tile_px: 96}}"
        config.write_text(f"name: d\ndata: data\ntrain: {{{family}: {{table: configs/t.csv, data: {data}}}}}\n")
    prepare(config)
    return config


@pytest.mark.parametrize("family", ["crater_unet", "crater_detector", "sgan", "chip_classifier", "autoencoder"])
def test_a_sample_of_every_family_can_be_drawn(family, tmp_path):
    with Image.open(sample(prepared_of(family, tmp_path / "project"), family, 1)) as drawn:
        assert drawn.height > 300 and np.asarray(drawn.convert("L")).std() > 10


def test_planes_keep_every_channel_and_say_what_is_no_picture():
    item = {"image": torch.zeros(2, 4, 6), "target": torch.ones(1, 4, 6), "extra": torch.tensor([0.5]), "circles": torch.zeros(9, 3)}
    found = planes(item)
    assert list(found) == ["image 0, extra [0.5]", "image 1", "target"]
    assert found["target"].shape == (4, 6)


def test_every_change_is_drawn(prepared, tmp_path):
    config = copy_project(prepared, tmp_path)
    recipes = config.parents[1] / "configs" / "augment"
    recipes.mkdir(parents=True, exist_ok=True)
    (recipes / "mine.yaml").write_text("changes: {Add: {value: [90, 99]}}\nsome_of: [1, 1]\n")
    usual, mine = augment(config), augment(config, "mine", tmp_path / "mine.png")
    with Image.open(usual) as four, Image.open(mine) as two:
        assert four.height > two.height, "a row for each change, and one for all together"
        assert np.asarray(two.convert("L")).max() == 255


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_changes_of_mosaics_of_other_types_are_drawn_too(prepared, tmp_path, dtype):
    config = copy_project(prepared, tmp_path)
    mosaic = load_config(config).mosaic
    with rasterio.open(mosaic) as file:
        profile, pixels = file.profile, file.read()
    mosaic.unlink()
    with rasterio.open(mosaic, "w", **profile | {"dtype": dtype}) as file:
        file.write(pixels.astype(dtype) * 13 + 700)
    with Image.open(augment(config)) as drawn:
        assert np.asarray(drawn.convert("L"))[:, : drawn.width // 5].std() > 10, "the tile can be seen"
