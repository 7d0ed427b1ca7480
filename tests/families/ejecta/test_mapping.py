"""One crater mapped with ensembles that know the truth: the truth must come back, everywhere, in any portions."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rasterio

from cratermill.core.errors import InputError, WorkError
from cratermill.families import members
from cratermill.families.ejecta import mapping
from cratermill.families.ejecta.crater_files import CraterFiles
from cratermill.families.ejecta_common import planned
from cratermill.geo.grid import Window
from tests.families.ejecta import mapping_case as case
from tests.families.ejecta.mapping_case import on_mosaic


@pytest.fixture
def config(tmp_path, monkeypatch):
    case.know(monkeypatch)
    return case.make_config(tmp_path / "it's a folder")


def params_of(config, fid):
    return next(params for params in planned.map_cells(config) if params["fid"] == fid)


def run(config, fid, folder):
    return mapping.map_crater(config, params_of(config, fid), case.Workspace(folder))


def truth(fid, grid, down=0.0, right=0.0):
    """The probability at pixel centres, moved by metres on the ground."""
    lon, lat = grid.lonlat(np.arange(grid.height)[:, None], np.arange(grid.width)[None])
    degree = np.pi / 180 * case.BODY.semi_major_m
    lat = np.clip(lat - down / degree, -90, 90)
    return case.probability(mapping.Crater(fid, *case.CRATERS[fid]), lon + right / degree / np.maximum(np.cos(np.radians(lat)), 1e-3), lat)


@pytest.mark.parametrize("fid", [1, 7, 9])
def test_the_truth_comes_back(config, tmp_path, fid):
    grid = case.mosaic_grid()
    metrics = run(config, fid, tmp_path / "out")
    files = CraterFiles(tmp_path / "out", fid)
    mask, expected = on_mosaic(files.mask, grid, 0)[0], truth(fid, grid)
    step = 0.75 * grid.resolution_m
    around = [truth(fid, grid, down, right) > 0.5 for down in (-step, 0, step) for right in (-step, 0, step)]
    decided = np.all(around, axis=0) | ~np.any(around, axis=0)  # no outline within three quarters of a pixel
    assert mask.sum() > 200 and decided.mean() > 0.97
    assert np.array_equal((mask > 0)[decided], (expected > 0.5)[decided])
    share, mean = on_mosaic(files.shares, grid, np.nan)
    looked = np.isfinite(mean)
    assert (mask <= looked).all() and np.array_equal(mask > 0, np.nan_to_num(share) >= 0.5)
    inside = (expected > 0.5) & (mask > 0)
    assert np.median(abs(mean - expected)[inside]) < 0.01
    assert metrics["connected"] == len(pd.read_csv(files.tiles)) < metrics["tiles"] and metrics["pixels"] == mask.sum()
    assert json.loads((tmp_path / "out" / "crater.json").read_text())["area_km2"] == metrics["area_km2"]


def test_area_and_extent_are_those_of_the_shape(config, tmp_path):
    metrics = run(config, 1, tmp_path / "out")
    angle = np.radians(np.arange(0, 360, 0.1))
    reach = (7 + 3 * np.cos(6 * angle)) * case.CRATERS[1][2] / case.BODY.semi_major_m
    exact_km2 = case.BODY.semi_major_m**2 * np.mean(1 - np.cos(reach)) * 2 * np.pi / 1e6
    assert metrics["area_km2"] == pytest.approx(exact_km2, rel=0.04)  # the tips of the rays are narrower than a pixel
    assert metrics["max_extent_m"] == pytest.approx(10 * case.CRATERS[1][2], rel=0.05)
    mean_m = np.mean(reach**3 / 3) / np.mean(reach**2 / 2) * case.BODY.semi_major_m
    assert metrics["mean_extent_m"] == pytest.approx(mean_m, rel=0.02)


def test_ejecta_across_the_seam_take_whole_rows_and_lie_in_the_mosaic(config, tmp_path):
    run(config, 7, tmp_path / "out")
    with rasterio.open(CraterFiles(tmp_path / "out", 7).mask) as mask:
        assert mask.width == 360 and mask.height < 100 and mask.bounds.left == -180
        columns = mask.read(1).any(axis=0)
    assert columns[0] and columns[-1] and not columns[100:250].any()


def test_rasters_are_cogs_with_stated_nodata(config, tmp_path):
    run(config, 9, tmp_path / "out")
    files = CraterFiles(tmp_path / "out", 9)
    with rasterio.open(files.mask) as mask, rasterio.open(files.shares) as shares:
        assert mask.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == shares.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert mask.nodata is None and mask.dtypes == ("uint8",) and set(np.unique(mask.read())) == {0, 1}
        assert np.isnan(shares.nodata) and shares.dtypes == ("float32",) * 2
        assert shares.descriptions == ("vote_share", "probability") and shares.tags()["crat_FID"] == "9"


def test_a_crater_without_connected_tiles_is_empty_and_says_so(config, tmp_path):
    metrics = run(config, case.BARREN, tmp_path / "out")
    assert metrics["note"] == "no connected tiles" and metrics["area_km2"] == 0 and metrics["max_extent_m"] is None
    with rasterio.open(CraterFiles(tmp_path / "out", case.BARREN).mask) as mask:
        assert mask.shape == (1, 1) and mask.read().sum() == 0
        assert case.mosaic_grid().rowcol(*mask.xy(0, 0)) == pytest.approx((140, 270), abs=0.5)
    with rasterio.open(CraterFiles(tmp_path / "out", case.BARREN).shares) as shares:
        assert np.isnan(shares.read()).all()


def test_portions_change_nothing_and_are_reported(config, tmp_path, monkeypatch):
    run(config, 1, tmp_path / "one")
    monkeypatch.setattr(case.KnowingEjecta, "together", 3)
    workspace = case.Workspace(tmp_path / "two")
    mapping.map_crater(config, params_of(config, 1), workspace)
    for name in ("mask", "shares", "tiles"):
        one, two = (getattr(CraterFiles(tmp_path / folder, 1), name).read_bytes() for folder in ("one", "two"))
        assert one == two
    assert workspace.reports[0]["item"] == 3 and workspace.reports[-1]["item"] == workspace.reports[-1]["items"]


def test_tile_order_changes_nothing(config, tmp_path, monkeypatch):
    run(config, 1, tmp_path / "one")
    original = mapping.tiles_to_map
    monkeypatch.setattr(mapping, "tiles_to_map", lambda *given: original(*given).sample(frac=1, random_state=3).reset_index(drop=True))
    run(config, 1, tmp_path / "two")
    for name in ("mask", "shares"):
        one, two = (getattr(CraterFiles(tmp_path / folder, 1), name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_rolling_the_mosaic_rolls_the_map(config, tmp_path, monkeypatch):
    rolled = case.make_config(tmp_path / "rolled", first_lon=-180.0 + 95)
    for fid in (1, 7, 9):
        run(config, fid, tmp_path / f"a{fid}")
        run(rolled, fid, tmp_path / f"b{fid}")
        for name, fill in (("mask", 0), ("shares", np.nan)):
            one = on_mosaic(getattr(CraterFiles(tmp_path / f"a{fid}", fid), name), case.mosaic_grid(), fill)
            two = on_mosaic(getattr(CraterFiles(tmp_path / f"b{fid}", fid), name), case.mosaic_grid(-180.0 + 95), fill)
            np.testing.assert_array_equal(np.roll(one, -95, axis=2), two)


def test_cells_hold_all_that_the_result_depends_on(config, tmp_path):
    first = planned.map_cells(config)
    assert [params["key"] for params in first] == [f"crater_{fid}" for fid in case.CRATERS]
    json.dumps(first)
    assert planned.map_cells(config) == first
    case.write_mosaic(config.root / "data" / "mosaics" / "cylindrical_mosaic.tif", 0.0)
    assert [a["key"] for a, b in zip(first, planned.map_cells(config), strict=True) if a == b] == []


def test_tiles_made_by_prepare_are_used(config, tmp_path):
    tiles = mapping.tiles_to_map(config, mapping.Crater(1, *case.CRATERS[1]), mapping.open_mosaic(config))
    before = params_of(config, 1)["tiles"]
    path = config.data.eval_positions(1)
    path.parent.mkdir(parents=True)
    tiles.iloc[:4].to_csv(path, index=False)
    assert params_of(config, 1)["tiles"] != before
    assert len(mapping.tiles_to_map(config, mapping.Crater(1, *case.CRATERS[1]), mapping.open_mosaic(config))) == 4


def test_the_name_tells_versions_split_members_and_foreign_mosaics(config, tmp_path):
    assert planned.map_name(config) == "ejc-version-2_conn-version-3_test-set-0_x2"
    elsewhere = case.make_config(tmp_path / "b", mosaic="data/mosaics/moon base.tif", split=61)
    assert planned.map_name(elsewhere) == "ejc-version-2_conn-version-3_test-set-61_x2_moon base"
    assert planned.map_name(case.make_config(tmp_path / "c", name="mine")) == "mine"


def test_unknown_craters_and_missing_mosaics_are_refused(config, tmp_path):
    with pytest.raises(InputError, match=r"\[99\]"):
        planned.map_cells(case.make_config(tmp_path / "b", craters=[1, 99]))
    for key in ("mosaic", "catalogue"):
        with pytest.raises(InputError, match=f"map.{key} is nowhere.x"):
            planned.map_cells(case.make_config(tmp_path / "c", **{key: "nowhere.x"}))
    config.data.mosaic.unlink()
    with pytest.raises(InputError, match="the mosaic is missing"):
        planned.map_cells(config)


def test_a_mosaic_of_other_bands_is_refused_with_a_way_out(config, tmp_path, monkeypatch):
    monkeypatch.undo()
    knowing = case.KnowingEjecta()
    knowing.checkpoint = type("Checkpoint", (), {"norm": np.zeros((2, 4))})
    monkeypatch.setattr(mapping, "frozen_paths", lambda *given: [])
    monkeypatch.setattr(mapping, "_load", lambda *given: mapping.Members(knowing, None))
    params = {"versions": {"ejecta": 2}, "weights": {"ejecta": {"2": {"0": {}}}}, "split": 0, "match_brightness": False, "mosaic": ""}
    with pytest.raises(InputError, match="has 1 band.*trained on 3") as error:
        mapping.load_members(config, params)
    assert "bands: [1, 1, 1]" in str(error.value)
    grey = case.make_config(tmp_path / "b", bands=[1, 1, 1])
    assert mapping.load_members(grey, params).ejecta is knowing


def test_a_full_disk_is_named_and_leaves_no_half_file(config, tmp_path, monkeypatch):
    from cratermill.geo import cog

    def full(memory, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(cog, "_save", full)
    with pytest.raises(WorkError, match="No space left"):
        run(config, 1, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


# --- checkpoints --------------------------------------------------------------------------------------------------------------


def put(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_checkpoints_are_found_in_cells_and_results(tmp_path):
    config = case.make_config(tmp_path)
    log, results = (make("ejc", 2) for make in (config.project.version_log, config.project.version_results))
    put(results / "best-checkpoint_test-set-0.ckpt")
    put(results / "best-checkpoint_test-set-0_iteration-0.ckpt", b"older")
    put(results / "best-checkpoint_test-set-0_iteration-10.ckpt")
    put(results / "best-checkpoint_test-set-1_iteration-3.ckpt")
    put(log / "cells" / "train_test-set-0_iteration-0" / "best.ckpt", b"newer")
    put(log / "cells" / "train_test-set-0_iteration-0" / "cell.json", b"{}")
    put(log / "cells" / "train_test-set-0_iteration-2.part" / "best.ckpt")
    paths = members.checkpoint_paths(config, "ejecta", 2, 0)
    assert list(paths) == [0, 10] and paths[0].read_bytes() == b"newer"
    digests = members.Trainings(config).marks("ejecta", 2, 0)
    assert members.frozen_paths(config, "ejecta", 2, 0, digests) == list(paths.values())
    put(log / "cells" / "train_test-set-0_iteration-0" / "best.ckpt", b"another one")
    with pytest.raises(WorkError, match="iteration 0 .*not the one that was there at launch"):
        members.frozen_paths(config, "ejecta", 2, 0, digests)
    with pytest.raises(InputError, match="no checkpoint for split 61") as error:
        members.checkpoint_paths(config, "ejecta", 2, 61)
    assert "splits 0, 1" in str(error.value)


def test_a_regional_mosaic_gets_its_part_of_the_map(config, tmp_path):
    run(config, 1, tmp_path / "whole")
    whole = on_mosaic(CraterFiles(tmp_path / "whole", 1).mask, case.mosaic_grid(), 0)[0]
    part = Window(40, 90, 60, 33)  # its right edge runs through the ejecta
    with rasterio.open(config.mosaic) as source:
        pixels, transform, crs = source.read()[:, *part.slices], case.mosaic_grid().window(part).affine, source.crs
    profile = {"driver": "GTiff", "count": 1, "height": part.height, "width": part.width, "dtype": "uint8"}
    with rasterio.open(config.root / "region.tif", "w", **profile, crs=crs, transform=transform) as file:
        file.write(pixels)
    regional = case.make_config(config.root, mosaic="region.tif")
    run(regional, 1, tmp_path / "part")
    found = on_mosaic(CraterFiles(tmp_path / "part", 1).mask, case.mosaic_grid().window(part), 0)[0]
    assert 100 < found.sum() < whole.sum()
    np.testing.assert_array_equal(found, whole[part.slices])
    metrics = run(regional, 12, tmp_path / "off")  # the crater itself is far off
    assert metrics["note"] == "no connected tiles"


def test_bands_alone_are_matched_to_another_mosaics_brightness():
    """Of an ensemble's norm the bands' columns; the channel of distance stays, and so does the norm that was loaded."""
    norm, seen = np.array([[100.0, 110, 120, 5], [10, 11, 12, 2]]), []
    ensemble = SimpleNamespace(checkpoint=SimpleNamespace(norm=norm.copy()), renormalise=seen.append)
    mapping.match(ensemble, ((1.0, 2.0, 3.0), (0.1, 0.2, 0.3)))
    assert np.array_equal(seen[0], [[1, 2, 3, 5], [0.1, 0.2, 0.3, 2]])
    assert np.array_equal(ensemble.checkpoint.norm, norm)
    mapping.match(ensemble, ((1.0,) * 4, (1.0,) * 4))
    assert len(seen) == 1, "as many bands as channels fit no network, which is said when they are counted"
