"""The global map against the craters' own files: owners, colours, areas, order, seams, tables, pictures."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import scipy.ndimage
import torch

from cratermill.config import CraterList
from cratermill.core.errors import InputError, WorkError
from cratermill.families.ejecta import composite as module
from cratermill.families.ejecta.blend import NO_OWNER
from cratermill.families.ejecta.crater_files import CraterFiles
from cratermill.families.ejecta.recut import drop_small
from cratermill.families.ejecta.vector_files import outline
from cratermill.families.ejecta_common import planned
from cratermill.families.ejecta_common.craters import read_craters
from cratermill.families.ejecta_common.planned import map_crater_list
from cratermill.geo.grid import pixel_areas_m2
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.load_config import parse_config
from cratermill.report.map_page import summary
from cratermill.report.palette import CRATERS
from tests.families.ejecta import mapping_case as case
from tests.families.ejecta.mapping_case import on_mosaic

RASTERS = ["ml_FID_map_all.tif", "ejecta-map_all.tif", "max_probability_all.tif"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A config, its mapped craters and the folder of their composite."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        case.know(monkeypatch)
        root = tmp_path_factory.mktemp("composite of 'all'")
        config = case.make_config(root, name="the_map")
        products = case.map_all(config, root)
        metrics = module.composite(config, products, case.Workspace(root / "work"))
        yield config, products, config.project.map_folder("the_map"), metrics


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def layers(products, grid):
    """Masks and probabilities of all craters on the whole mosaic, by FID."""
    found = {}
    for folder, fid in zip(products, case.CRATERS, strict=True):
        files = CraterFiles(folder, fid)
        found[fid] = on_mosaic(files.mask, grid, 0)[0] > 0, on_mosaic(files.shares, grid, np.nan)[1]
    return found


def test_rasters_equal_the_definition_on_the_whole_mosaic(made):
    config, products, folder, _ = made
    found = layers(products, case.mosaic_grid())
    owner, best = np.full(case.SHAPE, NO_OWNER), np.full(case.SHAPE, -1.0)
    rgb, painted = np.zeros((3, *case.SHAPE)), np.zeros(case.SHAPE, bool)
    for fid, (mask, probability) in found.items():
        wins = mask & (probability > best)
        owner[wins], best[wins] = fid, probability[wins]
        over = np.array(CRATERS.rgb(fid))[:, None, None]
        rgb = np.where(mask, np.where(painted, (rgb + over) / 2, over), rgb)
        painted |= mask
    np.testing.assert_array_equal(read(folder / RASTERS[0])[0], owner)
    rgba = read(folder / RASTERS[1])
    np.testing.assert_allclose(rgba[:3], rgb, atol=0.5001)
    np.testing.assert_array_equal(rgba[3], painted * 255)
    np.testing.assert_array_equal(read(folder / RASTERS[2])[0], np.fmax.reduce([probability for _, probability in found.values()]))
    shared = found[1][0] & found[4][0]
    assert shared.sum() > 20 and set(np.unique(owner[shared])) == {1, 4}


def test_rasters_are_cogs_of_the_whole_mosaic_with_stated_nodata(made):
    _, _, folder, _ = made
    for name, nodata in zip(RASTERS, [NO_OWNER, None, np.nan], strict=True):
        with rasterio.open(folder / name) as dataset:
            assert dataset.shape == case.SHAPE and dataset.bounds == (-180, -90, 180, 90)
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and dataset.crs.is_geographic
            assert dataset.nodata == nodata or (np.isnan(nodata) and np.isnan(dataset.nodata))


@pytest.mark.parametrize("block", [64, 100])
def test_order_of_craters_and_size_of_blocks_change_nothing(made, tmp_path, monkeypatch, block):
    config, products, folder, _ = made
    monkeypatch.setattr(module, "BLOCK_PX", block)
    parts = module.read_parts(products[::-1])
    overlaps = module.write_rasters(tmp_path, parts, case.mosaic_grid(), 0.5, case.Workspace(tmp_path))
    for name in RASTERS:
        np.testing.assert_array_equal(read(tmp_path / name), read(folder / name))
    pairs = pd.read_csv(folder / "overlaps_pairs.csv")
    assert list(zip(pairs["FID_a"], pairs["FID_b"], strict=True)) == sorted(overlaps.pairs_m2)
    np.testing.assert_allclose(pairs["overlap_km2"] * 1e6, [overlaps.pairs_m2[pair] for pair in sorted(overlaps.pairs_m2)])


def test_any_number_of_workers_in_any_order_gives_the_same_bytes(made, tmp_path, monkeypatch):
    config, products, _, _ = made
    cells = case.planned.map_cells(config)

    def work(number):
        workspace = case.Workspace(tmp_path / cells[number]["key"])
        case.mapping.map_crater(config, cells[number], workspace)
        return number, workspace.folder

    with ThreadPoolExecutor(3) as workers:
        for number, folder in workers.map(work, range(len(cells))[::-1]):
            assert {path.name for path in folder.iterdir()} == {path.name for path in products[number].iterdir()} - {"cell.json"}
            for path in folder.iterdir():
                assert path.read_bytes() == (products[number] / path.name).read_bytes(), path


def test_tables_agree_with_the_rasters(made):
    _, products, folder, metrics = made
    grid = case.mosaic_grid()
    areas, found = pixel_areas_m2(grid)[:, None] / 1e6, layers(products, grid)
    craters = pd.read_csv(folder / "craters.csv").set_index("crat_FID")
    assert craters.index.tolist() == list(case.CRATERS) and metrics["mapped"] == 4
    for fid, (mask, _) in found.items():
        assert craters.loc[fid, "area_km2"] == pytest.approx((mask * areas).sum())
    owner = read(folder / RASTERS[0])[0]
    clean = pd.read_csv(folder / "areas.csv").set_index("crat_FID")
    for fid in found:
        assert clean.loc[fid, "area_km2"] == pytest.approx(((owner == fid) * areas).sum())
    shared = ((found[1][0] & found[4][0]) * areas).sum()
    (pair,) = pd.read_csv(folder / "overlaps_pairs.csv").to_dict("records")
    assert (pair["FID_a"], pair["FID_b"]) == (1, 4) and pair["overlap_km2"] == pytest.approx(shared)
    assert craters.loc[1, "shared_fraction"] == pytest.approx(shared / craters.loc[1, "area_km2"]) == pytest.approx(pair["share_of_a"])
    assert craters.loc[case.BARREN, "note"] == "no connected tiles"


def test_polygons_have_the_craters_areas(made):
    _, _, folder, _ = made
    polygons = gpd.read_file(folder / "ejecta_polygons.gpkg").set_index("crat_FID")
    assert polygons.crs.is_geographic and polygons.crs.ellipsoid.semi_major_metre == case.BODY.semi_major_m
    assert polygons.index.tolist() == list(case.CRATERS) and polygons.loc[case.BARREN, "geometry"].is_empty
    # Sides along parallels are geodesics to pyproj: give them more points.
    for fid in (1, 7):
        dense = polygons.loc[fid, "geometry"].segmentize(0.02)
        exact_km2 = abs(case.BODY.geod.geometry_area_perimeter(dense)[0]) / 1e6
        assert polygons.loc[fid, "area_km2"] == pytest.approx(exact_km2, rel=1e-5)
    points = gpd.read_file(folder / "craters.gpkg")
    assert points.geometry.x.tolist() == [place[0] for place in case.CRATERS.values()]


def test_outlines_keep_holes_and_pixels_that_touch_at_corners():
    mask = np.zeros((6, 6), np.uint8)
    mask[0:3, 0:3], mask[1, 1], mask[3, 3] = 1, 0, 1
    found = outline(mask, case.mosaic_grid().window(case.Window(0, 0, 6, 6)))
    assert found.is_valid and found.area == mask.sum() and len(found.geoms) == 2


def test_rolling_the_mosaic_rolls_the_composite(made, tmp_path, monkeypatch):
    _, _, folder, _ = made
    case.know(monkeypatch)
    rolled = case.make_config(tmp_path, first_lon=-180.0 + 70, name="rolled")
    module.composite(rolled, case.map_all(rolled, tmp_path), case.Workspace(tmp_path / "work"))
    there = rolled.project.map_folder("rolled")
    for name in RASTERS:
        np.testing.assert_array_equal(np.roll(read(folder / name), -70, axis=2), read(there / name))
    one, two = (pd.read_csv(place / "craters.csv") for place in (folder, there))
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)


def test_provenance_names_what_the_map_was_made_of(made):
    config, _, folder, _ = made
    found = json.loads((folder / "provenance.json").read_text())
    assert found["checkpoints"]["ejecta"] == {"0": "d", "1": "e"} and found["threshold"] == 0.5
    assert found["craters"] == list(case.CRATERS) and found["config"]["map"]["versions"] == {"connection": 3, "ejecta": 2}


def test_more_connected_tiles_than_in_the_training_turn_the_light_red(made):
    page = (made[2] / "index.html").read_text()
    assert made[3]["light"] == "red" and 'class="light red"' in page and "connected tiles are" in page and "2% in the training" in page


@pytest.mark.parametrize(
    ("radii", "drawn", "colours"),
    [(5.0, None, []), (8.0, None, ["amber"]), (12.0, None, ["red"]), (12.0, 11.0, ["amber"]), (11.0, 11.4, []), (30.0, 11.4, ["red"])],
)
def test_ejecta_are_too_far_where_neither_nature_nor_the_training_has_them(radii, drawn, colours):
    """Rays that people drew far out are no reason to doubt a map that finds them there."""
    facts = {"crat_FID": 1, "mean_extent_m": radii * 3e4, "radius_m": 3e4}
    found = module.too_far([module.Part(1, case.Path("."), facts, case.Window(0, 0, 1, 1))], drawn)
    assert [colour for colour, _ in found] == colours and all(not drawn or f"{drawn} in the training" in text for _, text in found)


def test_craters_without_any_ejecta_are_said():
    parts = [module.Part(fid, case.Path("."), {"radius_m": 1.0, "mean_extent_m": 0.0}, case.Window(0, 0, 1, 1)) for fid in (1, 2)]
    assert module.too_far(parts, None) == [("amber", "no ejecta were found around any of the 2 craters")] and module.too_far([], None) == []


def test_warnings_stand_on_the_page_and_in_the_provenance(made, tmp_path, monkeypatch):
    config, products, _, _ = made
    monkeypatch.setattr("cratermill.families.ejecta.Ejecta.map_warnings", lambda self, config: ["the mosaic is <dark>"])
    assert module.provenance(config, case.Workspace(tmp_path / "w"), module.read_parts(products))["warnings"] == ["the mosaic is <dark>"]
    craters = pd.DataFrame({"crat_FID": [1], "area_km2": [2.0], "owned_km2": [2.0]})
    assert '<p class="warning">the mosaic is &lt;dark&gt;</p>' in summary(craters, {"warnings": ["the mosaic is <dark>"]})


def test_units_and_layer_of_the_families_own_list(tmp_path):
    """``crater_list`` of the training's config speaks of its list alone, ``map.crater_list`` of another."""
    path = tmp_path / "fresh_craters.csv"
    path.write_text("crater,lon,lat,diameter,train\n7,1,2,30,True\n")
    with Mosaic.open(case.write_mosaic(tmp_path / "m.tif")) as mosaic:
        with pytest.raises(InputError, match="look like km"):
            read_craters(path, mosaic)
        assert read_craters(path, mosaic, CraterList(units="km"))[0].radius_m == 15000
        with pytest.raises(InputError, match="has no layers"):
            read_craters(path, mosaic, CraterList(layer="rims"))
    run = {"name": "x", "data": "d", "crater_list": {"units": "km"}, "map": {"versions": {"ejecta": 2}}}
    elsewhere = {"catalogue": "c.csv", "crater_list": {"units": "m"}}
    for more, units in (({}, "km"), ({"catalogue": "c.csv"}, None), (elsewhere, "m"), ({"crater_list": {"units": "m"}}, "m")):
        listed = map_crater_list(parse_config({**run, "map": {**run["map"], **more}}, tmp_path))
        assert (listed.units if listed else None) == units


