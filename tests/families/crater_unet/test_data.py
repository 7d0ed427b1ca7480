"""Tiles from every source, their splits, and what is said where they can't be used."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from PIL import Image
from torch.utils.data import default_collate

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import write_catalogue
from cratermill.families import get_family
from cratermill.families.crater_unet.data import Tiles
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.families.craters_common.ground_tiles import boxes, circles_on, square
from cratermill.families.craters_common.prepare import TileSet, filled, folder_of
from cratermill.families.craters_common.sources import box_circles
from cratermill.families.craters_common.synthetic import dots_tile
from cratermill.families.craters_common.tiles import split_tiles
from cratermill.geo.box import Box
from cratermill.samples.recipe import Recipe
from cratermill.training.cell import CellParams
from tests.tiny import with_trainer

from .planet import BODY, ROW, project, ring_planet

FAMILY = get_family("crater_unet")


def prepared(folder, data: dict, row: dict | None = None, **run):
    """The prepared tiles of a run configuration."""
    config = project(folder, {"name": "r", "data": "data", "train": {"crater_unet": {"table": "t.csv", "data": data}}} | run)
    hparams = Hparams.from_plan(ROW | (row or {}))
    FAMILY.prepare(config, [hparams], lambda *_: None)
    return config, hparams, TileSet(folder_of(config, "crater_unet", hparams.data))


def cell(hparams: Hparams, split: int = 0, seed: int = 5) -> CellParams:
    return CellParams("crater_unet", hparams.version, split, 0, seed, hparams)


def box_folder(folder, boxes: list[str]):
    for number, text in enumerate(boxes):
        path = folder / "boxes" / "images" / f"crater{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((128, 128), 100 + number, np.uint8)).save(path)
        labels = folder / "boxes" / "labels" / f"crater{number}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(text)


def test_mosaic_tiles_hold_their_craters_round_at_every_latitude(tmp_path):
    _, craters = ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif")
    write_catalogue(tmp_path / "known.csv", craters)
    _, hparams, tiles = prepared(tmp_path, {"catalogue": "known.csv", "tile_px": 72, "missing": None})
    shape, agreement = hparams.shape(), []
    for image, circles in zip(tiles.image, tiles.circles, strict=True):
        drawn = shape.draw(circles, image.shape)
        if drawn.sum() > 150:
            agreement.append((drawn & (image > 140)).sum() / (drawn | (image > 140)).sum())
    assert len(agreement) > 10
    assert np.median(agreement) > 0.85  # at the poles the mosaic's pixels are few along the meridian
    counted = sum(((circles[:, :2] >= -0.5) & (circles[:, :2] < 71.5)).all(1).sum() for circles in tiles.circles)
    assert counted >= len(craters)  # none is lost between tiles


def test_longitudes_of_training_validation_and_test_are_apart(tmp_path):
    _, craters = ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif")
    write_catalogue(tmp_path / "known.csv", craters)
    data = {"catalogue": "known.csv", "tile_px": 64, "missing": None, "split_by": "longitude"}
    _, hparams, tiles = prepared(tmp_path, data, splits={"count": 3, "test_fraction": 0.25})
    tests = []
    for split in range(3):
        parts = split_tiles(tiles, cell(hparams, split), hparams)
        assert sorted(np.concatenate(parts)) == list(range(len(tiles.tiles)))
        lons = [set(tiles.tiles["lon"].iloc[part]) for part in parts]
        assert all(lons) and not (lons[0] & lons[1] or lons[0] & lons[2] or lons[1] & lons[2])
        tests.append(lons[2])
    assert tests[0] != tests[1] != tests[2]


def test_craters_and_ground_that_are_held_out_are_seen_by_no_network(tmp_path):
    """Judged by the tiles' own pixels: the region and the crater are found there by geodesics, not by the code under test."""
    _, craters = ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif")
    write_catalogue(tmp_path / "known.csv", craters.assign(FID=np.arange(10, 10 + len(craters))))
    region = shapely.MultiPolygon([shapely.box(150, -40, 180, 40), shapely.box(-180, -40, -160, 40)])
    gpd.GeoDataFrame(geometry=[region], crs=BODY.geographic_crs()).to_file(tmp_path / "seam.gpkg")
    data = {"catalogue": "known.csv", "tile_px": 64, "missing": None}
    hold_out = [{"craters": [10, 15]}, {"regions": "seam.gpkg"}, {"names": ["tile-1", "tile-2*"]}]
    _, hparams, tiles = prepared(tmp_path, data, splits={"count": 1, "hold_out": hold_out})
    table, pixel = tiles.tiles, float(tiles.tiles["resolution_m"].iloc[0])
    sides = {split: table[f"test_{split}"].to_numpy() for split in range(1, 4)}
    grids = [square(BODY, lon, lat, pixel, 64) for lon, lat in zip(table["lon"], table["lat"], strict=True)]
    chosen = craters.iloc[[0, 5]]
    on = [grid.rowcol_of_lonlat(chosen["lon"].to_numpy(), chosen["lat"].to_numpy()) for grid in grids]
    holds = np.array([((np.abs(rows - 31.5) <= 32) & (np.abs(cols - 31.5) <= 32)).any() for rows, cols in on])
    assert np.array_equal(sides[1] == 1, holds) and 2 <= holds.sum() < 10
    shown = [circles_on(grid, chosen, margin_px=-1.5) for grid in grids]
    assert all(len(circles) == 0 for circles, side in zip(shown, sides[1], strict=True) if side == 0) and (sides[1] == -1).any()
    inside = ((table["lon"] >= 150) | (table["lon"] <= -160)) & (table["lat"].abs() <= 40)
    assert np.array_equal(sides[2] == 1, inside) and inside.any() and (sides[2] == -1).any()
    for grid, side in zip(grids, sides[2], strict=True):
        lon, lat = grid.lonlat(*np.indices(grid.shape))
        assert side or not (((lon > 151) | (lon < -161)) & (np.abs(lat) < 39)).any()
    assert table["name"][sides[3] == 1].str.fullmatch("tile-1|tile-2.*").all() and set(sides[3]) == {0, 1}
    for split, side in sides.items():
        train, validation, test = split_tiles(tiles, cell(hparams, split), hparams)
        assert np.array_equal(test, np.flatnonzero(side == 1)) and (side[[*train, *validation]] == 0).all() and len(validation)


