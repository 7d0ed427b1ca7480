"""Crops: true shape, the same across the seam, from strips or blocks, any selection; stacks that go on where they stopped."""

from __future__ import annotations

import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from cratermill.core.errors import InputError
from cratermill.families import family_data, get_family
from cratermill.families.autoencoder.light import flip_shadows, light
from cratermill.families.autoencoder.prepare import cut_in_chunks, stack_of
from cratermill.families.autoencoder.sources import catalogue_craters
from cratermill.geo.bodies import Body
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import wanted_rows
from cratermill.samples import crops as cutting
from cratermill.samples import store
from cratermill.samples.crops import Cutter, Geometry, from_centres
from tests.families.autoencoder.case import BODY, CRATERS, ROWS, catalogue, project, write_mosaic

prepare = get_family("autoencoder").prepare


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    return write_mosaic(tmp_path_factory.mktemp("crops") / "mosaic.tif", catalogue())


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"FID": 1, "lon": 0.0, "lat": 0.0, "radius_m": 100e3, **columns}, index=range(len(next(iter(columns.values())))))


@given(lon=st.floats(-180, 180), lat=st.floats(-84, 84), radius_m=st.floats(2e4, 1e5))
@settings(max_examples=40, deadline=None)
def test_pixels_lie_where_the_projection_says(mosaic_grid, lon, lat, radius_m):
    """Positions between the nodes against the exact projection, pixel by pixel."""
    grid, geometry = mosaic_grid.grid, Geometry(16)
    assume(abs(lat) + np.degrees(1.5 * geometry.half_m(radius_m) / BODY.semi_major_m) < cutting.POLE_DEG)  # others are sampled exactly
    craters = table(lon=[lon], lat=[lat], radius_m=[radius_m])
    places = mosaic_grid._places(craters)
    weights = cutting._weights(16)
    rows, cols = (weights @ nodes[0] @ weights.T for nodes in (places.rows, places.cols))
    at = (2 * np.arange(16) + 1) / 16 - 1
    half = geometry.half_m(radius_m)
    exact = from_centres(grid.body, lon, lat, half * at[None, :], -half * at[:, None])
    back = grid.body.distance_m(*grid.lonlat(rows + places.windows[0, 0], cols + places.windows[0, 1]), *exact)
    assert back.max() < 0.02 * grid.resolution_m


@pytest.fixture(scope="module")
def mosaic_grid(mosaic):
    return Cutter(Mosaic.open(mosaic), Geometry(16))


@given(lon=st.floats(-180, 180), lat=st.floats(-80, 80), east=st.floats(-2e5, 2e5), north=st.floats(-2e5, 2e5))
@settings(max_examples=40, deadline=None)
def test_sphere_and_ellipsoid_agree_where_they_are_the_same(lon, lat, east, north):
    nearly = Body("nearly", BODY.semi_major_m, BODY.semi_major_m * (1 - 1e-6), "test")
    first, second = (from_centres(body, lon, lat, east, north) for body in (BODY, nearly))
    assert BODY.distance_m(*first, *second) < 5


def test_craters_are_round_at_any_latitude_and_legacy_ones_are_not_near_the_pole(tmp_path):
    craters = pd.DataFrame({"LON_CIRC_IMG": [10.0, 100.0], "LAT_CIRC_IMG": [0.0, 81.0], "DIAM_CIRC_IMG": [300.0, 300.0]})
    path = write_mosaic(tmp_path / "m.tif", craters)
    wanted = table(lon=[10.0, 100.0], lat=[0.0, 81.0], radius_m=[150e3, 150e3])
    at = (2 * np.arange(60) + 1) / 60 - 1
    inside = np.hypot(at[:, None], at[None, :]) * 1.5 < 1
    off = {}
    for projection in ("azimuthal", "legacy"):
        with Mosaic.open(path) as mosaic:
            crops = Cutter(mosaic, Geometry(60, 1.5, projection)).cut(wanted)
        wall = np.abs(crops.astype(int) - 110) > 35
        off[projection] = [(mask != inside).mean() for mask in wall]
    assert max(off["azimuthal"]) < 0.05 and off["legacy"][1] > 2 * off["azimuthal"][1], off


