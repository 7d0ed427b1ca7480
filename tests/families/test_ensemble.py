"""What all maps by several networks share."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

from cratermill.families.ensemble import sampled_ahead


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
