"""Patterns of ejecta that are known in closed form: radii, areas, directions, colours; anywhere on the globe."""

import numpy as np
import pandas as pd
import pytest

from cratermill.analysis import masks
from cratermill.analysis.map_tables import band_names, each_crater, frames
from cratermill.analysis.mapped_craters import read_craters
from cratermill.analysis.masks import MaskSet
from cratermill.analysis.pattern import blanket_radius, pixels_within, ring_share, sector_of
from cratermill.analysis.plane import Crater, Place
from cratermill.core.errors import InputError
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Window, pixel_areas_m2
from cratermill.geo.mosaic import Mosaic
from cratermill.synthetic import synthesise
from cratermill.synthetic.ejecta import Ejecta
from cratermill.synthetic.parameters import Parameters
from cratermill.synthetic.planet_folder import PlanetFolder
from cratermill.synthetic.render import Planet
from tests.analysis import cases


def tables(folder, name="masks", min_size=20):
    """Both tables by FID, of a folder of masks."""
    with Mosaic.open(folder / "mosaics" / "cylindrical_mosaic.tif") as mosaic:
        found = MaskSet.of(folder / name, mosaic.grid)
        craters = read_craters(next((folder / "ejc_data").glob("fresh_craters.*")), mosaic.grid.body, found.files)
        both = frames(each_crater(found, craters, mosaic, band_names(mosaic), min_size))
    return [table.set_index("crat_FID") for table in both]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return cases.write_world(tmp_path_factory.mktemp("it's a world"), names=("PC1", "PC 2"))


@pytest.fixture(scope="module")
def found(world):
    return tables(world)