def test_craters_that_left_the_map_leave_the_folder(tmp_path, monkeypatch):
    case.know(monkeypatch)
    config = case.make_config(tmp_path, name="m")
    products, folder = case.map_all(config, tmp_path), config.project.map_folder("m")
    module.composite(config, products, case.Workspace(tmp_path / "work"))
    (folder / "cylindrical_mask_crater_mine.tif").write_text("the user's own")
    module.composite(config, products[:2], case.Workspace(tmp_path / "work"))
    names = {path.name for path in folder.glob("cylindrical_mask_*")}
    assert names == {"cylindrical_mask_crater_1.tif", "cylindrical_mask_crater_4.tif", "cylindrical_mask_crater_mine.tif"}
    assert set(np.unique(read(folder / RASTERS[0]))) == {NO_OWNER, 1, 4}


def test_without_any_crater_there_is_no_map(made, tmp_path):
    config, *_ = made
    with pytest.raises(WorkError, match="no crater has been mapped"):
        module.composite(config, [], case.Workspace(tmp_path))


def test_a_failing_disk_leaves_the_older_map(made, tmp_path, monkeypatch):
    from cratermill.geo import cog

    config, products, folder, _ = made
    before = {path.name: path.read_bytes() for path in folder.glob("*_all.tif")}

    def full(memory, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(cog, "_save", full)
    with pytest.raises(WorkError, match="No space left"):
        module.composite(config, products, case.Workspace(tmp_path))
    assert {path.name: path.read_bytes() for path in folder.glob("*_all.tif")} == before
    assert not list(folder.glob("*.tmp*")) and not list(folder.glob(".*"))


def test_a_folder_that_cannot_be_written_is_named(made, tmp_path, monkeypatch):
    _, products, *_ = made
    case.know(monkeypatch)
    blocked = case.make_config(tmp_path, name="the_map")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "output_masks").write_text("a file in the way")
    with pytest.raises(WorkError, match="output_masks.*can't be written"):
        module.composite(blocked, products, case.Workspace(tmp_path / "work"))


