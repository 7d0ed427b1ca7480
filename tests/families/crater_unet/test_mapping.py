"""Maps: every crater once, also at the seam and the poles, whatever the blocks; and files that others read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from affine import Affine

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.craters.matching import STRICT, match
from cratermill.craters.options import Options
from cratermill.families import get_family
from cratermill.families.crater_unet import mapping, reading
from cratermill.families.crater_unet.evaluate import readings
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.families.crater_unet.planned import fitted_blocks
from cratermill.families.crater_unet.predict import Predictor
from cratermill.families.crater_unet.reading import Reading, fitted_side, forward_px
from cratermill.families.craters_common.ground_tiles import WIDEST_DEG, around, boxes, degree_m
from cratermill.families.craters_common.maps import boxes_in, cells_of
from cratermill.families.craters_common.options import MapOptions
from cratermill.families.craters_common.tiles import starts
from cratermill.families.members import Trainings, row_of
from cratermill.geo.bodies import get_body
from cratermill.geo.box import Box
from cratermill.geo.grid import Grid, square_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.sampling import sample_masked
from cratermill.samples.grey import mean_of_bands
from tests.mosaics import write_mosaic

from .planet import BODY, ROW, Workspace, checkpoint, project, ring_planet, sees_what_is_there

FAMILY = get_family("crater_unet")


def make_map(folder, monkeypatch, options=None, version=1, catalogue="known.csv", **planet):
    """Map a planet of rings; returns the config, its craters and the cells' params."""
    _, craters = ring_planet(folder / "data" / "mosaics" / "cylindrical_mosaic.tif", **planet)
    write_catalogue(folder / "known.csv", craters)
    sees_what_is_there(monkeypatch)
    options = {"block_px": 140, "window_px": 128, "missing": None} | (options or {})
    run = {"versions": {"crater_unet": version}, "catalogue": catalogue, "options": options}
    config = project(folder, {"name": "rings", "data": "data", "map": run})
    cells = FAMILY.map_cells(config)
    products = []
    for params in cells:
        workspace = Workspace(folder / "log" / "cells" / params["key"])
        FAMILY.map(config, params, workspace)
        products.append(workspace.folder)
    result = FAMILY.composite(config, products[::-1], Workspace(folder / "log" / "composite"))
    return config, craters, result


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planet with spaces")
    checkpoint(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        return (folder, *make_map(folder, monkeypatch))


def test_any_number_of_workers_in_any_order_gives_the_same_bytes(mapped, tmp_path, monkeypatch):
    folder, config, _, _ = mapped
    sees_what_is_there(monkeypatch)
    cells = FAMILY.map_cells(config)
    order = np.random.default_rng(5).permutation(len(cells))[:3]

    def work(number):
        workspace = Workspace(tmp_path / cells[number]["key"])
        FAMILY.map(config, cells[number], workspace)
        return workspace.folder

    with ThreadPoolExecutor(3) as workers:
        for made in workers.map(work, order):
            for path in made.iterdir():
                assert path.read_bytes() == (folder / "log" / "cells" / made.name / path.name).read_bytes()


def output(mapped, name: str):
    return mapped[0] / "results" / "output_masks" / "crater_unet-1_test-set-0" / name


def array(table) -> np.ndarray:
    return table[["lon", "lat", "radius_m"]].to_numpy(float)


def test_every_crater_is_found_once_also_at_the_seam_and_the_poles(mapped):
    found, truth = pd.read_csv(output(mapped, "craters.csv")), mapped[2]
    matched = match(array(found), array(truth), STRICT, BODY)
    assert len(matched.pairs) == len(truth) == len(found)
    # Seam and poles are the first three of the list.
    assert {0, 1, 2} <= set(matched.pairs[:, 1])
    assert matched.offset.max() < 0.1
    assert np.abs(matched.growth).max() < 0.1


def test_levels_see_each_size_where_it_is_small_and_list_each_crater_once(tmp_path, monkeypatch):
    """Rings of more than 10 px are read at half the resolution, and those near the limit, which both levels see, are one."""
    monkeypatch.setattr(reading, "SEEN_PX", 10.0)
    checkpoint(tmp_path, levels=2)
    shapes, around_as_it_is = [], mapping.around

    def around_(body, box, resolution_m, margin_px, multiple):
        shapes.append((resolution_m, margin_px))
        return around_as_it_is(body, box, resolution_m, margin_px, multiple)

    monkeypatch.setattr(mapping, "around", around_)
    # Reduced rings are dimmer, and a trained network sees them all the same.
    monkeypatch.setattr("tests.families.crater_unet.test_mapping.sees_what_is_there", lambda _: None)
    monkeypatch.setattr(Predictor, "tiles", lambda self, images: np.clip((np.asarray(images, np.float32) - 20) / 110, 0, 1))
    _, craters, result = make_map(tmp_path, monkeypatch, height=200, count=10)
    assert len(set(shapes[-2:])) == 2 and shapes[-1][0] == 2 * shapes[-2][0]
    assert result["F1_strict"] == 1 and result["craters"] == len(craters), (result, craters["radius_m"])


def test_scores_say_so(mapped):
    scores = json.loads(output(mapped, "scores.json").read_text())
    assert scores["F1_strict"] == scores["F1_box"] == 1
    assert scores["known"] == len(mapped[2])
    assert len(pd.read_csv(output(mapped, "missed_craters.csv"))) == 0
    assert mapped[3]["F1_strict"] == 1
    by_latitude = pd.read_csv(output(mapped, "scores_by_latitude.csv")).query("rule == 'strict'")
    assert by_latitude["known"].sum() == len(mapped[2]) and (by_latitude["F1"] == 1).all()
    page = output(mapped, "index.html").read_text()
    assert "completeness against size" in page and "Scores by latitude" in page and 'href="scores_by_latitude.csv"' in page
    bounds = json.loads(output(mapped, "provenance.json").read_text())["bounds"]
    assert (bounds["south"], bounds["north"], bounds["east"] - bounds["west"]) == pytest.approx((-90, 90, 360))


@pytest.mark.parametrize("suffix", [".gpkg", ".csv", ".scc", ".diam"])
def test_lists_come_back(mapped, suffix):
    craters = read_catalogue(output(mapped, f"craters{suffix}"), None if suffix in (".gpkg", ".scc") else BODY)
    assert len(craters) == len(mapped[2])
    assert np.allclose(np.sort(craters["radius_m"]), np.sort(pd.read_csv(output(mapped, "craters.csv"))["radius_m"]), rtol=1e-5)


def test_geopackage_is_on_the_body(mapped):
    table = geopandas.read_file(output(mapped, "craters.gpkg"))
    assert table.crs.ellipsoid.semi_major_metre == BODY.semi_major_m
    assert {"diameter_km", "confidence", "arc"} <= set(table)


def test_lists_hold_the_rows_sizes_alone(mapped, monkeypatch):
    """The largest craters are beyond the row's sizes if those end a little lower: no list holds them, scores know of them."""
    from cratermill.families.craters_common import composite

    craters = pd.read_csv(output(mapped, "craters.csv"))
    radii = np.sort(craters["radius_m"])
    limit = (radii[-3] + radii[-4]) / 2
    monkeypatch.setattr(composite, "radii_m_of", lambda row, resolution_m: (0.0, limit))
    assert composite.listed(craters, None, 1.0).sum() == len(craters) - 3


def test_counted_area_is_the_whole_body(mapped):
    text = output(mapped, "craters.diam").read_text()
    area = float(next(line for line in text.splitlines() if line.startswith("area")).split("=")[1])
    assert np.isclose(area, 4 * np.pi * 100**2, rtol=1e-6)


def test_a_map_shows_calibrated_probabilities_and_lists_craters_by_the_networks_own(tmp_path, monkeypatch):
    halves = Reading.of({}, pixels={"method": "isotonic", "forecast": [0.0, 1.0], "calibrated": [0.0, 0.5]})
    monkeypatch.setattr(mapping, "readings", lambda *_: halves)
    checkpoint(tmp_path)
    config, craters, result = make_map(tmp_path, monkeypatch, height=200, count=10)
    with rasterio.open(tmp_path / "results/output_masks/crater_unet-1_test-set-0/prediction.tif") as file:
        prediction = file.read(1)
    assert prediction[prediction < 255].max() == 127
    assert result["F1_strict"] == 1, "craters are read at the level that was chosen before"


def test_prediction_lies_on_the_mosaic(mapped):
    with rasterio.open(output(mapped, "prediction.tif")) as file, rasterio.open(mapped[1].mosaic) as mosaic:
        assert file.shape == mosaic.shape and file.transform == mosaic.transform
        prediction, image = file.read(1), mosaic.read(1)
    assert (prediction != 255).all()
    middle = slice(40, 200)  # near the poles the mosaic's pixels are much narrower than a tile's
    assert np.corrcoef(prediction[middle].ravel(), image[middle].ravel())[0, 1] > 0.9


def test_pictures_and_page_are_there(mapped):
    for name in ("overlay.png", "size_frequency.png", "index.html", "size_frequency.csv", "provenance.json"):
        assert output(mapped, name).stat().st_size > 500, name
    assert 'class="light unknown"' in output(mapped, "index.html").read_text()  # the checkpoint doesn't know its training's ground
    assert mapped[3]["light"] == "unknown"


def test_the_list_does_not_depend_on_where_the_mosaic_begins_or_on_the_blocks(mapped, tmp_path, monkeypatch):
    checkpoint(tmp_path)
    make_map(tmp_path, monkeypatch, {"block_px": 230, "prediction": False}, first_lon=0.0)
    there = pd.read_csv(tmp_path / "results" / "output_masks" / "crater_unet-1_test-set-0" / "craters.csv")
    here = pd.read_csv(output(mapped, "craters.csv"))
    matched = match(array(there), array(here), STRICT, BODY)
    assert len(matched.pairs) == len(there) == len(here)
    assert np.median(matched.offset) < 0.03


def test_a_region_is_counted_as_a_region(mapped, tmp_path, monkeypatch):
    checkpoint(tmp_path)
    _, craters, result = make_map(tmp_path, monkeypatch, {"latitudes": [-30, 30], "prediction": False})
    assert result["craters"] == int(((craters.lat >= -30) & (craters.lat < 30)).sum())
    text = (tmp_path / "results/output_masks/crater_unet-1_test-set-0/craters.diam").read_text()
    area = float(next(line for line in text.splitlines() if line.startswith("area")).split("=")[1])
    assert np.isclose(area, 4 * np.pi * 100**2 * 0.5, rtol=1e-3)


def test_versions_vote(tmp_path, monkeypatch):
    checkpoint(tmp_path, version=1)
    checkpoint(tmp_path, version=2, size_min=12)
    checkpoint(tmp_path, version=3, max_epochs=0, union_of=[1, 2], votes=2)
    _, craters, _ = make_map(tmp_path, monkeypatch, version=3)
    found = pd.read_csv(tmp_path / "results/output_masks/crater_unet-3_test-set-0/craters.csv")
    resolution = BODY.semi_major_m * np.pi / 240
    assert (found["votes"] == 2).all()
    assert abs(len(found) - (craters.radius_m >= 12 * resolution).sum()) <= 3


def test_iterations_say_how_far_they_agree(mapped, tmp_path, monkeypatch):
    """One of two networks is blind: what both find together is in one list, and none lies elsewhere in it."""
    for iteration in (0, 1):
        checkpoint(tmp_path, iteration)
    networks: list = []

    def tiles(self, images):
        if len(self.ensemble) == 2:
            networks[:] = self.ensemble.networks
        seen = np.clip((np.asarray(images, np.float32) - 20) / 235, 0, 1)
        return seen * (self.ensemble.networks[0] is networks[0])

    monkeypatch.setattr(sys.modules[__name__], "sees_what_is_there", lambda patch: patch.setattr(Predictor, "tiles", tiles))
    make_map(tmp_path, monkeypatch, {"agreement": True})
    found, usual = (
        pd.read_csv(tmp_path / "results/output_masks/crater_unet-1_test-set-0/craters.csv"),
        pd.read_csv(output(mapped, "craters.csv")),
    )
    assert np.array_equal(found[usual.columns], usual)
    assert (found["votes"] == 1).all() and (found[["spread_place_km", "spread_size_km"]] == 0).all(axis=None)


def test_blocks_of_an_earlier_version_are_joined_with_new_ones(mapped, tmp_path):
    folder, config, craters, _ = mapped
    products = [shutil.copytree(path, tmp_path / path.name) for path in sorted((folder / "log" / "cells").iterdir())]
    for product in products[::2]:
        pd.read_csv(product / "craters.csv").drop(columns="member").to_csv(product / "craters.csv", index=False)
    assert len(mapping.joined(products, mapping.composed_row(config, products), BODY)) == len(craters)


def test_agreement_of_one_training_is_refused(tmp_path, monkeypatch):
    checkpoint(tmp_path)
    with pytest.raises(InputError, match="agreement with one training of version 1\nValid: one version with several iterations"):
        make_map(tmp_path, monkeypatch, {"agreement": True})


def test_a_crater_on_a_border_of_blocks_is_found_once(tmp_path, monkeypatch):
    """Where four blocks meet, at many small shifts, so that each of them sees the centre on either side of its border."""
    resolution = np.pi * BODY.semi_major_m / 240
    places = [(lon + 0.003 * lon / 30, lat - 0.007 * lat / 30) for lon in range(-150, 180, 60) for lat in (-30, 0, 30)]
    craters = pd.DataFrame([(*place, 12 * resolution) for place in places], columns=["lon", "lat", "radius_m"])
    monkeypatch.setattr("tests.families.crater_unet.planet.planet_craters", lambda *_: craters)
    checkpoint(tmp_path)
    config, _, _ = make_map(tmp_path, monkeypatch)
    found = pd.read_csv(tmp_path / "results" / "output_masks" / "crater_unet-1_test-set-0" / "craters.csv")
    assert len(match(array(found), array(craters), STRICT, BODY).pairs) == len(craters) == len(found)


def test_blocks_without_craters_and_bodies_without_any(tmp_path, monkeypatch):
    resolution = np.pi * BODY.semi_major_m / 240
    for number, count in enumerate((1, 0)):
        craters = pd.DataFrame([(20.0, 10.0, 12 * resolution)] * count, columns=["lon", "lat", "radius_m"], dtype=float)
        monkeypatch.setattr("tests.families.crater_unet.planet.planet_craters", lambda *_, found=craters: found)
        folder = tmp_path / str(number)
        checkpoint(folder)
        _, _, result = make_map(folder, monkeypatch, catalogue=None)
        found = pd.read_csv(folder / "results" / "output_masks" / "crater_unet-1_test-set-0" / "craters.csv")
        assert result["craters"] == len(found) == count and set(found) >= {"lon", "lat", "radius_m", "confidence"}


def test_craters_beyond_the_mapped_latitudes_are_not_listed(tmp_path, monkeypatch):
    resolution = np.pi * BODY.semi_major_m / 240
    places = [(float(lon), 20.4) for lon in range(-150, 180, 60)] + [(0.0, 5.0)]
    craters = pd.DataFrame([(*place, 12 * resolution) for place in places], columns=["lon", "lat", "radius_m"])
    monkeypatch.setattr("tests.families.crater_unet.planet.planet_craters", lambda *_: craters)
    checkpoint(tmp_path)
    _, _, result = make_map(tmp_path, monkeypatch, {"latitudes": [0, 20]})
    scores = json.loads((tmp_path / "results" / "output_masks" / "crater_unet-1_test-set-0" / "scores.json").read_text())
    assert result["craters"] == 1 and scores["Precision_strict"] == scores["Recall_strict"] == 1


def test_a_belt_around_the_body_ends_at_its_edges(tmp_path):
    """All longitudes are there, the poles are not; nodata or not, what lies beside it is no ground."""
    belt = Grid(BODY.geographic_crs(), Affine(1, 0, -180, 0, -1, 60), (120, 360))
    tile = square_grid(BODY, 40.0, 60.0, 10 * belt.resolution_m, 20)
    with Mosaic.open(write_mosaic(tmp_path / "belt.tif", np.ones((1, *belt.shape), np.uint8), belt)) as mosaic:
        image = mean_of_bands(*sample_masked(mosaic, tile))
    assert not belt.is_global and np.isnan(image[:9]).all() and (image[11:] == 1).all()


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("missing", [None, 0])
def test_craters_cut_by_the_edge_of_a_regional_mosaic_are_found(tmp_path, monkeypatch, nodata, missing):
    """Half a crater on the mosaic: what lies beside it is no ground, whatever the option for missing pixels says."""
    whole, _ = ring_planet(tmp_path / "whole.tif", count=0)
    resolution = np.pi * BODY.semi_major_m / 240
    craters = pd.DataFrame([(31.0, 8.0, 14 * resolution), (60.0, 0.0, 12 * resolution)], columns=["lon", "lat", "radius_m"])
    monkeypatch.setattr("tests.families.crater_unet.planet.planet_craters", lambda *_: craters)
    whole, _ = ring_planet(tmp_path / "whole.tif")
    with rasterio.open(whole) as file:
        window = rasterio.windows.from_bounds(30, -30, 90, 30, file.transform)
        image, profile = file.read(window=window), file.profile | {"transform": file.window_transform(window), "nodata": nodata}
    profile |= {"height": image.shape[1], "width": image.shape[2]}
    mosaic = tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif"
    mosaic.parent.mkdir(parents=True)
    with rasterio.open(mosaic, "w", **profile) as file:
        file.write(image)
    checkpoint(tmp_path, arc=0.2)
    monkeypatch.setattr("tests.families.crater_unet.test_mapping.ring_planet", lambda *_, **__: (mosaic, craters))
    make_map(tmp_path, monkeypatch, {"missing": missing})
    found = pd.read_csv(tmp_path / "results" / "output_masks" / "crater_unet-1_test-set-0" / "craters.csv")
    assert len(match(array(found), array(craters), STRICT, BODY).pairs) == len(craters) == len(found)


def test_craters_larger_than_the_body_are_refused(tmp_path, monkeypatch):
    checkpoint(tmp_path, size_max=400)
    with pytest.raises(InputError, match="larger than the whole of Pebble"):
        make_map(tmp_path, monkeypatch, count=3)


def test_a_checkpoint_from_elsewhere_is_read_as_its_row_says(tmp_path):
    checkpoint(tmp_path, level=0.3, confidence=0.9, arc=None)
    ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif", count=3)
    config = project(tmp_path, {"name": "r", "data": "data", "map": {"versions": {"crater_unet": 1}, "options": {"missing": None}}})
    assert FAMILY.map_cells(config)[0]["thresholds"] == {"1": [{"level": 0.3, "confidence": 0.9}, {}]}
    reading = readings(config, 1, 0, row_of(config, "crater_unet", 1, 0))
    assert (reading.level, reading.confidence, reading.arc) == (0.3, 0.9, 0.25)


@pytest.mark.parametrize("cell", ["polar", "middle"])
def test_memory_does_not_follow_the_mosaic(tmp_path, monkeypatch, cell):
    monkeypatch.setattr("cratermill.families.crater_unet.planned.BLOCK_SHARES", (1.0,))  # blocks of one size on both
    peaks = []
    for height in (600, 1800):
        folder = tmp_path / str(height)
        checkpoint(folder)
        ring_planet(folder / "data" / "mosaics" / "cylindrical_mosaic.tif", height=height, count=8)
        sees_what_is_there(monkeypatch)
        options = {"block_px": 100, "window_px": 128}
        config = project(folder, {"name": "m", "data": "data", "map": {"versions": {"crater_unet": 1}, "options": options}})
        params = FAMILY.map_cells(config)
        FAMILY.map(config, params[0], Workspace(folder / "warm up"))
        tracemalloc.start()
        FAMILY.map(config, params[0 if cell == "polar" else len(params) // 2], Workspace(folder / "cell"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize(
    ("catalogue", "message"),
    [
        ("lon,lat,radius\n10,5,1.5\n", "these look like km"),
        ("lon,lat,radius_km\n10,5,900\n", "too large"),
        ("lon,lat,radius_m\n10,95,900\n", "lat"),
    ],
)
def test_catalogues_in_other_units_are_refused(mapped, tmp_path, catalogue, message):
    folder, config, *_ = mapped
    (folder / "other.csv").write_text(catalogue)
    content = config.dump() | {"map": config.dump()["map"] | {"catalogue": "other.csv"}}
    (folder / "configs" / "other.yaml").write_text(yaml.safe_dump(content))
    from cratermill.pipeline.load_config import load_config

    products = sorted((folder / "log" / "cells").iterdir())
    with pytest.raises(InputError, match=message):
        FAMILY.composite(load_config(folder / "configs" / "other.yaml"), products, Workspace(tmp_path))


def test_a_map_is_compared_again_with_a_list_that_changed(mapped):
    folder, config, craters, _ = mapped

    def mark():
        one = config.of_map(config.maps[0].model_copy(update={"catalogue": "grown.csv"}))
        return FAMILY.compose_mark(one, Trainings(one))

    write_catalogue(folder / "grown.csv", craters.iloc[:-1])
    before = mark()
    assert before == mark()
    write_catalogue(folder / "grown.csv", craters)
    assert before != mark()
    (folder / "grown.csv").unlink()
    with pytest.raises(InputError, match=r"grown\.csv"):
        mark()


def test_longitudes_from_0_to_360_are_the_same_catalogue(mapped, tmp_path):
    folder, config, craters, _ = mapped
    write_catalogue(folder / "east.csv", craters.assign(lon=np.mod(craters.lon, 360)))
    again = read_catalogue(folder / "east.csv", BODY)
    assert len(match(array(again), array(craters), STRICT, BODY).pairs) == len(craters)


def test_craters_larger_than_a_block_are_refused(tmp_path):
    checkpoint(tmp_path, size_min=300, size_max=400)
    ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif")
    run = {"versions": {"crater_unet": 1}, "options": {"block_px": 128}}
    with pytest.raises(InputError, match="blocks of 128 px"):
        FAMILY.map_cells(project(tmp_path, {"name": "m", "data": "data", "map": run}))


def test_keys_of_other_maps_are_refused(tmp_path):
    run = {"versions": {"crater_unet": 1}, "match_brightness": True}
    with pytest.raises(InputError, match="map.match_brightness"):
        FAMILY.map_cells(project(tmp_path, {"name": "m", "data": "data", "map": run}))


WINDOWS = [(768, 1024, 0.125, 128), (2500, 1024, 0.125, 32), (700, 512, 0.25, 32)]


@pytest.mark.parametrize(("length", "window", "overlap", "divisor"), WINDOWS)
def test_windows_are_fitted_to_what_they_cover(length, window, overlap, divisor):
    side = fitted_side(length, window, overlap, divisor)
    count = len(starts(length, side, max(1, round(side * (1 - overlap)))))
    assert side % divisor == 0 and count * side <= 1.3 * length + (count - 1) * window * overlap
    assert side <= window + divisor


@pytest.mark.parametrize(("height", "most"), [(4096, 1.25), (5760, 1.2), (22_000, 1.3), (54_582, 1.3)])
def test_blocks_are_fitted_to_what_goes_through_the_network(height, most):
    row, body = Hparams.from_plan(ROW | {"filter_multiple": 1.0}), get_body("moon")
    options, area, resolution = MapOptions(latitudes=(-60, 60)), Box(-180, -60, 180, 60), body.half_circumference_m / height
    blocks = fitted_blocks(body, area, options, resolution, [row])
    whole_deg = min(options.block_px * resolution / degree_m(body), WIDEST_DEG)
    assert all(whole_deg / 2 - 1 < block.north - block.south <= whole_deg + 1e-9 for block in blocks)
    spans: dict[tuple[float, float], list[tuple[float, float]]] = {}
    for block in blocks:
        spans.setdefault((block.south, block.north), []).append((block.west, block.east))
    for pieces, (first, last) in [(list(spans), (-60, 60)), *((row, (-180, 180)) for row in spans.values())]:
        assert pieces[0][0] == first and pieces[-1][1] == last and all(one[1] == other[0] for one, other in pairwise(pieces))
    through, margin = 0, Options(6, 20).margin_px
    for box in blocks:
        shape = around(body, box, resolution, margin, row.divisor).shape
        through += forward_px(shape, options.window_px, options.overlap, row.divisor)
    assert through / (2 * height * height * 120 / 180) <= most


def test_what_a_map_consists_of_is_told_without_networks(mapped):
    """Of a mosaic and a checkpoint that nobody asked about before."""
    folder, *_ = mapped
    code = (
        "import sys; from pathlib import Path; from cratermill.pipeline.launch import launch\n"
        f"launch('map', Path({str(folder / 'configs' / 'run.yaml')!r}), dry_run=True)\n"
        "print([name for name in ('torch', 'cv2', 'scipy', 'geopandas', 'matplotlib') if name in sys.modules])"
    )
    shutil.rmtree(folder / "log" / "checked", ignore_errors=True)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]" and "cells" in told, told


def test_small_blocks_are_one_cell_and_large_ones_cells_of_their_own():
    """The same blocks in the same order, whatever the cells; a tiny mosaic is one cell, which lists what many do."""
    tiny, body = list(boxes(BODY, Box(-180, -90, 180, 90), WIDEST_DEG * degree_m(BODY))), BODY
    (whole,) = cells_of(tiny, body, degree_m(BODY), 48, 2048)
    assert boxes_in(whole) == tiny and whole["key"] == f"blocks_00000_{len(tiny) - 1:05d}"
    several = list(cells_of(tiny, body, degree_m(BODY) / 20, 48, 2048))
    assert 1 < len(several) < len(tiny) / 2 and [box for cell in several for box in boxes_in(cell)] == tiny
    single = list(cells_of(tiny, body, degree_m(BODY) / 60, 48, 2048))
    assert [cell["key"] for cell in single] == [f"block_{number:05d}" for number in range(len(tiny))]
    assert [boxes_in(cell) for cell in single] == [[box] for box in tiny]


def test_blocks_of_one_cell_are_mapped_like_cells_of_their_own(mapped, tmp_path, monkeypatch):
    folder, config, craters, _ = mapped
    sees_what_is_there(monkeypatch)
    blocks = [box for cell in FAMILY.map_cells(config) for box in boxes_in(cell)]
    common = {name: value for name, value in FAMILY.map_cells(config)[0].items() if name not in ("key", "box", "boxes")}

    def made(name, places):
        workspace = Workspace(tmp_path / name)
        FAMILY.map(config, {"key": name, "boxes": [[box.west, box.south, box.east, box.north] for box in places], **common}, workspace)
        return workspace.folder

    apart, together = [made(f"a{number}", [box]) for number, box in enumerate(blocks[:9])], made("together", blocks[:9])
    lists = pd.concat([pd.read_csv(one / "craters.csv") for one in apart], ignore_index=True)
    found = pd.read_csv(together / "craters.csv")
    assert len(lists) == len(found) > 3
    assert len(match(array(found), array(lists), STRICT, BODY).pairs) == len(found)
    for (window, values), (other, same) in zip(pieces_of([together]), pieces_of(apart), strict=True):
        assert window == other and np.array_equal(values, same)


def pieces_of(products):
    for product in products:
        with np.load(product / "prediction.npz") as file:
            for number in range(len(file.files) // 3):
                yield file[f"place_{number}"].tolist(), file[f"values_{number}"]


def test_pixels_that_go_through_the_network_are_told_beforehand(mapped, monkeypatch):
    given, real = [], Predictor.tiles
    monkeypatch.setattr(Predictor, "tiles", lambda self, images: given.append(images.size) or real(self, images))
    predictor = Predictor(list(mapped[0].glob("results/*/version_1/*.ckpt"))[:1], 1)
    predictor.wide(np.zeros((300, 410), np.float32), 256, 0.125)
    assert sum(given) == forward_px((300, 410), 256, 0.125, predictor.hparams.divisor)