def test_tiles_that_are_named_to_validate_do_so_and_the_rest_trains(tmp_path):
    box_folder(tmp_path, ["0 0.5 0.5 0.2 0.2\n"] * 6)
    hold_out = {"names": ["crater0"], "validation": ["crater[12]"]}
    _, hparams, tiles = prepared(tmp_path, {"kind": "boxes", "path": "boxes"}, splits={"hold_out": hold_out})
    parts = split_tiles(tiles, cell(hparams, 1), hparams)
    names = [sorted(tiles.tiles["name"].iloc[part]) for part in parts]
    assert names == [["crater3", "crater4", "crater5"], ["crater1", "crater2"], ["crater0"]]


@pytest.mark.parametrize(
    ("hold_out", "said"),
    [
        ({"names": ["crater0"], "validation": ["crater0"]}, "leaves none that isn't tested on"),
        ({"names": ["crater0"], "validation": ["crater*"]}, "leaves none to train"),
        ({"names": ["crater0"], "validation": ["x"]}, "names x, and no tile is called so"),
        ({"craters": [3]}, "names craters, but nobody knows them of tiles\nValid: names"),
        ({"names": ["crater9*"]}, r"names crater9\*, and no tile is called so\nValid: crater"),
        ({"names": ["*"]}, "nothing but tiles that are tested on"),
    ],
)
def test_hold_outs_that_tiles_of_files_do_not_know_are_named(tmp_path, hold_out, said):
    box_folder(tmp_path, ["0 0.5 0.5 0.2 0.2\n"] * 4)
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, {"kind": "boxes", "path": "boxes"}, splits={"hold_out": hold_out})


