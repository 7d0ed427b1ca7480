"""From dots to scores through the common stages, and several versions joined."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.craters.matching import RULES
from cratermill.families import cell_params, get_family
from cratermill.families.crater_unet.evaluate import choose, readings
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.families.crater_unet.predict import COLUMNS, Predictor
from cratermill.families.crater_unet.reading import Reading
from cratermill.families.craters_common.judging import judge
from cratermill.families.craters_common.prepare import TileSet, folder_of
from cratermill.families.craters_common.tiles import wanted
from cratermill.pipeline.planning import train_plan, wanted_rows
from cratermill.pipeline.train import train

from .planet import ROW, Workspace, checkpoint, project

FAMILY = get_family("crater_unet")
DOTS = {"data": "dots", "size_min": 3, "size_max": 30, "target": "fill", "batch_size": 8, "level": None, "confidence": None, "arc": None}


class Running(Workspace):
    stop_requested = False


def write_rows(folder, rows: list[dict]) -> None:
    names = Hparams.columns()
    aliases = {name: column for column, name in names.items()}
    rows = [{aliases[name]: "" if value is None else value for name, value in row.items()} for row in rows]
    (folder / "configs").mkdir(exist_ok=True)
    with (folder / "configs" / "t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def project_of_dots(tmp_path_factory):
    """Two versions and one that joins them, trained for an epoch on a few small tiles; (config, cells by version)."""
    folder = tmp_path_factory.mktemp("dots")
    common = ROW | DOTS | {"union_of": None, "votes": 1}
    last = common | {"version": 3, "max_epochs": 0, "union_of": "[1, 2]", "votes": 1}
    write_rows(folder, [common, common | {"version": 2, "filter_multiple": 0.3}, last])
    data = {"dots": {"tiles": 12, "tile_px": 128}}
    config = project(folder, {"name": "d", "data": "data", "train": {"crater_unet": {"table": "configs/t.csv", "data": data}}})
    FAMILY.prepare(config, wanted_rows(config)["crater_unet"], lambda *_: None)
    cells = {}
    for cell in train_plan(config).cells:
        if cell.stage in ("train", "evaluate"):
            workspace = Running(config.root / cell.product)
            params = cell_params(cell.params)
            metrics = (train if cell.stage == "train" else FAMILY.evaluate)(config, params, workspace)
            write_json(workspace.folder / "cell.json", {"stage": cell.stage, "params": cell.params, "metrics": metrics})
            cells[cell.stage, params.version] = (workspace.folder, metrics)
    return config, cells


def test_training_scores_pixels_and_dice(project_of_dots):
    _, metrics = project_of_dots[1]["train", 1]
    assert {"loss", "Accuracy", "F1_Score", "IoU"} <= set(metrics)
    curve = pd.read_csv(project_of_dots[1]["train", 1][0] / "curve.csv")
    assert {"train_loss", "loss", "Accuracy", "F1_Score", "IoU"} <= set(curve)


def test_evaluation_scores_a_catalogue_by_every_rule(project_of_dots):
    folder, metrics = project_of_dots[1]["evaluate", 1]
    for rule in RULES:
        assert 0 <= metrics[f"F1_{rule.name}"] <= 1
    assert metrics["craters_known"] > 0
    assert set(pd.read_csv(folder / "scores.csv")["rule"]) == {rule.name for rule in RULES}
    assert {"x", "y", "radius_px", "confidence", "new"} <= set(pd.read_csv(folder / "craters.csv"))
    assert readings(project_of_dots[0], 1, 0, Hparams.from_plan(ROW)).level == json.loads((folder / "reading.json").read_text())["level"]


def test_a_version_that_joins_others_waits_for_them_and_trains_nothing(project_of_dots):
    config, cells = project_of_dots
    order = [(cell.stage, cell.params["version"]) for cell in train_plan(config).cells if cell.stage == "evaluate"]
    assert order.index(("evaluate", 3)) > max(order.index(("evaluate", 1)), order.index(("evaluate", 2)))
    assert cells["train", 3][1]["epochs_run"] == 0
    tables = {version: pd.read_csv(cells["evaluate", version][0] / "craters.csv") for version in (1, 2, 3)}
    assert max(len(tables[1]), len(tables[2])) <= len(tables[3]) <= len(tables[1]) + len(tables[2])


def test_results_are_gathered(project_of_dots, tmp_path):
    from cratermill.pipeline.summarise import done_cells

    FAMILY.gather(project_of_dots[0], 1, done_cells(project_of_dots[0], FAMILY, 1), tmp_path)
    assert (tmp_path / "craters" / "craters_test-set-0_iteration-0.csv").exists()


def test_a_joining_version_alone_says_what_is_missing(tmp_path):
    write_rows(tmp_path, [ROW | DOTS | {"version": 3, "max_epochs": 0, "union_of": "[1, 2]"}])
    data = {"dots": {"tiles": 8, "tile_px": 128}}
    config = project(tmp_path, {"name": "d", "data": "data", "train": {"crater_unet": {"table": "configs/t.csv", "data": data}}})
    FAMILY.prepare(config, wanted_rows(config)["crater_unet"], lambda *_: None)
    with pytest.raises(InputError, match="version 1 was not evaluated"):
        train_plan(config)


@pytest.mark.parametrize("levels", [1, 2])
def test_a_network_that_sees_everything_scores_one(project_of_dots, tmp_path, monkeypatch, levels):
    """Thresholds chosen on validation tiles, craters read from test tiles: nothing is lost on the way."""
    config, _ = project_of_dots
    hparams = Hparams.from_plan(ROW | DOTS | {"size_min": 6, "levels": levels})
    tiles = TileSet(folder_of(config, "crater_unet", "dots"))
    checkpoint(tmp_path, **(DOTS | {"size_min": 6}))
    path = next(tmp_path.rglob("*.ckpt"))
    monkeypatch.setattr(Predictor, "tiles", lambda self, images: (np.asarray(images) > 0).astype(np.float32))
    predictor, rows = Predictor([path], 1), np.arange(len(tiles.tiles))
    reading = choose(predictor, tiles, rows, hparams, Workspace(tmp_path / "w"))
    found = [predictor.circles(predictor.tile(tiles.image[row], hparams), hparams, reading, float("nan")) for row in rows]
    metrics = judge(tiles, rows, found, reading.confidence, COLUMNS, hparams, tmp_path)
    # Dots lie over one another, and hidden ones are lost.
    assert metrics["Precision_strict"] > 0.95
    assert metrics["Recall_strict"] > 0.75


def test_probabilities_of_pixels_are_as_often_right_as_they_say(project_of_dots, tmp_path, monkeypatch):
    """A network that is too sure where dots are, and too unsure where none is."""
    config, cells = project_of_dots
    assert cells["evaluate", 1][1]["pixel_calibration_error"] <= 1
    hparams = Hparams.from_plan(ROW | DOTS)
    tiles = TileSet(folder_of(config, "crater_unet", "dots"))
    checkpoint(tmp_path, **DOTS)
    monkeypatch.setattr(Predictor, "tiles", lambda self, images: np.where(np.asarray(images) > 0, 0.99, 0.3).astype(np.float32))
    predictor, rows = Predictor([next(tmp_path.rglob("*.ckpt"))], 1), np.arange(len(tiles.tiles))
    chosen = choose(predictor, tiles, rows, hparams, Workspace(tmp_path / "w"))
    again = Reading.of_plain(json.loads(json.dumps(chosen.plain())))
    images = [np.asarray(image) for image in tiles.image]
    drawn = [hparams.shape().draw(wanted(circles, hparams, 1.0), images[0].shape) for circles in tiles.circles]
    right = np.concatenate([target[image > 0] for target, image in zip(drawn, images, strict=True)])
    shown = again.shown(np.array([0.99, 0.3, np.nan], np.float32))
    assert shown[0] == pytest.approx(right.mean(), abs=1e-6) and shown[1] < 0.02 and np.isnan(shown[2])


def test_columns_that_came_later_leave_what_was_trained_before_as_it_is(project_of_dots, monkeypatch):
    config, _ = project_of_dots
    rows = wanted_rows(config)
    with monkeypatch.context() as before:
        # As the row was before it had the column.
        dump = Hparams.model_dump
        before.setattr(Hparams, "model_dump", lambda self, **how: {k: v for k, v in dump(self, **how).items() if k != "dropout"})
        made = {cell.key: cell.fingerprint for cell in train_plan(config, rows).cells}
    assert {cell.key: cell.fingerprint for cell in train_plan(config, rows).cells} == made
    rows["crater_unet"][0] = rows["crater_unet"][0].model_copy(update={"dropout": 0.5})
    assert made["train_crater_unet-v1_test-set-0_iteration-0"] not in [cell.fingerprint for cell in train_plan(config, rows).cells]


def test_other_thresholds_need_no_other_training(project_of_dots):
    config, _ = project_of_dots
    before = {cell.key: cell.fingerprint for cell in train_plan(config).cells}
    rows = wanted_rows(config)
    rows["crater_unet"][0] = rows["crater_unet"][0].model_copy(update={"confidence": 0.42})
    after = {cell.key: cell.fingerprint for cell in train_plan(config, rows).cells}
    changed = {key for key in before if before[key] != after[key]}
    assert "train_crater_unet-v1_test-set-0_iteration-0" not in changed
    assert "evaluate_crater_unet-v1_test-set-0_iteration-0" in changed
