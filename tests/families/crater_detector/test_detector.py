"""The detector: targets and pieces that agree with the ground, peaks that give the circles back, and a run from tiles to lists and maps."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.config import Trainer
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.craters.catalogue import write_catalogue
from cratermill.craters.confidence import best_expected
from cratermill.craters.matching import STRICT, match
from cratermill.families import cell_params, get_family
from cratermill.families.crater_detector.evaluate import read_off
from cratermill.families.crater_detector.find import Finder, resized
from cratermill.families.crater_detector.hparams import Hparams
from cratermill.families.crater_detector.mapping import made_of_sightings, seen_in
from cratermill.families.crater_detector.options import MapOptions
from cratermill.families.crater_detector.pieces import Drawing, other_light, piece
from cratermill.families.crater_detector.planned import scales_for, widest_deg
from cratermill.families.crater_detector.targets import drawn, loss
from cratermill.families.crater_detector.task import DetectorTask
from cratermill.families.craters_common.certainty import Certainty, learnt, logit
from cratermill.families.craters_common.ground_tiles import around, degree_m
from cratermill.families.craters_common.prepare import TileSet, folder_of, make_data
from cratermill.families.craters_common.tiles import judged_row
from cratermill.geo.box import Box
from cratermill.networks.backbone import Backbone
from cratermill.networks.box_detectors import build_box_detector
from cratermill.networks.circle_net import peaks, pointwise
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_all
from cratermill.pipeline.planning import train_plan, wanted_rows
from cratermill.pipeline.train import start_fabric, train
from cratermill.samples.steps import Steps
from cratermill.training.sheets import PANEL_PX
from tests.families.crater_unet.planet import BODY, Workspace, project, ring_planet

FAMILY = get_family("crater_detector")
ROW = {
    "version": 1,
    "version_run": True,
    "test_set": [0],
    "trainings_per_test": 1,
    "val_frac": 0.3,
    "batch_size": 4,
    "lr": 1e-3,
    "optimizer": "AdamW",
    "max_epochs": 2,
    "data": "dots",
    "head": "heatmap",
    "encoder_name": "resnet10t",
    "piece_px": 64,
    "size_min": 3,
    "size_max": 60,
    "finest_scale": 1.0,
    "levels": 2,
}
CIRCLES = np.array([[30.0, 41.0, 4.0], [100.5, 60.25, 20.0], [107.0, 68.0, 6.5], [140.0, 140.0, 9.0]])


def outputs_of(circles: np.ndarray, side: int) -> torch.Tensor:
    """What a perfect network would say (1, 4, h, w)."""
    target = drawn(circles, side)
    # Surest in the cell nearest to the centre, though its neighbours are asked for the crater, too.
    away = target["size"][1:].norm(dim=0)
    heat = (target["heat"] * (1 - 0.01 * away) * (target["weight"] > 0)).clamp(1e-4, 1 - 1e-4)
    return torch.cat([torch.logit(heat)[None], target["size"]])[None]


def test_peaks_give_the_drawn_circles_back():
    found = peaks(outputs_of(CIRCLES, 160), 0.3)[0].numpy()
    assert len(found) == len(CIRCLES)
    pairs = match(found, CIRCLES, STRICT)
    assert pairs.offset.max() < 0.05 and np.abs(pairs.growth).max() < 0.05


def test_the_loss_is_least_for_the_right_answer_and_asks_nothing_of_doubtful_sizes():
    doubtful = np.vstack([CIRCLES, [60.0, 130.0, 33.0], [20.0, 20.0, 2.0]])
    batch = {name: value[None] for name, value in drawn(doubtful, 160).items()} | {"list_end": torch.zeros(1)}
    right = loss(outputs_of(doubtful, 160), batch)
    assert right < 0.05 < loss(outputs_of(CIRCLES[:2], 160), batch)
    shouting = outputs_of(doubtful, 160)
    shouting[0, 0, 65, 30] = 5.0  # the centre of the crater of 33 px
    assert loss(shouting, batch) == pytest.approx(float(right), abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_pieces_show_their_circles_where_they_are_said_to_be(share):
    """Every crater is a bright dot of its own size: its brightness is found again at the place and scale of its circle."""
    rng = np.random.default_rng(0)
    circles = np.column_stack([rng.uniform(20, 230, (25, 2)), np.full(25, 12.0)])
    rows, cols = np.mgrid[:256, :256]
    image = np.zeros((256, 256), np.float32)
    for x, y, radius in circles:
        image[np.hypot(cols - x, rows - y) < 0.6 * radius] = 200
    drawing, seen = Drawing(160, (0.5, 0.9), share, 20.0, 0.5), 0
    for _ in range(12):
        (shown,), found, scale = piece((image[None], circles), lambda count: [(image[None], circles)] * count, drawing, rng)
        values = shown[found[:, 1].round().astype(int).clip(0, 159), found[:, 0].round().astype(int).clip(0, 159)]
        seen += len(found)
        assert found[:, 2] == pytest.approx(12 * scale)
        assert (values > 90).mean() > 0.97
    assert seen > 60


def test_pieces_around_craters_show_one_wherever_it_lies():
    image, circles = np.zeros((416, 416), np.float32), np.array([[400.0, 8.0, 6.0]])
    for share, least, most in ((1.0, 40, 40), (0.0, 0, 20)):
        drawing, rng = Drawing(160, (0.6, 0.9), 0.0, 5.0, share), np.random.default_rng(1)
        shown = sum(len(piece((image[None], circles), lambda count: [], drawing, rng)[1]) for _ in range(40))
        assert least <= shown <= most


def test_cells_near_a_centre_are_asked_for_the_crater_and_far_ones_for_ground():
    heat = drawn(CIRCLES[:1], 160)["heat"].numpy()
    rows, cols = np.mgrid[:80, :80]
    away = np.hypot(2 * cols + 0.5 - CIRCLES[0, 0], 2 * rows + 0.5 - CIRCLES[0, 1])  # cells of two pixels
    assert (heat[away < 2.15] == 1).all() and (heat[away > 2.25] < 1).all() and not heat[away > 10].any()
    assert drawn(CIRCLES[:1], 160)["count"] == (heat == 1).sum()


def test_what_is_too_small_for_the_list_is_no_mistake():
    batch = {name: value[None] for name, value in drawn(CIRCLES, 160).items()}
    found = outputs_of(CIRCLES, 160)
    found[0, :2, 20, 60] = torch.tensor([5.0, np.log(3.0)])  # a crater of 3 px that the list lacks
    listed, unlisted = (float(loss(found, batch | {"list_end": torch.tensor([end])})) for end in (2.5, 3.5))
    assert unlisted == pytest.approx(float(loss(outputs_of(CIRCLES, 160), batch | {"list_end": torch.zeros(1)})), abs=1e-3)
    assert listed > unlisted + 0.1


def test_scores_begin_where_the_list_ends_and_it_is_said(capfd):
    radii = 4 * (1 - np.random.default_rng(0).random(400)) ** -0.5  # none below 4 px
    circles = np.column_stack([np.zeros((400, 2)), radii])
    tiles = SimpleNamespace(circles=[circles], tiles=pd.DataFrame({"resolution_m": [100.0]}))
    row = Hparams.model_validate(ROW | {"size_min": 0.3, "size_max": 6, "size_unit": "radius_km", "version": 777})
    assert judged_row(tiles, row).radii_px(100.0) == (pytest.approx(radii.min()), 60)
    assert "version 777: the list has next to no craters below a radius of 4" in capfd.readouterr().err
    whole = row.model_copy(update={"size_min": 0.5})
    assert judged_row(tiles, whole) is whole and not capfd.readouterr().err


def test_resized_images_keep_pixel_centres():
    image = np.zeros((64, 64), np.float32)
    image[20:24, 40:44] = 1
    (small,) = resized(image[None], 0.5)
    centre = np.array([np.average(np.arange(32), weights=small.sum(axis)) for axis in (0, 1)])
    assert (centre + 0.5) / 0.5 - 0.5 == pytest.approx([41.5, 21.5], abs=0.05)


def write_table(folder, rows: list[dict]) -> None:
    aliases = {name: column for column, name in Hparams.columns().items()}
    (folder / "configs").mkdir(exist_ok=True)
    with (folder / "configs" / "t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [aliases.get(name, name) for name in rows[0]])
        writer.writeheader()
        writer.writerows({aliases.get(name, name): value for name, value in row.items()} for row in rows)


class Running(Workspace):
    stop_requested = False


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A row trained for two epochs on small dots, and evaluated: (config, folders and metrics by stage)."""
    folder = tmp_path_factory.mktemp("detector")
    schedule = {"pieces_per_tile": 4, "scheduler": "Trapezoid", "LR_Trapezoid_T_max": 2, "LR_Trapezoid_rise": 0.5, "LR_Trapezoid_fall": 0.5}
    write_table(folder, [ROW | schedule])
    data = {"dots": {"tiles": 12, "tile_px": 96}}
    config = project(folder, {"name": "d", "data": "data", "train": {"crater_detector": {"table": "configs/t.csv", "data": data}}})
    FAMILY.prepare(config, wanted_rows(config)["crater_detector"], lambda *_: None)
    done = {}
    for cell in train_plan(config).cells:
        if cell.stage in ("train", "evaluate"):
            workspace, params = Running(config.root / cell.product), cell_params(cell.params)
            metrics = (train if cell.stage == "train" else FAMILY.evaluate)(config, params, workspace)
            write_json(workspace.folder / "cell.json", {"stage": cell.stage, "params": cell.params, "metrics": metrics})
            done[cell.stage] = (workspace.folder, metrics)
    return config, done


