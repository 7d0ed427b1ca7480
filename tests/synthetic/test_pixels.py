import numpy as np
import pytest

from cratermill.geo.bodies import get_body
from cratermill.synthetic.make import planet_grid
from cratermill.synthetic.pixels import Block, around, cut, windows_of

SHAPE = (180, 360)


def _distances(lon, lat) -> np.ndarray:
    block = Block(0, 0, *SHAPE, SHAPE)
    east, north, up = around(block, lon, lat)
    return np.arctan2(np.hypot(east, north), up)


def test_frame_agrees_with_geodesics():
    sphere = get_body("moon")
    grid = planet_grid(sphere, SHAPE)
    lon, lat = grid.lonlat(*np.indices(SHAPE))
    for centre in ((10.0, 20.0), (179.9, -60.0), (-40.0, 89.5)):
        expected = sphere.distance_m(*centre, lon, lat) / sphere.mean_radius_m
        assert np.abs(_distances(*np.radians(centre)) - expected).max() < 3e-6


@pytest.mark.parametrize(
    ("lon", "lat", "reach"), [(0, 0, 5), (179, 10, 8), (-179.6, -30, 3), (50, 86, 6), (0, -90, 4), (20, 60, 80), (-90, 45, 44.5)]
)
def test_window_holds_all_pixels_in_reach_and_few_others(lon, lat, reach):
    lon, lat, reach = np.radians([lon, lat, reach])
    window = windows_of(np.array([lon]), np.array([lat]), np.array([reach]), SHAPE)[0]
    whole = Block(0, 0, *SHAPE, SHAPE)
    covered = np.zeros(SHAPE, bool)
    for part in whole.overlap(tuple(window)):
        covered[part.slices] = True
    inside = _distances(lon, lat) <= reach
    assert covered[inside].all()
    assert covered.sum() <= window[2] * window[3]
    rows = np.flatnonzero(inside.any(axis=1))
    assert window[2] <= np.ptp(rows) + 6


def test_overlap_counts_each_pixel_once_whatever_the_blocks():
    windows = [(20, -30, 50, 90), (100, 340, 30, 60), (0, 0, 40, 360), (5, 359, 3, 2), (60, -4, 10, 4)]
    for window in windows:
        for block_px in ((180, 360), (64, 64), (50, 130)):
            count = np.zeros(SHAPE, int)
            for block in cut(SHAPE, block_px):
                for part in block.overlap(window):
                    count[part.slices] += 1
            assert count.max() == 1 and count.sum() == window[2] * window[3]
