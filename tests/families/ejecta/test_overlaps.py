"""Extents and overlaps on hand-made masks."""

import numpy as np
import pytest

from cratermill.families.ejecta import overlaps as module
from cratermill.families.ejecta.blend import Layer
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Window

BODIES = [Body("sphere", 2439400.0, 2439400.0), Body("oblate", 3396190.0, 3376200.0)]


def test_overlaps_owned_and_clean_areas_add_up():
    areas = np.array([1e6, 2e6, 3e6])
    masks = np.zeros((3, 3, 4), bool)
    masks[0, :, :2], masks[1, 1:, 1:3], masks[2, 2, 3] = True, True, True
    owner = np.where(masks[0], 3, np.where(masks[1], 5, np.where(masks[2], 9, -1)))
    overlaps = module.Overlaps()
    windows = [Window(0, 0, 3, 2), Window(1, 1, 2, 2), Window(2, 3, 1, 1)]
    layers = [Layer(fid, w, mask[w.slices], mask[w.slices]) for fid, w, mask in zip([3, 5, 9], windows, masks, strict=True)]
    overlaps.add(layers, owner, areas)
    facts = [
        {"crat_FID": fid, "lon": 0.0, "lat": 0.0, "radius_m": 100.0, "tiles": 4, "connected": 1}
        | {"mean_extent_m": 50.0, "max_extent_m": 200.0}
        | {"area_km2": float(mask.sum(1) @ areas) / 1e6}
        for fid, mask in zip([3, 5, 9], masks, strict=True)
    ]
    pairs = module.overlap_table(facts, overlaps)
    assert pairs.to_dict("records") == [{"FID_a": 3, "FID_b": 5, "overlap_km2": 5.0, "share_of_a": 5 / 12, "share_of_b": 0.5}]
    craters = module.crater_table(facts[::-1], overlaps)
    assert craters["crat_FID"].tolist() == [3, 5, 9]
    assert craters["area_km2"].tolist() == [12.0, 10.0, 3.0] and craters["owned_km2"].tolist() == [12.0, 5.0, 3.0]
    assert craters["shared_fraction"].tolist() == [5 / 12, 0.5, 0.0] and craters["max_extent_radii"].tolist() == [2.0] * 3
    assert craters["owned_km2"].sum() == pytest.approx((masks.any(axis=0).sum(axis=1) @ areas) / 1e6)  # no pixel twice, none lost