def test_a_run_gives_lists_sorted_by_confidence_and_scores_by_every_rule(run):
    folder, metrics = run[1]["evaluate"]
    assert {"F1_strict", "F1_lax", "F1_box", "AUC", "calibration_error", "reading_threshold"} <= set(metrics)
    table = pd.read_csv(folder / "craters.csv")
    assert {"x", "y", "radius_px", "confidence", "levels_seen", "spread_place", "new"} <= set(table)
    assert all(part["confidence"].is_monotonic_decreasing for _, part in table.groupby("tile"))
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in ("new.png", "missed.png", "completeness.png"))
    assert {"Recall_low", "Recall_high"} <= set(pd.read_csv(folder / "scores.csv"))
    curve = pd.read_csv(folder / "precision_recall.csv")
    assert curve["confidence"].is_monotonic_decreasing and curve["Recall"].is_monotonic_increasing and 0 <= metrics["AP_strict"] <= 1
    curve = pd.read_csv(run[1]["train"][0] / "curve.csv")
    assert Image.open(run[1]["train"][0] / "samples.jpg").height > 3 * PANEL_PX
    assert {"loss", "F1_strict"} <= set(curve) and curve["train_loss"].iloc[-1] < curve["train_loss"].iloc[0]
    # At the end of each epoch, not at its beginning.
    assert curve["lr"].tolist() == pytest.approx([1e-3, 1e-5])