def test_a_damaged_crater_file_is_named(made, tmp_path):
    _, products, *_ = made
    broken = tmp_path / "crater_1"
    shutil.copytree(products[0], broken)
    mask = CraterFiles(broken, 1).mask
    mask.write_bytes(mask.read_bytes()[:300])
    with pytest.raises(InputError, match="cylindrical_mask_crater_1.tif"):
        module.write_rasters(tmp_path, module.read_parts([broken]), case.mosaic_grid(), 0.5, case.Workspace(tmp_path))
    (broken / "crater.json").write_text("{")
    with pytest.raises(WorkError, match="crater.json is missing or damaged"):
        module.read_parts([broken])


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_another_threshold_needs_no_forward_pass(tmp_path, monkeypatch, threshold):
    """Cut from saved vote shares, masks and facts are those of a map made with that threshold."""
    case.know(monkeypatch)
    monkeypatch.setattr(case.KnowingEjecta, "answers", half_votes)
    first, direct = (case.make_config(tmp_path / name, name=name, threshold=value) for name, value in (("a", 0.5), ("b", threshold)))
    products, wanted = case.map_all(first, tmp_path / "a"), case.map_all(direct, tmp_path / "b")
    monkeypatch.setattr(case.KnowingEjecta, "answers", None)
    again = case.make_config(tmp_path / "a", name="a", threshold=threshold)
    assert planned.map_cells(again) == planned.map_cells(first), "nothing is mapped anew"
    module.composite(again, products, case.Workspace(tmp_path / "work"))
    folder = again.project.map_folder("a")
    assert json.loads((folder / "provenance.json").read_text())["threshold"] == threshold
    for product, fid in zip(wanted, case.CRATERS, strict=True):
        assert np.array_equal(read(CraterFiles(folder, fid).mask), read(CraterFiles(product, fid).mask))
        mine = json.loads((tmp_path / "a" / "log" / "map_log" / "a" / "recut" / f"crater_{fid}" / "crater.json").read_text())
        theirs = json.loads((product / "crater.json").read_text())
        for name in ("area_km2", "mean_extent_m", "max_extent_m"):  # sums, added in another order
            assert (mine.pop(name) or 0) == pytest.approx(theirs.pop(name) or 0, rel=1e-6)
        assert mine == theirs


