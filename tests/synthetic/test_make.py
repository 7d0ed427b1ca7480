import os
import shutil
import subprocess

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio

from cratermill.core.errors import CratermillError, InputError, WorkError
from cratermill.core.files import read_json
from cratermill.craters.catalogue import read_catalogue
from cratermill.geo.bodies import body_of_crs, get_body
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from cratermill.synthetic import describe, synthesise
from cratermill.synthetic import make as make_module
from cratermill.synthetic.lists import degradation_state, rim_polygon
from cratermill.synthetic.planet_folder import PlanetFolder

SMALL = {"shape": (64, 128), "seed": 3, "n_fresh": 5}


def _files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _full(path, grid) -> np.ndarray:
    """A mask on a window of the mosaic's grid, as an array of the whole grid."""
    with Mosaic.open(path) as mask:
        window = grid.window_of(mask.grid, path.name)
        full = np.zeros(grid.shape, np.uint8)
        full[window.slices] = mask.read(Window(0, 0, *mask.grid.shape))[0]
    return full


def test_folder_has_the_names_of_the_data_layout(planet_folder):
    names = set(_files(planet_folder.root))
    record = read_json(planet_folder.planet)
    trained = [crater["crat_FID"] for crater in record["fresh_craters"] if crater["train"]]
    expected = {
        "mosaics/cylindrical_mosaic.tif",
        "ejc_data/fresh_craters.gpkg",
        "ejc_data/human_mask.tif",
        "ejc_data/human_positions.csv",
        "catalogue.csv",
        "truth/owner.tif",
        "truth/planet.json",
    }
    expected |= {f"cyl_data/{kind}_crater_{fid}.{ext}" for fid in trained for kind, ext in (("mask", "tif"), ("positions", "csv"))}
    expected |= {f"truth/mask_crater_{fid}.tif" for fid in range(1, 17)}
    assert names == expected and len(trained) == 10


def test_mosaic_is_a_tiled_compressed_raster_on_the_body(planet_folder):
    with rasterio.open(planet_folder.mosaic) as dataset:
        assert (dataset.count, dataset.height, dataset.width, dataset.dtypes[0]) == (3, 256, 512, "uint8")
        assert dataset.compression and dataset.nodata is None
        assert body_of_crs(dataset.crs).same_figure(get_body("mercury"))
        half = np.pi * get_body("mercury").semi_major_m
        assert dataset.bounds == pytest.approx((-half, -half / 2, half, half / 2))
    with Mosaic.open(planet_folder.mosaic, 3) as mosaic:
        assert mosaic.grid.period_px == 512


def test_craters_and_catalogue(planet_folder):
    frame = geopandas.read_file(planet_folder.craters)
    assert list(frame.columns) == ["crat_FID", "center_lon", "center_lat", "radius", "train", "geometry"]
    assert body_of_crs(frame.crs).same_figure(get_body("mercury")) and frame.crs.is_geographic
    assert frame.geometry.is_valid.all() and frame.train.sum() == 10
    radii = frame.radius / get_body("mercury").mean_radius_m
    assert radii.between(0.012, 0.042).all()
    catalogue = pd.read_csv(planet_folder.catalogue)
    assert list(catalogue.columns) == ["lon", "lat", "diameter_km", "fresh", "degradation_state"]
    assert catalogue.fresh.sum() == 16 and catalogue.diameter_km.is_monotonic_decreasing
    assert catalogue.lon.between(-180, 180).all() and catalogue.lat.between(-90, 90).all()
    fresh = catalogue[catalogue.fresh == 1].sort_values("diameter_km").diameter_km.to_numpy()
    assert fresh == pytest.approx(np.sort(frame.radius) * 2 / 1000, abs=1e-3)
    kept = read_catalogue(planet_folder.catalogue, get_body("mercury"))
    assert set(kept.degradation_state) == {1, 2, 3, 4} and (kept.degradation_state[kept.fresh == 1] == 4).all()
    assert degradation_state(np.array([0, 0.12, 0.25, 0.74, 0.75, 1])).tolist() == [1, 1, 2, 3, 4, 4]