def test_the_kept_weights_are_the_average_and_read_back(run):
    finder = Finder([run[1]["train"][0] / "best.ckpt"], 1)
    found = finder.sightings(np.zeros((1, 70, 50), np.float32), (1.0, 0.5))
    assert found.shape[1] == 5 and len(finder.ensemble) == 1


def test_wide_images_are_seen_as_small_ones_are(run, monkeypatch):
    """Windows leave no seams: the same circles whether an image is looked at whole or in parts."""
    from cratermill.families.crater_detector import find

    finder = Finder([run[1]["train"][0] / "best.ckpt"], 1)
    truth = np.column_stack([np.random.default_rng(1).uniform(8, 500, (80, 2)), np.full(80, 6.0)])

    def in_window(self, image):
        row, col = divmod(int(image[0, 0, 0]), 1000)
        inside = truth - (col, row, 0)
        kept = ((inside[:, :2] >= 0) & (inside[:, :2] < image.shape[:0:-1])).all(1)
        return [np.column_stack([inside[kept], np.full(kept.sum(), 0.9)])]

    monkeypatch.setattr(Finder, "_in_window", in_window)
    monkeypatch.setattr(find, "WINDOW_PX", 128)
    rows, cols = np.mgrid[:512, :512]
    found = finder.look((rows * 1000 + cols).astype(float)[None], finder.levels((1.0,)), 0)
    assert len(found) == len(truth)
    assert sorted(found[:, 0].round(6)) == sorted(truth[:, 0].round(6))


def test_thresholds_come_from_validation_and_a_given_one_stays(run):
    tiles, rows = TileSet(folder_of(run[0], "crater_detector", "dots")), np.arange(12)
    rng, found = np.random.default_rng(0), []
    for row in rows:
        circles = tiles.circles[row]
        right = np.column_stack([circles, np.full((len(circles), 6), 0.9)])
        wrong = np.column_stack([rng.uniform(0, 96, (30, 2)), rng.uniform(3, 10, 30), np.full((30, 6), 0.2)])
        found.append(np.vstack([right, wrong]))
    row = Hparams.from_plan(ROW)
    reading = read_off(tiles, rows, found, row)
    assert reading.calibration is not None and 0.05 < reading.threshold < 0.99
    assert Certainty.of_plain(reading.plain()) == reading
    assert read_off(tiles, rows, found, row.model_copy(update={"threshold": 0.33})).threshold == 0.33


