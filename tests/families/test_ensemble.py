"""What all maps by several networks share."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
import torch

from cratermill.config import Trainer
from cratermill.families.ensemble import Ensemble, sampled_ahead
from cratermill.training import device
from cratermill.training.device import Computing


@pytest.mark.parametrize("fast", [False, True])
def test_forward_passes_are_made_in_the_precision_that_was_asked_for(monkeypatch, fast):
    """Whatever the processor is fast in: with 32-true maps don't depend on its kind."""
    monkeypatch.setattr(device, "is_bf16_fast", lambda: fast)
    layer, kinds = torch.nn.Conv2d(1, 1, 1), []
    layer.register_forward_hook(lambda _, inputs, out: kinds.append(out.dtype))
    for wanted in ("32-true", "bf16-mixed", "16-mixed", "auto"):
        ensemble = Ensemble([], [], Computing.of(Trainer(accelerator="cpu", precision=wanted)))
        ensemble.networks = [layer]
        assert ensemble.probabilities(np.ones((2, 1, 4, 4), np.float32)).dtype == torch.float32
    assert kinds == [torch.float32, torch.bfloat16, torch.bfloat16, torch.bfloat16 if fast else torch.float32]
    assert Ensemble([], []).computing == Computing.of(None) == Computing.of(Trainer())


def test_the_next_piece_is_sampled_while_one_is_at_work():
    sampled, next_is_there = [], threading.Event()

    def sample(part: pd.DataFrame) -> list[int]:
        sampled.append(list(part["x"]))
        if len(sampled) == 2:
            next_is_there.set()
        return sampled[-1]

    pieces = sampled_ahead(pd.DataFrame({"x": range(7)}), sample, size=3)
    first = next(pieces)
    assert next_is_there.wait(60)  # without asking for it
    assert [first, *pieces] == [[0, 1, 2], [3, 4, 5], [6]] == sampled


def test_what_goes_wrong_in_sampling_is_told():
    def sample(part: pd.DataFrame) -> None:
        raise ValueError("no such band")

    with pytest.raises(ValueError, match="no such band"):
        list(sampled_ahead(pd.DataFrame({"x": range(7)}), sample, size=3))
    assert list(sampled_ahead(pd.DataFrame({"x": []}), sample)) == []
