"""Pictures of maps: averages keep transparency, rims break at the seam, colours are where they belong."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cratermill.geo.cog import write_cog
from cratermill.geo.mosaic import Mosaic
from cratermill.report import images, map_pictures
from cratermill.report.palette import CRATERS
from cratermill.report.sheet import TITLE_PX
from tests.families.ejecta import mapping_case as case


def test_reduced_colours_are_weighted_by_opacity(tmp_path):
    grid = case.mosaic_grid()
    rgba = np.zeros((4, *grid.shape), np.uint8)
    rgba[:, 10, 20] = (200, 100, 50, 255)  # one pixel of a block of four
    write_cog(tmp_path / "rgba.tif", rgba, grid)
    reduced = images.reduced_rgba(tmp_path / "rgba.tif", width_px=180)
    np.testing.assert_allclose(reduced[5, 10], np.array([200, 100, 50, 255]) / 255 / 4, atol=1e-6)
    assert np.count_nonzero(reduced[..., 3]) == 1
    shown = images.overlaid(np.full((*reduced.shape[:2], 3), 0.4), reduced, 1.0)
    np.testing.assert_allclose(shown[5, 10], 0.4 * 0.75 + np.array([200, 100, 50]) / 255 / 4, atol=1e-6)


def test_rims_are_circles_on_the_ground_and_break_at_the_seam():
    grid = case.mosaic_grid()
    table = pd.DataFrame({"lon": [10.0, 179.5], "lat": [-20.0, 40.0], "radius_m": [30e3, 60e3]})
    whole, (rows, cols) = map_pictures.rims(grid, table)
    assert np.isfinite(whole).all()
    assert np.isnan(cols).sum() == 2 and np.nanmin(cols) < 5 and np.nanmax(cols) > 355
    lon, lat = grid.lonlat(rows[np.isfinite(rows)], cols[np.isfinite(cols)])
    np.testing.assert_allclose(case.BODY.distance_m(179.5, 40.0, lon, lat), 60e3, rtol=1e-6)


def test_stretch_ignores_missing_pixels():
    pixels = np.linspace(50, 150, 3 * 400, dtype=np.float32).reshape(3, 20, 20)
    pixels[:, :3] = np.nan
    shown = images.stretched(pixels)
    assert shown.shape == (20, 20, 3) and np.all(shown[:3] == 0) and shown.max() == 1
    assert np.all(images.stretched(np.full((3, 4, 4), np.nan)) == 0)


@pytest.fixture
def scene(tmp_path):
    """A mosaic, one crater's mask, the composite and the table of two craters."""
    grid = case.mosaic_grid()
    case.write_mosaic(tmp_path / "mosaic.tif")
    mask = np.zeros(grid.shape, np.uint8)
    mask[60:80, 110:140] = 1
    write_cog(tmp_path / "mask.tif", mask[60:80, 110:140], grid, window=case.Window(60, 110, 20, 30))
    rgba = mask * np.array([*CRATERS.rgb(4), 255], np.uint8)[:, None, None]
    write_cog(tmp_path / "rgba.tif", rgba, grid)
    table = pd.DataFrame({"crat_FID": [4, 5], "lon": [-55.0, 100.0], "lat": [20.0, 0.0], "radius_m": [3e4, 2e4]})
    table = table.assign(area_km2=[600 * 305.0, 0.0], max_extent_m=[2.9e5, np.nan])
    return grid, tmp_path, table


def test_preview_shows_ejecta_in_their_colour(scene):
    _, folder, table = scene
    with Mosaic.open(folder / "mosaic.tif") as mosaic:
        path = map_pictures.preview(folder / "preview.png", mosaic, folder / "rgba.tif", table)
        again = map_pictures.preview(folder / "again.png", mosaic, folder / "rgba.tif", table)
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert path.read_bytes() == again.read_bytes()
    tinted = picture.max(-1) - picture.min(-1) > 40
    share = tinted.mean() / (600 / 64800)
    assert 0.7 < share < 1.1  # the rest is ticks and rims


def test_the_sheet_shows_craters_with_ejecta_only(scene):
    _, folder, table = scene
    with Mosaic.open(folder / "mosaic.tif") as mosaic:
        path = map_pictures.crater_sheet(folder / "sheet.png", mosaic, {4: folder / "mask.tif"}, table)
        none = map_pictures.crater_sheet(folder / "none.png", mosaic, {}, table[table["area_km2"] == 0])
    assert none is None and not (folder / "none.png").exists()
    picture = np.asarray(Image.open(path)).astype(int)
    assert picture.shape == (map_pictures.PANEL_PX + TITLE_PX, 2 * map_pictures.PANEL_PX, 3)
    mosaic_alone, with_mask = np.split(picture[TITLE_PX:], 2, axis=1)
    share = (abs(with_mask - mosaic_alone).max(-1) > 20).mean()
    half_m = table["max_extent_m"][0] * 1.08
    assert share == pytest.approx(600 * 305e6 / (2 * half_m) ** 2, rel=0.25)
    # The rim, white, around the middle of both.
    rim = map_pictures.PANEL_PX / 2 * (1 + table["radius_m"][0] / half_m)
    column = slice(round(rim) - 3, round(rim) + 3)
    assert all(half[150, column].min(-1).max() > 200 for half in (mosaic_alone, with_mask))