def test_the_threshold_is_the_one_expected_to_be_best_of_craters_that_count():
    """Half of them are too small to count, and all of these are right: they must not lower it."""
    rng = np.random.default_rng(1)
    places = np.column_stack([np.tile(np.arange(20, 8000, 40.0), 2), np.repeat([20.0, 400.0], 200)])
    score, radius = rng.beta(0.4, 0.6, 400), np.repeat([4.5, 8.0], 200)
    there = (rng.random(400) < score) | (radius < 5)
    found = np.column_stack([places, radius, score])
    certainty, f1 = learnt([found], [found[there, :3]], (5, 64), lambda craters: {"score": logit(craters[:, 3])}, None, 0.4)
    sure = certainty.calibration.confidence({"score": logit(score[radius > 5])})
    assert certainty.threshold == best_expected(sure[sure > 0.05], there[radius > 5].sum())
    listed = sure >= certainty.threshold
    assert f1 == pytest.approx(2 * (listed & there[radius > 5]).sum() / (listed.sum() + there[radius > 5].sum()))


def test_levels_halve_the_scale_by_octaves_or_parts_of_them():
    def scales(**columns):
        return Hparams.from_plan(ROW | columns).scales

    assert scales(levels=5, finest_scale=1.25) == (1.25, 1, 0.5, 0.25, 0.125)
    halves = scales(levels=8, levels_per_octave=2)
    assert halves[::2] == (1, 0.5, 0.25, 0.125) and halves[1::2] == pytest.approx([0.5**0.5 / 2**step for step in range(4)])
    assert scales_for(Hparams.from_plan(ROW | {"levels_per_octave": 2}), MapOptions(largest_radius_m=12_000), BODY, 200.0) == list(
        halves[:3]
    )


def test_levels_of_a_map_reach_its_largest_craters_and_join_without_seams():
    row, resolution = Hparams.from_plan(ROW | {"size_max": 100}), 200.0
    scales = scales_for(row, MapOptions(finest_scale=1.5), BODY, resolution)
    assert scales == [1.5, 1.0, 0.5, 0.25] or scales[-1] * 100 <= 30
    truth = pd.DataFrame({"lon": [0.0, 7.9, 20.0], "lat": [0.0, 3.0, -5.0], "radius_m": [2000.0, 3000.0, 2500.0]})
    seen = []
    for level, scale in enumerate(scales[:2]):
        for west in (-8.0, 8.0):
            box = Box(west, -16.0, west + 16.0, 16.0)
            grid = around(BODY, box, resolution / scale, 48, 32)
            rows, cols = grid.rowcol_of_lonlat(truth["lon"].to_numpy(), truth["lat"].to_numpy())
            found = np.column_stack([cols, rows, truth["radius_m"], np.full(3, 0.9), np.full(3, level)])
            seen.append(seen_in(found, grid, box))
    table = made_of_sightings(pd.concat(seen), scales[:2], resolution, 1, Certainty(0.3), BODY)
    assert len(table) == 3 and (table["levels_seen"] == 2).all()
    assert sorted(table["lon"].round(2)) == [0.0, 7.9, 20.0]
    assert table["spread_place_km"].max() < 0.02


@pytest.mark.parametrize(
    ("level", "pixel_deg", "side_deg"), [(0, 0.04, 30), (1, 0.06, 46.08), (0, 0.15, 57.6), (1, 0.35, 60), (2, 0.6, 52.4)]
)
def test_blocks_of_coarse_levels_are_wider_and_craters_keep_their_size_there(level, pixel_deg, side_deg):
    """By outlines on the ground, drawn point by point: the area that they have on the tile is what a network sees."""
    pixel_m = pixel_deg * degree_m(BODY)
    side = widest_deg(BODY, pixel_m, level)
    assert side == pytest.approx(side_deg)
    box = Box(0.0, 90 - side, side, 90.0)
    grid, radius_m = around(BODY, box, pixel_m, 48, 32), 4 * pixel_m
    assert max(grid.shape) * pixel_deg <= 150
    found, places = [], [(1.0, 90 - side + 1), (side / 2, 90 - side / 2), (side - 1, 90 - side + 1), (side / 2, 88.0)]
    for lon, lat in places:
        ring = BODY.geod.fwd(*np.broadcast_arrays(lon, lat, np.linspace(0, 360, 721), radius_m))
        rows, cols = grid.rowcol_of_lonlat(ring[0], ring[1])
        area = abs(np.sum(cols[:-1] * rows[1:] - cols[1:] * rows[:-1])) / 2
        found.append((cols[:-1].mean(), rows[:-1].mean(), np.sqrt(area / np.pi) * pixel_m, 0.9, 0))
    table = seen_in(np.array(found), grid, box)
    assert len(table) == len(places)
    assert table["radius_m"].to_numpy() == pytest.approx(radius_m, rel=0.003)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("head", ["FCOS", "RetinaNet", "FasterRCNN"])
