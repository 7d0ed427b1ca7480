"""What all maps by several networks share."""

from __future__ import annotations

import threading
from collections.abc import Generator

import numpy as np
import pandas as pd
import pytest
import torch

from cratermill.config import Trainer
from cratermill.families.ensemble import Ensemble, answered, sampled_ahead
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


def given(count: int, log: list[str], more: threading.Event | None = None) -> Generator[int, None, None]:
    """Answers 0, 1, …, and a note of each, and of the end."""
    try:
        for number in range(count):
            log.append(f"answer {number}")
            if more is not None and number == 1:
                more.set()
            yield number
    finally:
        log.append("end")


def test_the_next_answer_is_made_while_one_is_used():
    next_is_there, log = threading.Event(), list[str]()

    def use(answer: int) -> int:
        assert next_is_there.wait(60)  # made by the thread that asks for what is used
        return answer * 10

    assert list(answered(given(5, log, next_is_there), use)) == [0, 10, 20, 30, 40]
    assert list(answered(given(0, log), use)) == []


def test_what_goes_wrong_with_an_answer_is_told_and_ends_all():
    log, threads = list[str](), threading.active_count()

    def use(answer: int) -> int:
        if answer == 2:
            raise OSError("disk full")
        return answer

    with pytest.raises(OSError, match="disk full"):
        list(answered(given(100, log), use))
    assert log[-1] == "end" and len(log) <= 6 and threading.active_count() == threads


def test_who_stops_early_ends_all():
    """As a map does whose cell is asked to stop: networks, what uses their answers, and what samples ahead."""
    log, sampled, threads = list[str](), list[int](), threading.active_count()

    def answers() -> Generator[int, None, None]:
        for part in sampled_ahead(pd.DataFrame({"x": range(100)}), lambda part: sampled.append(len(part)) or part, size=1):
            log.append("answer")
            yield len(part)

    with pytest.raises(KeyboardInterrupt):
        for _ in answered(answers(), lambda answer: answer):
            raise KeyboardInterrupt
    assert len(log) <= 3 and len(sampled) <= 5 and threading.active_count() == threads