def test_boxes_become_circles_also_where_the_edge_cuts_them():
    text = "0 0.5 0.25 0.2 0.2\n0 0.05 0.5 0.1 0.2\n"
    assert np.allclose(box_circles(text, (100, 100), "x"), [[49.5, 24.5, 10], [-0.5, 49.5, 10]])
    assert box_circles("", (100, 100), "x").shape == (0, 3)


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.1", "0 a b c d", "0 1.5 0.5 0.1 0.1", "0 nan 0.5 0.1 0.1"])
def test_boxes_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="labels"):
        box_circles(text, (100, 100), "labels")


def test_boxes_from_a_zip_and_from_its_folder_are_the_same(tmp_path):
    import shutil

    box_folder(tmp_path, ["0 0.5 0.5 0.2 0.2\n", "", "0 0.2 0.2 0.2 0.2\n", ""])
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "boxes")
    _, _, from_folder = prepared(tmp_path, {"kind": "boxes", "path": "boxes"})
    _, _, from_zip = prepared(tmp_path, {"kind": "boxes", "path": "packed.zip"})
    assert np.array_equal(from_folder.image, from_zip.image)
    assert [len(circles) for circles in from_zip.circles] == [1, 0, 1, 0]


def test_large_images_are_cut_with_the_circles_that_touch_each_piece(tmp_path):
    image = np.zeros((128, 256), np.uint8) + 50
    Image.fromarray(image).save(tmp_path / "tile.png")
    pd.DataFrame({"LAT_Y_PX": [64, 20], "LONG_X_PX": [127, 30], "RAD_PX": [10, 8]}).to_csv(tmp_path / "tile.csv", index=False)
    _, _, tiles = prepared(tmp_path, {"kind": "circles", "images": ["tile.png"], "tables": ["tile.csv"], "tile_px": 128})
    assert [len(circles) for circles in tiles.circles] == [2, 1]
    assert np.allclose(tiles.circles[1], [[-1, 64, 10]])


def test_missing_pixels_become_the_mean_of_the_rest():
    image = np.array([[0, 10], [20, 30]], np.uint8)
    assert filled(image, 0)[0, 0] == 20
    assert filled(np.array([[np.nan, 4.0]]), None).tolist() == [[4, 4]]
    assert filled(np.zeros((2, 2), np.uint8), 0).tolist() == [[0, 0], [0, 0]]


def test_input_runs_from_minus_one_to_one(tmp_path):
    _, _, tiles = prepared(tmp_path, {"dots": {"tiles": 8, "tile_px": 64}}, {"data": "dots", "size_min": 1})
    offset, divisor = tiles.norm[:, 0]
    assert (0 - offset) / divisor == -1
    assert (255 - offset) / divisor == 1


def test_dots_are_their_targets():
    image, circles = dots_tile(128, 3)
    assert (
        (image > 0)
        == np.any([Hparams.from_plan(ROW | {"target": "fill"}).shape().draw(c[None] - [0, 0, 0.5], (128, 128)) for c in circles], 0)
    ).all()
    assert np.array_equal(dots_tile(128, 3)[0], image)
    assert not np.array_equal(dots_tile(128, 4)[0], image)


def test_pieces_and_turns_move_image_and_target_together(tmp_path):
    _, hparams, _ = prepared(
        tmp_path,
        {"dots": {"tiles": 8, "tile_px": 160}},
        {"data": "dots", "size_min": 1, "target": "fill", "img_augment": True, "crop_px": 128},
    )
    config = project(tmp_path, {"name": "r", "data": "data", "train": {"crater_unet": {"table": "t.csv"}}})
    data = FAMILY.datasets(config, cell(hparams))
    for position in range(6):
        sample = data.train[(0, position, position % len(data.train))]
        image, target = sample["image"][0].numpy(), sample["target"][0].numpy() > 0
        assert image.shape == target.shape == (128, 128)
        if target.any():
            assert image[target].mean() > image[~target].mean() + 20
    again = data.train[(0, 3, 3 % len(data.train))]["image"]
    assert (again == data.train[(0, 3, 3 % len(data.train))]["image"]).all()
    assert not (again == data.train[(1, 3, 3 % len(data.train))]["image"]).all()


