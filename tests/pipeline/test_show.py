"""Pictures of samples and of augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cratermill.core.errors import InputError
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.show import augment, planes, sample
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


def test_planes_keep_every_channel_and_say_what_is_no_picture():
    item = {"image": torch.zeros(2, 4, 6), "target": torch.ones(1, 4, 6), "extra": torch.tensor([0.5])}
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