def test_rolling_the_mosaic_changes_no_crop(tmp_path):
    craters = catalogue(12, seed=4)
    shifted = craters.assign(LON_CIRC_IMG=craters["LON_CIRC_IMG"] + 90)
    plain, rolled = write_mosaic(tmp_path / "a.tif", craters), write_mosaic(tmp_path / "b.tif", craters, roll=90)
    crops = []
    for path, lon in ((plain, craters["LON_CIRC_IMG"]), (rolled, shifted["LON_CIRC_IMG"])):
        with Mosaic.open(path) as mosaic:
            crops.append(
                Cutter(mosaic, Geometry(32)).cut(table(lon=lon, lat=craters["LAT_CIRC_IMG"], radius_m=craters["DIAM_CIRC_IMG"] * 500))
            )
    assert np.abs(crops[0].astype(int) - crops[1]).max() <= 1


def test_order_and_layout_of_the_file_change_nothing(tmp_path, mosaic):
    craters = catalogue()
    tiled = write_mosaic(tmp_path / "tiled.tif", craters, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    wanted = table(lon=craters["LON_CIRC_IMG"], lat=craters["LAT_CIRC_IMG"], radius_m=craters["DIAM_CIRC_IMG"] * 500)
    with Mosaic.open(mosaic) as strips, Mosaic.open(tiled) as blocks:
        cutter = Cutter(strips, Geometry(32))
        plain, order = cutter.cut(wanted), cutter.order(wanted)
        assert np.array_equal(plain[order], cutter.cut(wanted.iloc[order]))
        assert np.array_equal(plain, Cutter(blocks, Geometry(32)).cut(wanted))


def test_a_crop_is_the_same_alone_and_among_others_on_a_wide_mosaic(tmp_path):
    """Wider than OpenCV resamples in one piece, with craters that need averaging between ones that don't."""
    path, (height, width), rng = tmp_path / "belt.tif", (300, 70_000), np.random.default_rng(2)
    pixel = 2 * np.pi * BODY.semi_major_m / width
    affine = Affine(pixel, 0, -pixel * width / 2, 0, -pixel, pixel * height / 2)
    kind = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", **kind, crs=BODY.cylindrical_crs().to_wkt(), transform=affine) as file:
        file.write(rng.integers(0, 255, (1, height, width), np.uint8))
    lon, lat = np.concatenate([rng.uniform(-180, 180, 57), [179.95, -179.98, 179.99]]), rng.uniform(-0.4, 0.4, 60)
    wanted = table(lon=lon, lat=lat, radius_m=np.where(rng.random(60) < 0.3, 40, 8) * pixel)
    with Mosaic.open(path) as mosaic:
        cutter = Cutter(mosaic, Geometry(32))
        together = cutter.cut(wanted)
        assert len(np.unique(cutter._places(wanted).shrink)) == 2
        assert all(np.array_equal(cutter.cut(wanted.iloc[[number]])[0], together[number]) for number in range(60))


@pytest.mark.parametrize("projection", ["azimuthal", "legacy"])
def test_large_craters_are_averaged_and_not_thinned_out(tmp_path, projection):
    """A wall that is bright on the left, in a mosaic four times finer than the crop, with noise that averaging must take away."""
    craters = pd.DataFrame({"LON_CIRC_IMG": [30.0], "LAT_CIRC_IMG": [5.0], "DIAM_CIRC_IMG": [2000.0]})
    path = write_mosaic(tmp_path / "m.tif", craters)
    with Mosaic.open(path) as mosaic:
        geometry = Geometry(24, 1.2, projection)
        assert geometry.upsampling(1e6, mosaic.grid.resolution_m) < 1 / 3
        crop = Cutter(mosaic, geometry).cut(table(lon=[30.0], lat=[5.0], radius_m=[1e6]))[0]
    assert crop[8:16, 5:10].mean() > 170 and crop[8:16, 14:19].mean() < 50
    assert crop[8:16, 5:10].std() < 3


def test_a_crop_over_the_pole_is_whole(mosaic):
    with Mosaic.open(mosaic) as opened:
        crop = Cutter(opened, Geometry(32)).cut(table(lat=[89.5]))[0]
    assert 100 < crop.mean() < 120 and crop.min() > 60


def test_shadows_come_to_the_right_and_the_light_is_measured():
    crops = np.full((2, 40, 40), 100, np.uint8)
    crops[0, :, 10:20], crops[1, :, 20:30] = 180, 180
    assert flip_shadows(crops).tolist() == [False, True]
    assert np.array_equal(crops[0], crops[1])
    found = light(np.stack([crops[0], np.rot90(crops[0], -1), np.rot90(crops[0], 2)]), 1.5)
    assert np.allclose(found["light_deg"], [-90, 0, 90], atol=1) and np.allclose(found["brightness"], crops[0].mean(), atol=0.5)


def rows_of(config):
    return wanted_rows(config)["autoencoder"]


@pytest.fixture
def small(tmp_path):
    return load_config(project(tmp_path / "it's small"))


def test_crops_are_made_once_and_say_where_they_are_from(small, monkeypatch):
    row = rows_of(small)[0]
    monkeypatch.setattr(store, "CHUNK_BYTES", 32 * 32 * 7)
    assert prepare(small, [row], lambda *_: None)["made"] == [f"crops {row.crop_view}"]
    assert prepare(small, [row], lambda *_: None)["made"] == []
    made = stack_of(small, row)
    rows, images = made.rows(), made.array("image")
    assert images.shape == (CRATERS, 32, 32) and images.dtype == np.uint8
    assert rows["lon"].between(-180, 180).all() and rows["id"].str.startswith("01-1-").all()
    by_id = catalogue().set_index("CRATER_ID").loc[rows["id"]]
    assert np.allclose(rows["radius_m"], by_id["DIAM_CIRC_IMG"] * 500)
    assert np.allclose(rows["upsampling"] * rows["radius_m"] * 3, 32 * np.pi * BODY.semi_major_m / 180)
    assert np.allclose(np.concatenate(list(made.chunks())), images)
    assert (images[:, 8:24, 10:15].mean((1, 2)) > images[:, 8:24, 17:22].mean((1, 2)) + 20).all()


def test_a_stopped_preparation_goes_on(small, monkeypatch):
    row = rows_of(small)[0]
    monkeypatch.setattr(store, "CHUNK_BYTES", 32 * 32 * 10)
    seen = []

    def stop(label, done, count):
        seen.append(done)
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(small, [row], stop)
    assert not stack_of(small, row).exists
    prepare(small, [row], lambda label, done, count: seen.append(done))
    assert seen == [10, 20, 30, 40, 48]
    resumed, digest = np.array(stack_of(small, row).array("image")), stack_of(small, row).digest()
    other = load_config(project(small.root.parent / "other"))
    prepare(other, [row], lambda *_: None)
    assert np.array_equal(resumed, stack_of(other, row).array("image")) and digest == stack_of(other, row).digest()


def test_filters_and_the_warning_of_tiny_craters(tmp_path):
    data = "{catalogue: data/moon/craters.csv, min_diameter_km: 200, max_diameter_km: 350, max_abs_lat: 30, warn_upsampling: 2.5, count: 5}"
    config = load_config(project(tmp_path / "p", data))
    row = rows_of(config)[0]
    warned = prepare(config, [row], lambda *_: None)["warnings"]
    rows = stack_of(config, row).rows()
    assert len(rows) == 5 and rows["radius_m"].between(1e5, 1.75e5).all() and rows["lat"].abs().max() <= 30
    blurred = int((rows["upsampling"] > 2.5).sum())
    assert blurred and f"{blurred} of 5 crops" in warned[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{catalogue: data/moon/craters.csv, min_diameter_km: 900}", "none of the 48 craters .* 48 with diameter < 900"),
        ("{catalogue: data/moon/nowhere.csv}", "crater list is missing"),
        ("{crops: data/moon/nowhere.zip}", "the crops is missing"),
    ],
)
def test_selections_that_leave_nothing_are_refused(tmp_path, data, says):
    config = load_config(project(tmp_path / "p", data))
    with pytest.raises(InputError, match=says):
        prepare(config, rows_of(config), lambda *_: None)