def test_memory_of_masks_is_bounded_and_windows_are_those_of_the_file(world, monkeypatch):
    """However many masks there are; read whole or window by window, at any column and across the seam."""
    pixels = {fid: cases.read(world / "masks" / f"mask_crater_{fid}.tif")[0] > 0 for fid in cases.CRATERS}
    monkeypatch.setattr(masks, "KEEP_BYTES", 2 * cases.SHAPE[0] * cases.SHAPE[1] // 8)
    for most_px in (masks.MOST_PX, 0):
        monkeypatch.setattr(masks, "MOST_PX", most_px)
        monkeypatch.setattr(masks, "MOST_OPEN", 2)
        found = MaskSet.of(world / "masks", cases.grid()).all()
        for window in (Window(3, 13, 200, 301), Window(100, 950, 350, 21), Window(0, -7, 480, 960)):
            for mask in found:
                cols = np.arange(window.col, window.stop_col) % cases.SHAPE[1]
                assert np.array_equal(mask.read(window), pixels[mask.fid][window.row : window.stop_row, cols])
        reader = found[0].reader
        assert len(reader.bits) == (2 if most_px else 0) and len(reader.files) == 2
        reader.make_room()
        found[-1].read(Window(0, 0, 5, 5))
        reader.make_room()
        assert {*reader.bits, *reader.files} <= {found[-1].path}


@pytest.mark.parametrize("fid", [1, 4, 7, 9])
def test_a_disc_and_a_ray_come_back_anywhere(found, fid):
    row, (_, _, radius_m) = found[0].loc[fid], cases.CRATERS[fid]
    pixel = cases.grid().resolution_m
    assert row["radius"] == pytest.approx(radius_m / pixel) and row["radius_m"] == pytest.approx(radius_m)
    # The first ring that isn't more than half covered: the disc's edge, within a ring.
    assert row["blanket_radius_m"] == pytest.approx(3 * radius_m, abs=4.5 * pixel)
    assert row["max_distance_m"] == pytest.approx(10 * radius_m, abs=1.5 * pixel)
    on_sphere = [2 * np.pi * 1e12 * (1 - np.cos(at * radius_m / 1e6)) / 1e6 for at in (1, 3, 10)]
    assert row["area_km2"] == pytest.approx(on_sphere[1] - on_sphere[0] + (on_sphere[2] - on_sphere[1]) * 24 / 360, rel=0.03)
    assert row["area"] == row["blanket_area"] + row["rays_area"] == row[[f"area_sect{number}" for number in range(8)]].sum()
    # East-north-east is −67.5° where west is positive: sector 2 (−90° … −45°).
    assert row["ray_sect2"] > 0.7 * row["rays_area"] and row["distmax_sect2"] == row["max_distance"]
    assert row["ray_bar_x"] > row["ray_bar_y"] > 0
    for share, name in ((0.25, "distance_25"), (0.5, "distance_50"), (0.99, "distance_99")):
        assert row[name] <= row["max_distance"] and row[name] > share * row["radius"]


def test_no_ejecta_gives_a_row_of_zeros(found):
    for table in found:
        row = table.loc[12]
        assert row["invalid"] and row["radius"] > 0
        assert not row.drop(["invalid", "radius", "radius_m", "lon", "lat"]).astype(float).any()


def test_overlaps_are_taken_out_and_make_craters_invalid(found, world):
    overlaps, clean = found
    on = cases.grid()
    masks = {fid: cases.read(world / "masks" / f"mask_crater_{fid}.tif")[0] > 0 for fid in (1, 4)}
    shared_km2 = (masks[1] & masks[4]).sum(1) @ pixel_areas_m2(on) / 1e6
    lost = overlaps["area_km2"] - clean["area_km2"]
    assert lost[1] == pytest.approx(shared_km2, rel=0.05) and lost[4] == pytest.approx(shared_km2, rel=0.05) and lost[7] == lost[9] == 0
    assert (overlaps["blanket_radius"] == clean["blanket_radius"]).all()
    kept = clean["blanket_area"] / overlaps["blanket_area"]
    assert ((kept < 0.8) == overlaps["invalid"])[[1, 4, 7, 9]].all() and overlaps["invalid"].equals(clean["invalid"])
    assert overlaps["invalid"][4]


def test_bands_are_means_of_the_mosaic_under_its_own_names(found, world):
    image, on = cases.read(world / "mosaics" / "cylindrical_mosaic.tif"), cases.grid()
    azimuth, distance = cases.polar(on, *cases.CRATERS[7])
    mask = cases.disc_and_ray(azimuth, distance)
    edge = found[0].loc[7, "blanket_radius_m"] / cases.CRATERS[7][2]
    # Pixels of the mosaic are smaller in high latitudes: their ground counts.
    weight = pixel_areas_m2(on)[:, None] * np.ones(on.width)
    for part, here in (("blanket", (distance >= 1) & (distance <= edge)), ("ray", distance > edge)):
        for band, name in enumerate(("PC1", "PC 2")):
            wanted = np.average(image[band][mask & here], weights=weight[mask & here])
            assert found[0].loc[7, f"{part}_{name}"] == pytest.approx(wanted, abs=0.5)


@pytest.mark.parametrize("first_lon", [-60.0])
def test_rolling_the_planet_changes_no_number(found, tmp_path, first_lon):
    rolled = tables(cases.write_world(tmp_path, first_lon, names=("PC1", "PC 2")))
    for one, other in zip(found, rolled, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-6, atol=1e-4)


def test_on_an_ellipsoid_areas_are_those_of_the_ground(tmp_path):
    body = Body("flat", 1_000_000.0, 990_000.0)
    folder = cases.write_world(tmp_path, body=body, fids=(9,))
    overlaps, _ = tables(folder, min_size=0)
    areas = pixel_areas_m2(cases.grid(body=body))
    for fid in (9,):
        mask = cases.read(folder / "masks" / f"mask_crater_{fid}.tif")[0] > 0
        outside = cases.polar(cases.grid(body=body), *cases.CRATERS[fid])[1] >= 1
        assert overlaps.loc[fid, "area_km2"] == pytest.approx((mask & outside).sum(1) @ areas / 1e6, rel=0.015)


def test_blanket_search_goes_outwards_then_inwards():
    grid = np.arange(-200, 200) + 0.5
    everywhere = np.hypot(grid[:, None], grid[None]).ravel()

    def of(inside):
        return np.sort(everywhere[inside(everywhere)]).astype(np.float32)

    assert blanket_radius(of(lambda d: d < 80), 10, 200) == 80  # 40, 44, … 76 hold more than half, 80 doesn't
    assert blanket_radius(of(lambda d: d < 30), 10, 200) == 28
    assert blanket_radius(of(lambda d: d < 1), 10, 200) == 0
    assert blanket_radius(of(lambda d: d < 1e9), 10, 61) == 64  # nothing is looked for beyond the ejecta's own square
    assert ring_share(of(lambda d: d < 40), 40) == pytest.approx(0.5, abs=0.03)
    for radius in (0.3, 0.8, 2.5, 33.3):
        assert pixels_within(radius) == (everywhere < radius).sum()


def test_sectors_begin_in_the_south_and_west_is_positive():
    east, north = np.array([0.1, 1, 1, 0.1, -0.1, -1, -1, -0.1]), np.array([-1, -0.1, 0.1, 1, 1, 0.1, -0.1, -1])
    assert sector_of(east, north).tolist() == list(range(8))
    assert sector_of(np.array([0.0]), np.array([-1.0])).tolist() in ([0], [7])


def test_a_rim_polygon_is_taken_out_instead_of_a_circle(world):
    import shapely

    square = shapely.box(-50e3, -20e3, 50e3, 20e3)
    crater = Crater(1, 20.0, 10.0, 30e3, square)
    east, north = np.array([45e3, 0.0, 25e3]), np.array([0.0, 25e3, 15e3])
    assert crater.inside_rim(east, north, np.hypot(east, north)).tolist() == [True, False, True]
    assert Place(crater, cases.grid()).middle * 2 + 1 == Place(crater, cases.grid()).grid.height


def test_synthetic_planets_give_the_radii_and_areas_they_were_made_with(tmp_path):
    options = {"shape": (384, 768), "seed": 5, "n_fresh": 4, "bands": 1, "fresh_radius_min": 0.05, "fresh_radius_max": 0.09}
    synthesise(tmp_path / "planet", **options, workers=1)
    overlaps, _ = tables(tmp_path / "planet", "truth", min_size=0)
    planet, folder = Planet(Parameters(**options)), PlanetFolder(tmp_path / "planet")
    areas = pixel_areas_m2(Mosaic.open(folder.mosaic).grid)
    for ejecta in planet.fresh:
        row, radius_px = overlaps.loc[ejecta.crater.fid], overlaps.loc[ejecta.crater.fid, "radius"]
        with Mosaic.open(folder.truth_mask(ejecta.crater.fid)) as mask:
            first = Mosaic.open(folder.mosaic).grid.window_of(mask.grid, "mask").row
        pixels = cases.read(folder.truth_mask(ejecta.crater.fid))[0]
        assert row["area_km2"] == pytest.approx((pixels > 0).sum(1) @ areas[first : first + len(pixels)] / 1e6, rel=0.02)
        # Without rays the ring that is half covered lies at the median of the blanket's edge; rays and frays move it by less than a radius.
        plain = np.median(Ejecta(ejecta.crater, rays=False).edge)
        assert row["blanket_radius"] / radius_px == pytest.approx(plain, abs=0.9)
        assert row["max_distance_m"] <= ejecta.reach_angle * 2_439_400 * 1.01


def test_masks_that_cannot_be_used_are_named(world, tmp_path):
    grid = cases.grid()
    with pytest.raises(InputError, match="holds no masks"):
        MaskSet.of(tmp_path, grid)
    with pytest.raises(InputError, match="there is no folder"):
        MaskSet.of(tmp_path / "nowhere", grid)
    shifted = type(grid)(grid.crs, grid.affine @ grid.affine.translation(0.4, 0), grid.shape)
    cases.write_mask(tmp_path / "mask_crater_1.tif", np.ones(cases.SHAPE, bool), shifted)
    with pytest.raises(InputError, match="starting at row 0.00, column 0.40"):
        MaskSet.of(tmp_path, grid).all()
    other = cases.grid(body=Body("other", 2e6, 2e6))
    with pytest.raises(InputError, match="another ellipsoid"):
        MaskSet.of(world / "masks", other).all()
    with pytest.raises(InputError, match=r"lacks the crater\(s\) 77"):
        read_craters(world / "ejc_data" / "fresh_craters.csv", cases.BODY, [1, 77])
