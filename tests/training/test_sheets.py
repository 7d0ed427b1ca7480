"""Sheets of samples: the right ones, told by an error that is computed here again, whatever a family predicts."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cratermill.training import sheets
from cratermill.training.task import BinaryTask

CPU = torch.device("cpu")


class Says(nn.Module):
    """Gives the first pixel of each image as the logit of all pixels, or of the tile."""

    def __init__(self, tile):
        super().__init__()
        self.tile = tile

    def forward(self, image):
        return image[:, 0, 0, 0].reshape(-1, *([1] * (1 if self.tile else 3))) * (1 if self.tile else torch.ones_like(image[:, :1]))


def task_and_data(tile=False, count=9):
    logits = np.random.default_rng(0).permutation(np.linspace(-4, 4, count)).astype(np.float32)
    target = np.ones((count, 1) if tile else (count, 1, 6, 8), np.float32)
    data = [
        {"image": torch.full((1, 6, 8), float(logit)), "target": torch.from_numpy(one)} for logit, one in zip(logits, target, strict=True)
    ]
    return BinaryTask(Says(tile), nn.BCEWithLogitsLoss, None, None), data, 1 - 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("tile", [False, True])
def test_the_best_the_middle_and_the_worst_samples_stand_on_the_sheet(monkeypatch, tile):
    task, data, errors = task_and_data(tile)
    drawn = []
    monkeypatch.setattr(sheets, "as_jpeg", lambda rows: drawn.extend(rows) or b"")
    sheets.judged(task, data, CPU)
    order = np.sort(errors)
    assert [label for label, _ in drawn] == [f"{kind} of 9" for kind in ("best", "median", "worst") for _ in range(3)]
    assert np.allclose([one.error for _, one in drawn], [*order[:3], *order[3:6], *order[:-4:-1]], atol=1e-6)
    first = drawn[0][1]
    assert first.target == "1" if tile else (first.target.shape == (6, 8, 3) and (first.target == 255).all())


def test_sheets_are_small_pictures_of_many_channels_and_odd_sizes():
    rng = np.random.default_rng(1)
    for channels, shape in ((1, (6, 8)), (4, (112, 224)), (2, (300, 300))):
        image = rng.normal(100, 30, (channels, *shape))
        image[0, 0, 0] = np.nan
        one = sheets.Sample("", sheets.picture(image), "connected\n93%", np.zeros((*shape, 3), np.uint8), 0.25)
        content = sheets.as_jpeg([("best of 3", one), ("worst of 3", one)])
        width, height = Image.open(io.BytesIO(content)).size
        assert width >= 3 * sheets.PANEL_PX * shape[1] / shape[0] - 3 and height >= 2 * sheets.PANEL_PX and len(content) < 120_000


def test_nothing_is_drawn_from_the_random_numbers_of_training_and_a_task_that_shows_nothing_has_no_sheet():
    task, data, _ = task_and_data()
    before = torch.get_rng_state()
    assert sheets.progress(task, data, CPU) and torch.equal(torch.get_rng_state(), before)
    task.shown = lambda batch: None
    assert sheets.judged(task, data, CPU) is None and sheets.progress(task, data, CPU) is None
