"""What maps of chips are made of."""

from __future__ import annotations

import numpy as np
import pytest

from cratermill.families.chips_common.mapping import map_cells
from cratermill.pipeline.load_config import parse_config
from cratermill.training.checkpoint import Checkpoint

from .case import SGAN, write_planet

ROW = {name: value for name, value in SGAN.items() if name != "OPT_Adam_betas"}


@pytest.mark.parametrize(("first", "other"), [({}, {"bands": ["b1 * 2"]}), ({"bands": ["b1 / 2"]}, {"bands": ["b1 * 2"]})])
def test_a_map_in_other_bands_is_another_map(tmp_path, first, other):
    """Also where the bands are those of the whole configuration, and not the map's own."""
    write_planet(tmp_path)
    path = tmp_path / "results" / "sgan_results" / "version_1" / "best-checkpoint_test-set-0_iteration-0.ckpt"
    Checkpoint("sgan", 1, 0, 0, 0, ROW, np.array([[0.0], [1.0]]), {}).save(path)

    def cells(keys):
        content = {"name": "x", "data": "data", "map": {"versions": {"sgan": 1}, "mosaic": "mosaic.tif"}}
        return map_cells(parse_config(content | keys, tmp_path), "sgan")

    assert cells(first) == cells(first)
    assert cells(first) != cells(other)
    assert cells({}) == cells({"bands": [1]}), "as it was before bands left a mark"