def half_votes(self, mosaic, crater, table):
    """Of five members more see the ejecta the more probable they are."""
    size = self.hparams.tile_size_px
    share = np.linspace(0, 1, 6, dtype=np.float32)[np.arange(size * size).reshape(size, size) // 7 % 6]
    yield torch.from_numpy(np.repeat(np.stack([share, share])[None], len(table), axis=0))


def test_small_clusters_and_unwanted_craters_are_left_out(made, tmp_path):
    config, products, folder, _ = made
    keys = config.map.model_dump() | {"name": "part", "smallest_cluster_px": 40, "show": [1, 7]}
    part = parse_config(config.dump() | {"map": keys}, config.root)
    module.composite(part, products, case.Workspace(tmp_path / "work"))
    into = part.project.map_folder("part")
    assert {path.stem for path in into.glob("cylindrical_mask_*.tif")} == {f"cylindrical_mask_crater_{fid}" for fid in (1, 7)}
    whole, left = read(folder / "cylindrical_mask_crater_1.tif")[0], read(into / "cylindrical_mask_crater_1.tif")[0]
    sizes = np.bincount(scipy.ndimage.label(whole)[0].ravel())
    assert left.sum() == sizes[1:][sizes[1:] >= 40].sum() and (left <= whole).all()
    with pytest.raises(InputError, match="map.show names 99"):
        unknown = parse_config(config.dump() | {"map": keys | {"show": [99]}}, config.root)
        module.composite(unknown, products, case.Workspace(tmp_path / "w"))


def test_clusters_are_joined_across_the_seam():
    mask = np.zeros((5, 9), np.uint8)
    mask[1, :2], mask[1, 7:], mask[3, 4] = 1, 1, 1
    for wraps, left in ((True, 4), (False, 0)):
        cut = mask.copy()
        drop_small(cut, 3, wraps)
        assert cut.sum() == left