def test_a_catalogue_without_sizes_is_refused_by_name(tmp_path):
    config = load_config(project(tmp_path / "p"))
    catalogue().drop(columns="DIAM_CIRC_IMG").to_csv(config.root / "data" / "moon" / "craters.csv", index=False)
    with pytest.raises(InputError, match="no column for the size"):
        prepare(config, rows_of(config), lambda *_: None)


def test_two_sources_or_none_are_refused(tmp_path):
    for data in ("{}", "{catalogue: a.csv, crops: b.zip}"):
        with pytest.raises(InputError, match="either catalogue"):
            load_config(project(tmp_path / f"p{len(data)}", data))


def ready_made(path, labelled: bool, metadata: bool):
    names = [f"01-1-{number:06d}" for number in range(6)]
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            image = Image.fromarray(rng.integers(0, 255, (50, 50, 3), np.uint8))
            state = f"_{'fresh' if number % 2 else 'old'}" if labelled else ""
            with archive.open(f"crops/{name}{state}.png", "w") as file:
                image.save(file, "PNG")
        if metadata:
            frame = pd.DataFrame({"id": names[::-1], "lat": 10.0, "lon": 20.0, "diam": np.arange(3000, 9000, 1000)[::-1]})
            archive.writestr("metadata.csv", frame.to_csv(index=False))