def test_masks_are_the_truth_inside_the_crater_s_tiles_and_0_elsewhere(planet_folder):
    with Mosaic.open(planet_folder.mosaic) as mosaic:
        grid = mosaic.grid
    every = pd.read_csv(planet_folder.human_positions)
    assert list(every.columns) == ["pos_index", "x", "y", "height", "width"]
    trained = [crater["crat_FID"] for crater in describe(planet_folder.root)["fresh_craters"] if crater["train"]]
    for fid in trained:
        positions = pd.read_csv(planet_folder.positions(fid))
        assert positions.merge(every).shape == positions.shape  # the same tile under the same pos_index
        inside = np.zeros(grid.shape, bool)
        for _, x, y, height, width in positions.itertuples(index=False):
            inside[y : y + height, x : x + width] = True
        assert np.array_equal(_full(planet_folder.mask(fid), grid), _full(planet_folder.truth_mask(fid), grid) * inside)


def test_human_mask_and_owner_follow_from_the_masks(planet_folder):
    with Mosaic.open(planet_folder.owner) as owner:
        grid, owners = owner.grid, owner.read(Window(0, 0, *owner.grid.shape))[0]
    craters = sorted(describe(planet_folder.root)["fresh_craters"], key=lambda crater: -crater["age"])
    expected = np.zeros(grid.shape, int)
    for crater in craters:
        expected[_full(planet_folder.truth_mask(crater["crat_FID"]), grid) > 0] = crater["crat_FID"]
    assert np.array_equal(owners, expected)
    inside = np.zeros(grid.shape, bool)
    for _, x, y, height, width in pd.read_csv(planet_folder.human_positions).itertuples(index=False):
        inside[y : y + height, x : x + width] = True
    assert np.array_equal(_full(planet_folder.human_mask, grid), (owners > 0) & inside)


def test_record_tells_areas_and_pairs(planet_folder):
    record = describe(str(planet_folder.root))
    with Mosaic.open(planet_folder.owner) as owner:
        grid, owners = owner.grid, owner.read(Window(0, 0, *owner.grid.shape))[0]
    lat = np.radians(grid.lonlat(np.arange(256), 0)[1])
    pixel_km2 = np.cos(lat) * (grid.resolution_m / 1000) ** 2
    for crater in record["fresh_craters"]:
        area = float(((owners == crater["crat_FID"]).sum(axis=1) * pixel_km2).sum())
        assert crater["owned_area_km2"] == pytest.approx(area, rel=1e-3)
        assert crater["ejecta_area_km2"] >= 0.999999 * crater["owned_area_km2"] > 0
    assert 0.01 < record["ejecta_share"] < 0.2
    assert len(record["pairs_with_ejecta_by_distance"]) == 5
    assert record["parameters"]["seed"] == 11


def test_result_depends_on_the_seed_alone(tmp_path):
    synthesise(tmp_path / "a", **SMALL, workers=1)
    synthesise(tmp_path / "b", **SMALL, workers=3, block_px=(33, 47))
    synthesise(tmp_path / "c", **(SMALL | {"seed": 4}))
    first, second, third = (_files(tmp_path / name) for name in "abc")
    differing = {name for name in first if first[name] != second[name]}
    assert differing <= {"ejc_data/fresh_craters.gpkg"}  # GeoPackage keeps the time of writing
    assert geopandas.read_file(tmp_path / "a/ejc_data/fresh_craters.gpkg").equals(
        geopandas.read_file(tmp_path / "b/ejc_data/fresh_craters.gpkg")
    )
    assert first["mosaics/cylindrical_mosaic.tif"] != third["mosaics/cylindrical_mosaic.tif"]


def test_bodies_sizes_and_bands(tmp_path):
    made = synthesise(tmp_path / "vesta", body="vesta", shape=(96, 192), n_fresh=3, bands=1, tile_shape_px=(12, 20))
    assert (made.body.lower(), made.bands, made.fresh) == ("vesta", 1, 3)
    with rasterio.open(tmp_path / "vesta/mosaics/cylindrical_mosaic.tif") as dataset:
        assert dataset.count == 1 and body_of_crs(dataset.crs).same_figure(get_body("vesta"))
    assert set(pd.read_csv(tmp_path / "vesta/ejc_data/human_positions.csv").height) == {12}


def test_no_trained_crater_leaves_empty_tables(tmp_path):
    made = synthesise(tmp_path, **SMALL, train_fraction=0.0)
    assert (made.trained, made.tiles) == (0, 0)
    assert len(pd.read_csv(tmp_path / "ejc_data/human_positions.csv")) == 0
    with rasterio.open(tmp_path / "ejc_data/human_mask.tif") as dataset:
        assert dataset.read().max() == 0