def test_detectors_of_boxes_learn_and_answer(head, precision):
    torch.manual_seed(0)
    row = Hparams.from_plan(ROW | {"head": head})
    task = DetectorTask(row, np.array([[0.0], [255.0]]))
    circles = torch.full((2, 8, 3), float("nan"))
    circles[0, :2] = torch.tensor([[60.3, 20.0, 0.1], [40.0, 30.0, 9.0]])
    batch = {"image": torch.rand(2, 1, 64, 64) * 255, "circles": circles}
    fabric = start_fabric(Trainer(accelerator="cpu", precision=precision))
    model, _ = fabric.setup(task, task.optimizers()[0][0])
    value = model(batch)
    fabric.backward(value)
    assert torch.isfinite(value)
    without = {name for name, one in task.learning.named_parameters() if one.grad is None or not one.grad.isfinite().all()}
    assert all("features.net.layer4" in name for name in without), "of stride 32 heads of boxes see nothing"
    task.after_step()
    task.eval()
    task.start_scoring()
    with torch.no_grad(), fabric.autocast():
        task.score(batch)
    assert 0 <= task.scores(lambda values: values)["F1_strict"] <= 1


@pytest.mark.parametrize(("head", "depth"), [("heatmap", 3), ("heatmap", 4), ("heatmap", 5), ("RetinaNet", 5)])
def test_no_part_of_an_encoder_is_computed_in_vain(head, depth):
    """All weights take part in what is learnt: levels that a head doesn't use are left out."""
    row = Hparams.from_plan(ROW | {"head": head, "encoder_name": "resnet10t", "encoder_depth": depth})
    task = DetectorTask(row, np.array([[0.0], [1.0]]))
    image, circles = torch.rand(2, 1, 96, 96), torch.tensor([[[40.0, 50.0, 6.0]], [[30.0, 20.0, 9.0]]])
    batch = {"image": image, "circles": circles}
    if head == "heatmap":
        targets = [drawn(one.numpy(), 96) for one in circles]
        batch |= {name: torch.stack([one[name] for one in targets]) for name in targets[0]} | {"list_end": torch.zeros(2)}
    task(batch).backward()
    assert all(weight.grad is not None for weight in task.learning.parameters())


def test_the_last_layer_is_the_convolution_that_it_says_it_is():
    convolution, maps = torch.nn.Conv2d(6, 4, 1), torch.randn(2, 6, 5, 7)
    torch.testing.assert_close(pointwise(maps, convolution), convolution(maps))


def test_the_sides_of_fcos_boxes_begin_where_they_can_learn():
    """They are cut off at 0, and what is cut off has no gradient."""
    network = build_box_detector("FCOS", Backbone("timm", "resnet10t"), 1, False, (64, 64))
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32))
    sides, _ = network.detector.head.regression_head(list(network.detector.backbone(images).values()))
    assert sides.min() > 0.5