@pytest.mark.parametrize("metadata", [True, False])
def test_ready_made_crops_are_read_with_what_is_known_of_them(tmp_path, metadata):
    config = load_config(project(tmp_path / "p", "{crops: data/moon/crops.zip, labelled: true, source_m_per_px: 100}", ROWS))
    ready_made(config.root / "data" / "moon" / "crops.zip", True, metadata)
    row = rows_of(config)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(config, [row], lambda *_: None)
    rows = stack_of(config, row).rows()
    assert rows["label"].tolist() == ["old", "fresh"] * 3
    if metadata:
        assert rows["radius_m"].tolist() == [1500.0, 2000, 2500, 3000, 3500, 4000]
        assert np.allclose(rows["upsampling"], 32 * 100 / (3 * rows["radius_m"]))
    else:
        assert rows["lon"].isna().all()


def test_real_crops_are_all_read(real_data, tmp_path):
    data = f"{{crops: '{real_data('lunar_wac_crops.zip')}', source_m_per_px: 100, count: 40}}"
    config = load_config(project(tmp_path / "p", data))
    row = rows_of(config)[0].model_copy(update={"crop_px": 100})
    prepare(config, [row], lambda *_: None)
    rows, images = stack_of(config, row).rows(), stack_of(config, row).array("image")
    assert images.shape == (40, 100, 100) and rows["radius_m"].between(1500, 5000).all()
    # They were flipped when they were made: almost none has to be again.
    assert rows["flipped"].mean() < 0.1


def rows_of_list(config, cutter):
    options = family_data(config, "autoencoder")
    return catalogue_craters(config.path(options.catalogue), cutter, options, options, 0)[0]


def test_crops_where_the_mosaic_has_no_data_are_left_out_and_counted(small, monkeypatch):
    path, row = small.mosaic, rows_of(small)[0]
    with rasterio.open(path, "r+") as file:
        pixels = file.read()
        pixels[:, :, :180] = 0
        pixels[:, ::30, 200] = 0  # a dark pixel here and there is none that is missing
        file.write(pixels)
    monkeypatch.setattr(store, "CHUNK_BYTES", 32 * 32 * 7)
    warned = prepare(small, [row], lambda *_: None)["warnings"]
    made = stack_of(small, row)
    rows, images = made.rows(), made.array("image")
    assert 10 < len(rows) < CRATERS - 10 and rows["lon"].min() > 0 and rows["missing"].max() <= 0.05
    assert len(images) == len(rows) and images.max((1, 2)).min() > 100
    assert np.array_equal(np.concatenate(list(made.chunks())), images)
    with Mosaic.open(path) as mosaic:
        cutter = Cutter(mosaic, Geometry(32))
        listed = rows_of_list(small, cutter)
        mapped = [piece for piece, _ in cut_in_chunks(cutter, listed, row)]
    assert len(listed) == CRATERS and sorted(pd.concat(mapped)["FID"]) == sorted(rows["FID"])
    assert f"{CRATERS - len(rows)} of {CRATERS} crops lie for more than 5% where the mosaic has no data" in warned[-1]