@pytest.mark.parametrize("crop_px", [128, None])
def test_tiles_augmented_on_the_device_are_those_of_workers(tmp_path, crop_px):
    """Targets bit for bit, images to the rounding of their means."""
    row = {"data": "dots", "size_min": 1, "target": "fill", "img_augment": True, "crop_px": crop_px}
    config, hparams, _ = prepared(tmp_path, {"dots": {"tiles": 8, "tile_px": 160}}, row)
    found = {where: FAMILY.datasets(with_trainer(config, augment_on=where), cell(hparams)) for where in ("workers", "device")}
    keys = [(epoch, position, position % len(found["device"].train)) for epoch in (0, 2) for position in range(6)]
    wanted, plain = (default_collate([found[where].train[key] for key in keys]) for where in ("workers", "device"))
    made = found["device"].augment(plain, keys)
    assert torch.equal(made["target"], wanted["target"]) and not torch.equal(plain["target"], wanted["target"])
    torch.testing.assert_close(made["image"], wanted["image"], rtol=0, atol=1e-3)
    assert (found["device"].fixed, found["workers"].fixed) == (crop_px is None, False)
    recipe = Recipe(name="add", changes={"Add": {"value": (30, 60)}}, some_of=(1, 1), moves=False)
    row = cell(hparams.model_copy(update={"img_augment": recipe}))
    data = FAMILY.datasets(with_trainer(config, augment_on="device"), row)
    brighter = data.augment(plain, keys)
    shift = (brighter["image"] - plain["image"])[plain["image"] < 190]
    assert torch.equal(brighter["target"], plain["target"]) and shift.min() >= 29.9 and shift.max() <= 60.1


def test_an_epoch_has_several_pieces_of_each_of_a_few_large_tiles(tmp_path):
    row = {"data": "dots", "size_min": 2, "size_max": 24, "crop_px": 32, "pieces_per_tile": 3, "model_name": "Unet"}
    config, hparams, _ = prepared(tmp_path, {"dots": {"tiles": 10, "tile_px": 192}}, row)
    data = FAMILY.datasets(config, cell(hparams))
    keys = list(data.sampler)
    assert len(keys) == len(data.train) == 3 * len(data.train.rows)
    shown = [data.train[key]["image"].numpy().tobytes() for key in keys]
    assert len(set(shown)) > len(data.train.rows), "other pieces each time"
    assert len(data.val) == len(data.val.rows)


def test_craters_wider_than_the_pieces_that_are_learnt_from_are_said(tmp_path, monkeypatch):
    told = list[str]()
    monkeypatch.setattr("cratermill.families.crater_unet.data.notice", told.append)
    data = {"dots": {"tiles": 10, "tile_px": 192}}
    for crop_px, said in [(32, True), (128, False)]:
        row = {"data": "dots", "size_min": 2, "size_max": 24, "crop_px": crop_px, "model_name": "Unet"}
        config, hparams, _ = prepared(tmp_path, data, row)
        FAMILY.datasets(config, cell(hparams))
        assert any(f"craters are wider than the pieces of {crop_px} px" in text for text in told) is said


def test_tiles_without_craters_are_refused(tmp_path):
    box_folder(tmp_path, ["", "", "", ""])
    with pytest.raises(InputError, match="none of the 4 tiles holds a crater"):
        prepared(tmp_path, {"kind": "boxes", "path": "boxes"})


def test_radii_larger_than_the_tile_are_refused(tmp_path):
    config, *_ = prepared(tmp_path, {"dots": {"tiles": 8, "tile_px": 64}}, {"data": "dots", "size_min": 1})
    with pytest.raises(InputError, match="in tiles of 64 px"):
        FAMILY.datasets(config, cell(Hparams.from_plan(ROW | {"data": "dots", "size_min": 80, "size_max": 138})))


def test_sizes_that_do_not_occur_are_refused(tmp_path):
    config, *_ = prepared(tmp_path, {"dots": {"tiles": 8, "tile_px": 64}}, {"data": "dots", "size_min": 1})
    with pytest.raises(InputError, match="no tile has a crater of radius 50"):
        FAMILY.datasets(config, cell(Hparams.from_plan(ROW | {"data": "dots", "size_min": 50, "size_max": 60})))


