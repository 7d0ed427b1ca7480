"""Which samples are tested on, validate, train, or are not used."""

from __future__ import annotations

import numpy as np
import pytest

from cratermill.config import HoldOut
from cratermill.core.errors import InputError
from cratermill.samples.hold_outs import TEST, TV, UNUSED, VALIDATES, Ways, by_name, held_out


def test_tiles_of_the_ground_of_those_that_validate_train_nothing():
    ways = Ways("tile", names=by_name(["a", "b", "c", "d", "e"], "tile"), validates=True)
    sides = held_out(HoldOut(names=["a"], validation=["b"]), ways, np.array([0, 1, 1, 2, 0]))
    assert sides.tolist() == [TEST, VALIDATES, UNUSED, TV, UNUSED]


def test_where_samples_cannot_be_named_to_validate_it_is_said():
    with pytest.raises(InputError, match="validation .* for chips\nValid: tiles of crater_unet and crater_detector"):
        held_out(HoldOut(names=["a"], validation=["b"]), Ways("chip", names=by_name(["a", "b", "c"], "chip")), np.arange(3))