def test_a_mosaic_without_data_around_the_craters_is_refused(small):
    with rasterio.open(small.mosaic, "r+") as file:
        file.write(np.zeros_like(file.read()))
    with pytest.raises(InputError, match="lies where the mosaic has data"):
        prepare(small, [rows_of(small)[0]], lambda *_: None)


def pictures(tmp_path, data="{crops: crops}", count=6):
    """A project of ready-made crops in a subfolder of ``crops``; its config."""
    config = load_config(project(tmp_path / "p", data))
    (config.root / "crops" / "a").mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full((32, 32), 40 + number, np.uint8)).save(config.root / "crops" / "a" / f"c{number}.png")
    return config


def rows_made(config) -> pd.DataFrame:
    row = rows_of(config)[0]
    prepare(config, [row], lambda *_: None)
    return stack_of(config, row).rows()


def test_a_picture_changed_inside_a_folder_is_noticed(tmp_path):
    config = pictures(tmp_path)
    before = rows_made(config)["brightness"]
    Image.fromarray(np.full((32, 32), 200, np.uint8)).save(config.root / "crops" / "a" / "c3.png")
    assert rows_made(config)["brightness"].tolist() == [*before[:3], 200, *before[4:]]


def test_so_many_ready_made_crops_are_taken_as_asked_for(tmp_path):
    assert len(rows_made(pictures(tmp_path, "{crops: crops, count: 4}"))) == 4


def test_pictures_beyond_bytes_and_damaged_ones_are_named(tmp_path):
    config = pictures(tmp_path)
    path = config.root / "crops" / "a" / "c1.png"
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 40).save(path)
    with pytest.raises(InputError, match=r"a/c1\.png holds values from 0 to 40920"):
        rows_made(config)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400), np.uint8)).save(path)
    content = path.read_bytes()
    at = content.index(b"IDAT", content.index(b"IDAT") + 4)
    path.write_bytes(content[:at] + b"\0\1\2\3" + content[at + 4 :])
    with pytest.raises(InputError, match=r"a/c1\.png can't be read"):
        rows_made(config)


def test_unknown_places_and_other_separators_in_the_metadata_are_no_trouble(tmp_path):
    config = pictures(tmp_path)
    frame = pd.DataFrame({"id": [f"c{number}" for number in range(6)], "lon": 20.0, "lat": 10.0, "diam": 1800.0})
    frame.loc[0, ["lon", "lat", "diam"]] = np.nan
    frame.to_csv(config.root / "crops" / "metadata.csv", index=False, sep=";")
    rows = rows_made(config)
    assert rows["lon"].isna().tolist() == [True] + [False] * 5 and rows["radius_m"][1:].tolist() == [900.0] * 5


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("c0,20,10,3000\nc0,21,10,3000\n", "has several rows of the id c0, which differ"),
        ("C0,20,10,3000\nc01,20,10,3000\n", "holds no id of a picture: C0, c01; the pictures are c0, c1, c2"),
        ("c0,20,10,3.5\nc1,20,10,4.5\n", "diam names no unit. Metres are expected, these look like km"),
        ("c0,20,10,3000\nc0,20,10,3000\n", None),
    ],
)
def test_metadata_that_say_the_wrong_of_crops_are_refused(tmp_path, capsys, rows, part):
    config = pictures(tmp_path)
    (config.root / "crops" / "metadata.csv").write_text(f"id,lon,lat,diam\n{rows}")
    if part is None:
        assert rows_made(config)["lon"].notna().sum() == 1
        assert "says nothing of the places of 5 of 6 pictures, such as c1" in capsys.readouterr().err
        return
    with pytest.raises(InputError) as caught:
        rows_made(config)
    assert part in str(caught.value)


def test_wrong_metadata_are_named_as_the_user_knows_them(tmp_path):
    config = pictures(tmp_path)
    table = config.root / "crops" / "metadata.csv"
    table.write_text("id,lon,lat,diam\nc0,,,\nc1,20,100,3000\n")
    with pytest.raises(InputError) as error:
        rows_made(config)
    assert error.value.given.startswith(f"{table}, row 2: lat is")