@pytest.mark.parametrize("layered", [False, True])
def test_a_launch_goes_from_tiles_of_a_mosaic_to_a_map_with_its_light(tmp_path, layered):
    """Prepared, trained for an epoch, evaluated, mapped at all its levels and joined, as ``launch all`` plans it; of grey pictures, or of
    the mosaic, heights of half its resolution and their slopes as channels of their own."""
    _, craters = ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif", height=200, count=20)
    write_catalogue(tmp_path / "known.csv", craters)
    write_table(tmp_path, [ROW | {"data": "craters", "max_epochs": 1, "size_max": 20, "threshold": 0.01}])
    data = {"kind": "mosaic", "catalogue": "known.csv", "tile_px": 64, "missing": None}
    mapped = {"versions": {"crater_detector": 1}, "catalogue": "known.csv", "options": {"block_px": 160, "missing": None}}
    train_part = {"crater_detector": {"table": "configs/t.csv", "data": data}}
    more = write_heights(tmp_path) if layered else {}
    config = project(tmp_path, {"name": "rings", "data": "data", "train": train_part, "map": mapped} | more)
    FAMILY.prepare(config, wanted_rows(config)["crater_detector"], lambda *_: None)
    tiles = TileSet(folder_of(config, "crater_detector", "craters"))
    assert tiles.norm.shape == (2, 3 if layered else 1) and tiles.lit == ([True, False, False] if layered else [True])
    plan = plan_all(config, wanted_rows(config))
    freeze(plan)
    assert {cell.stage for cell in plan.cells} == {"train", "evaluate", "summarise", "map", "composite"}
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"
    folder = config.project.map_folder("crater_detector-1_test-set-0")
    table = pd.read_csv(folder / "craters.csv")
    assert table["confidence"].is_monotonic_decreasing and {"lon", "lat", "radius_m", "levels_seen"} <= set(table)
    light = json.loads((folder / "provenance.json").read_text())
    assert light["light"] == "red" and 'class="light red"' in (folder / "index.html").read_text()
    # The mosaic is the training's own, so nothing is said of the ground; but an epoch teaches nothing.
    assert light["reasons"] == ["red: on the test tiles of the training the strict F1 is 0.00", "amber: no crater was found"]
    # In blocks of the usual size a mosaic so small is one cell at each of its levels.
    whole = FAMILY.map_cells(config.of_map(config.maps[0].model_copy(update={"options": {"missing": None}})))
    assert [cell["level"] for cell in whole] == list(range(len(whole[0]["scales"])))


def write_heights(folder):
    """Heights on every second pixel of the mosaic, kilometres, and the keys of a configuration that reads them."""
    path = folder / "data" / "mosaics" / "cylindrical_mosaic.tif"
    with rasterio.open(path) as file:
        profile, pixels = file.profile, file.read(1)[::2, ::2]
    scale = Affine.scale(profile["width"] / pixels.shape[1], profile["height"] / pixels.shape[0])
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "transform": profile["transform"] @ scale}
    with rasterio.open(folder / "dem.tif", "w", **profile | shape | {"dtype": "float32", "count": 1, "nodata": None}) as file:
        file.write(pixels.astype(np.float32) / 100, 1)
    heights = {"of": "dem.tif", "metres_per_unit": 1000}
    return {"bands": [1, "heights", "steep"], "derived": {"heights": heights, "steep": heights | {"make": "slope"}}}


def test_bands_of_several_rasters_stay_apart_and_keep_their_light():
    """A turned piece has the same craters in all bands; other light changes those that hang on it; other networks say what they lack."""
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(100, 10, (96, 96)), rng.normal(-3000, 500, (96, 96))]).astype(np.float32)
    image[:, 40:50, 60:70] = image.max((1, 2))[:, None, None]
    drawing = Drawing(64, (0.8, 1.0), 0.0, 20.0)
    shown, _, _ = piece((image, np.zeros((0, 3))), lambda count: [], drawing, rng)
    assert shown.shape == (2, 64, 64)
    lit = other_light(shown.copy(), [(0.0, 255.0), (-9000.0, 9000.0)], [True, False], rng)
    assert np.array_equal(lit[1], shown[1]) and not np.allclose(lit[0], shown[0])
    task = DetectorTask(Hparams.from_plan(ROW), np.array([[100.0, 0.0], [100.0, 4000.0]]))
    assert task.network(torch.from_numpy(image)[None]).shape[0] == 1


def test_families_of_grey_pictures_refuse_the_mean_of_several_rasters(tmp_path):
    _, craters = ring_planet(tmp_path / "data" / "mosaics" / "cylindrical_mosaic.tif", height=64, count=5)
    write_catalogue(tmp_path / "known.csv", craters)
    more = write_heights(tmp_path)
    data = {"kind": "mosaic", "catalogue": "known.csv", "tile_px": 32, "resolution_m": 2e3}
    train_part = {"crater_detector": {"table": "configs/t.csv", "data": data}}
    config = project(tmp_path, {"name": "grey", "data": "data", "train": train_part} | more)
    with pytest.raises(InputError, match="the mean of bands of several rasters, 1, heights: dem.tif, b1"):
        make_data(config, "crater_detector", [SimpleNamespace(data="craters")], Steps(config), by_band=False)