def test_same_planet_again_costs_nothing_and_another_needs_overwrite(tmp_path):
    first = synthesise(tmp_path, **SMALL)
    again = synthesise(tmp_path, **SMALL)
    assert (first.made, again.made) == (True, False) and again.ejecta_share == first.ejecta_share
    other = SMALL | {"seed": 8, "n_fresh": 3}
    with pytest.raises(InputError, match="another planet"):
        synthesise(tmp_path, **other)
    synthesise(tmp_path, **other, overwrite=True)
    assert describe(tmp_path)["parameters"]["seed"] == 8
    assert len(list((tmp_path / "truth").glob("mask_crater_*.tif"))) == 3


def test_a_data_set_of_someone_is_never_replaced(tmp_path):
    paths = PlanetFolder(tmp_path)
    paths.mosaic.parent.mkdir()
    paths.mosaic.write_bytes(b"years of work")
    with pytest.raises(InputError, match="no synthetic planet"):
        synthesise(tmp_path, **SMALL, overwrite=True)
    assert paths.mosaic.read_bytes() == b"years of work"


def test_an_interrupted_planet_is_made_again(tmp_path):
    def stop(what, done, total):
        if what == "owner":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "x", **SMALL, progress=stop)
    with pytest.raises(InputError, match="planet synth"):
        describe(tmp_path / "x")
    assert not [path for path in (tmp_path / "x").rglob("*") if ".tmp" in path.name]
    synthesise(tmp_path / "x", **SMALL)
    synthesise(tmp_path / "y", **SMALL)
    assert set(_files(tmp_path / "x")) == set(_files(tmp_path / "y"))


def test_progress_counts_to_its_end(tmp_path):
    seen = []
    synthesise(tmp_path, **SMALL, progress=lambda what, done, total: seen.append((what, done, total)), block_px=(32, 32))
    assert [done for _, done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][1] == seen[-1][2] and {what for what, *_ in seen} == {"truth", "owner", "mosaic"}


@pytest.mark.parametrize("body", ["mercurry", "nowhere.yaml"])
def test_unknown_body(tmp_path, body):
    with pytest.raises(InputError):
        synthesise(tmp_path / "x", body=body, **SMALL)
    assert not (tmp_path / "x").exists()


def test_folder_that_can_t_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WorkError, match="can't write the planet to"):
        synthesise(tmp_path / "file" / "planet", **SMALL)


def test_too_little_space_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(make_module.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(WorkError, match=r"needs about \d+ MB.* 1 MB free"):
        synthesise(tmp_path / "x", **SMALL)
    assert not (tmp_path / "x" / "catalogue.csv").exists()


@pytest.mark.parametrize("size", ["200k", "700k"])  # too small for the first table, too small for the rasters
def test_full_disk_leaves_no_half_file(tmp_path, monkeypatch, size):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("this machine doesn't allow mounting a tmpfs")
    try:
        monkeypatch.setattr(make_module, "_require_space", lambda folder, parameters: None)
        with pytest.raises(CratermillError, match="written|write") as error:
            synthesise(disk / "x", shape=(256, 512), seed=1)
        assert error.value.exit_code == 1 and "make room" in str(error.value)
        assert not [path for path in disk.rglob("*") if "tmp" in path.name]
        assert not (disk / "x/truth/planet.json").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("lon", "lat", "radius"), [(0, 0, 5), (179.5, 20, 3), (-179.9, -50, 2), (30, 88, 5), (-100, -89.9, 1), (180, 0, 1)]
)
def test_rim_polygons_on_the_map(lon, lat, radius):
    polygon = rim_polygon(*np.radians([lon, lat, radius]))
    assert polygon.is_valid
    west, south, east, north = polygon.bounds
    assert west >= -180 - 1e-9 and east <= 180 + 1e-9 and south >= -90 - 1e-9 and north <= 90 + 1e-9
    # Area of the cap from the polygon's own points: integrate cos(lat) over it on a fine lattice.
    import shapely

    lons, lats = np.meshgrid(np.arange(-179.975, 180, 0.05), np.arange(south, north, 0.05) + 0.025)
    inside = shapely.contains_xy(polygon, lons.ravel(), lats.ravel()).reshape(lons.shape)
    area = (inside * np.cos(np.radians(lats))).sum() * np.radians(0.05) ** 2
    assert area == pytest.approx(2 * np.pi * (1 - np.cos(np.radians(radius))), rel=0.02)