def test_kilometres_need_the_size_of_a_pixel(tmp_path):
    box_folder(tmp_path, ["0 0.5 0.5 0.2 0.2\n"] * 4)
    config, *_ = prepared(tmp_path, {"kind": "boxes", "path": "boxes"})
    with pytest.raises(InputError, match="pixel_m"):
        FAMILY.datasets(config, cell(Hparams.from_plan(ROW | {"size_unit": "radius_km"})))


def test_a_catalogue_without_craters_on_the_mosaic_is_refused(tmp_path):
    ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif")
    (tmp_path / "km.csv").write_text("lon,lat,radius\n10,5,1.5\n20,5,2\n")
    with pytest.raises(InputError, match="these look like km"):
        prepared(tmp_path, {"catalogue": "km.csv", "tile_px": 72})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "boxes"}, "needs path"),
        ({"kind": "circles", "images": ["a.png"]}, "as many tables"),
        ({"tilepx": 3}, "tile_px"),
        ({"kind": "boxes", "path": "x", "tile_px": 64, "where": "radius_m > 1"}, "where, tile_px: no key of kind boxes; valid: kind, "),
        ({"catalogue": "x.csv", "pixel_m": 3.0}, "pixel_m: no key of kind mosaic"),
    ],
)
def test_data_options_are_checked(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        project(tmp_path, {"name": "r", "data": "data", "train": {"crater_unet": {"table": "t.csv", "data": data}}})


def test_too_few_tiles_to_share_out_are_refused_before_training(tmp_path):
    box_folder(tmp_path, ["0 0.5 0.5 0.2 0.2\n"] * 2)
    config, *_ = prepared(tmp_path, {"kind": "boxes", "path": "boxes"})
    with pytest.raises(InputError, match="2 tiles are too few to share out: 1 to train, 0 to validate, 1 to test"):
        FAMILY.datasets(config, cell(Hparams.from_plan(ROW)))


def test_targets_are_mirrored_with_their_images(tmp_path):
    """What the image shows beyond its edge, up to a size that the network takes, the target shows, too."""
    _, hparams, tiles = prepared(tmp_path, {"dots": {"tiles": 8, "tile_px": 160}}, {"data": "dots", "size_min": 1})
    for sample in (Tiles(tiles, np.arange(8), hparams)[number] for number in range(8)):
        image, target = sample["image"][0].numpy(), sample["target"][0].numpy()
        assert image.shape == target.shape == (256, 256)
        for one in (image, target):
            assert np.array_equal(one[:, 160:], one[:, 63:159][:, ::-1]) and np.array_equal(one[160:], one[63:159][::-1])
        assert target[160:].any()


def test_nothing_is_made_twice(tmp_path):
    box_folder(tmp_path, ["0 0.5 0.5 0.2 0.2\n"] * 4)
    config, hparams, tiles = prepared(tmp_path, {"kind": "boxes", "path": "boxes"})
    to_look_at = pd.read_csv(tiles.store.folder / "circles.csv"), pd.read_csv(tiles.store.folder / "tiles.csv")
    assert list(to_look_at[0]) == ["tile", "x", "y", "radius"]
    np.testing.assert_allclose(to_look_at[0], [[number, 63.5, 63.5, 12.8] for number in range(4)])
    assert list(to_look_at[1]["name"]) == list(tiles.tiles["name"])
    assert FAMILY.prepare(config, [hparams], lambda *_: None)["made"] == []
    (tmp_path / "boxes" / "labels" / "crater1.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    assert FAMILY.prepare(config, [hparams], lambda *_: None)["made"]


def test_squares_and_dots_beyond_counting_are_refused(tmp_path):
    with pytest.raises(InputError, match="squares of 1 m"):
        next(boxes(BODY, Box(-180, -90, 180, 90), 1.0))
    with pytest.raises(InputError, match="less than or equal to 10000000"):
        prepared(tmp_path, {"kind": "boxes", "path": "boxes", "dots": {"tiles": 10**12}})
