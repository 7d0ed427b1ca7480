"""Two rounds on chips of a few pixels: what is pseudo-labelled, what validates, and what a cell leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.core.errors import InputError
from cratermill.families import cell_params, get_family, row_model
from cratermill.families.chip_classifier.data import pseudo_labels
from cratermill.families.chip_classifier.hparams import NORMS
from cratermill.families.chips_common.data import parts_of
from cratermill.families.chips_common.predict import logits_of
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_training
from cratermill.tables.table import read_table
from cratermill.tables.versions import check_table
from cratermill.training.cell import CellParams, Round
from cratermill.training.checkpoint import Checkpoint
from tests.families.chips_common.case import prepared, write_npy, write_project


def cell(config, number=0):
    plan = plan_training(config)
    return cell_params(plan.cells[number].params)


def halving(config, params, hparams) -> Checkpoint:
    """A network as it is built, its last bias such that it calls half of the unlabelled chips craters."""
    norm = np.array(NORMS["unit"]).reshape(2, 1)
    state = get_family("chip_classifier").task(params, norm).network.state_dict()
    built = Checkpoint("chip_classifier", 1, 0, 0, 0, params.plain_row(), norm, state)
    _, images, chips = parts_of(config, params, hparams)
    state["network.10.bias"] -= float(np.median(logits_of(built, hparams, images[chips.unlabelled])))
    return built


def with_limits(params: CellParams, **hparams) -> CellParams:
    """The cell with limits that give every unlabelled chip a label."""
    return replace(params, hparams=params.hparams.model_copy(update={"pseudo_below": 0.49999, "pseudo_above": 0.50001} | hparams))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A prepared project, its cell and the network of a first round."""
    config = prepared(tmp_path_factory.mktemp("chips"), "chip_classifier")
    params = cell(config)
    return config, params, params.hparams, halving(config, params, params.hparams)


def test_the_second_round_adds_unlabelled_chips_and_keeps_validation_and_test(one):
    config, params, _, previous = one
    family = get_family("chip_classifier")
    params = with_limits(params)
    first, second = (family.datasets(config, params, round) for round in (Round(), Round(1, previous)))
    assert len(first.train) == 40 and len(second.train) > 40
    for part in ("val", "test"):
        assert np.array_equal(getattr(first, part).images, getattr(second, part).images)
    assert np.array_equal(second.train.images[:40], first.train.images)


def test_no_validation_or_test_chip_is_ever_trained_on(one):
    config, params, hparams, previous = one
    _, images, chips = parts_of(config, params, hparams)
    trained = get_family("chip_classifier").datasets(config, with_limits(params), Round(1, previous)).train.images
    seen = {image.tobytes() for image in trained}
    assert len(seen) > 40
    assert not seen & {images[row].tobytes() for row in np.concatenate([chips.val, chips.test])}


@pytest.mark.parametrize(("limits", "classes"), [((0.49999, None), {0}), ((None, 0.50001), {1}), ((0.49999, 0.50001), {0, 1})])
def test_limits_say_which_classes_are_pseudo_labelled(one, limits, classes):
    config, params, hparams, previous = one
    row = hparams.model_copy(update={"pseudo_below": limits[0], "pseudo_above": limits[1]})
    folder, images, chips = parts_of(config, params, row)
    found = pseudo_labels(previous, row, images, folder.rows["label"].to_numpy(), chips)
    assert set(found.label) <= classes and len(found.rows) > 0
    assert ((found.probability > 0.5) == (found.label == 1)).all() and set(found.rows) <= set(chips.unlabelled)


def test_it_is_said_where_nothing_gets_a_pseudo_label(one, capsys):
    config, params, hparams, previous = one
    folder, images, chips = parts_of(config, params, hparams)
    row = hparams.model_copy(update={"pseudo_below": 1e-9, "pseudo_above": None})
    found = pseudo_labels(previous, row, images, folder.rows["label"].to_numpy(), chips)
    assert not len(found.rows) and "gets a pseudo-label: probabilities run from" in capsys.readouterr().err
    family = get_family("chip_classifier")
    said = family.result_warnings([{"pseudo_labels": 0}, {"pseudo_labels": 12}, {}])
    assert len(said) == 1 and "in 1 of 2 trainings no chip got a pseudo-label" in said[0]
    assert family.result_warnings([{"pseudo_labels": 12}, {}]) == []


def test_classes_are_drawn_equally_often_where_asked_for(one):
    config, params, hparams, previous = one
    family, share = get_family("chip_classifier"), {}
    for balance in (False, True):
        row = with_limits(params, pseudo_above=None, balance_classes=balance)
        data = family.datasets(config, row, Round(1, previous))
        drawn = np.concatenate([data.sampler.indices() for data.sampler.epoch in range(20)])
        share[balance] = data.train.targets[drawn, 1].mean()
    assert share[False] < 0.4 and share[True] == pytest.approx(0.5, abs=0.05)


def test_soft_labels_are_the_probabilities(one):
    config, params, hparams, previous = one
    folder, images, chips = parts_of(config, params, hparams)
    row = hparams.model_copy(update={"pseudo_below": 0.49999, "pseudo_above": 0.50001})
    found = pseudo_labels(previous, row, images, folder.rows["label"].to_numpy(), chips)
    assert np.allclose(found.targets(soft=True)[:, 1], found.probability) and set(np.unique(found.targets(soft=False))) == {0, 1}


def test_calibration_moves_the_limits(one):
    config, params, hparams, previous = one
    folder, images, chips = parts_of(config, params, hparams)
    calibrated = hparams.model_copy(update={"calibration": "temperature", "pseudo_below": 0.49999, "pseudo_above": 0.50001})
    found = pseudo_labels(previous, calibrated, images, folder.rows["label"].to_numpy(), chips)
    assert found.temperature != 1.0


def test_the_leak_puts_former_training_chips_into_validation_and_only_where_asked_for(one):
    config, params, _, previous = one
    family = get_family("chip_classifier")
    leaky = with_limits(params, leaky_resplit=True)
    first, second = family.datasets(config, leaky, Round()), family.datasets(config, leaky, Round(1, previous))
    before = {image.tobytes() for image in first.train.images}
    assert before & {image.tobytes() for image in second.val.images}
    closed = family.datasets(config, with_limits(params), Round(1, previous))
    assert not before & {image.tobytes() for image in closed.val.images}


def test_each_round_trains_by_its_own_flags(one):
    _, _, hparams, _ = one
    row = hparams.model_copy(update={"final_lr": 0.5, "final_epochs": 9, "threshold_final": 0.7})
    assert [row.of_round(number).lr for number in (0, 1, 2)] == [0.003, 0.5, 0.5]
    assert [row.of_round(number).max_epochs for number in (0, 1)] == [3, 9]
    assert [row.of_round(number).threshold for number in (0, 1)] == [0.5, 0.7]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A project with chips to predict, all of its cells done."""
    root = tmp_path_factory.mktemp("done o'brien")
    write_npy(root / "data" / "npy", labelled=100, extra=40, predict=12)
    config = prepared(root, "chip_classifier", [{"trainings_per_test": 2}])
    plan = plan_training(config)
    freeze(plan)
    for one in plan.cells:
        result = run_cell(plan, one.index, science)
        assert result.state == "done", f"{one.key}: {result.cause}"
    return config


def test_results_hold_scores_of_both_stages_curves_and_pictures(done):
    folder = done.project.version_results("chip_classifier", 1)
    scores = pd.read_csv(folder / "eval_metrics.csv")
    assert {"Accuracy", "Macro_F1", "Precision", "Recall", "stage1_Macro_F1", "Average_Precision", "pseudo_labels"} <= set(scores)
    assert scores[["Macro_F1", "stage1_Macro_F1"]].to_numpy().min() >= 0 and scores["labelled_chips"].tolist() == [40, 40]
    for name in ("pr_curve.png", "learning_curve.png", "confusion_matrix.png", "mistakes.png", "mistakes.csv", "predictions.csv"):
        assert (folder / name).stat().st_size > 0
    assert "Macro_F1_mean" in pd.read_csv(done.project.results / "chip_classifier_results" / "leaderboard.csv")


def test_final_predictions_are_one_class_per_chip_in_their_order(done):
    predicted = np.load(done.project.version_results("chip_classifier", 1) / "y_pred_final.npy", allow_pickle=False)
    assert predicted.shape == (12,) and set(predicted) <= {0, 1}
    table = pd.read_csv(done.project.version_results("chip_classifier", 1) / "predictions.csv")
    assert table.loc[table["kind"] == "predict", "name"].tolist() == [f"Xtest1.npy[{number}]" for number in range(12)]


def test_the_tested_scores_are_those_of_the_kept_predictions(done):
    cells = done.project.version_log("chip_classifier", 1) / "cells"
    trained = json.loads((cells / "train_test-set-0_iteration-0" / "results.json").read_text())
    evaluated = json.loads((cells / "evaluate_test-set-0_iteration-0" / "eval.json").read_text())
    table = pd.read_csv(cells / "evaluate_test-set-0_iteration-0" / "predictions.csv").query("kind == 'test'")
    assert (cells / "train_test-set-0_iteration-0" / "samples.jpg").exists()
    assert trained["Accuracy"] == pytest.approx(evaluated["Accuracy"]) == pytest.approx((table["label"] == table["predicted"]).mean())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"pseudo_below": "", "pseudo_above": ""}, "no chip gets a pseudo-label"),
        ({"pseudo_below": 0.8, "pseudo_above": 0.2}, "is not above pseudo_below"),
        ({"rounds": 1, "leaky_resplit": True}, "nothing to split anew"),
        ({"model_name": "resnet999"}, "model_name"),
        ({"lr": 0.1}, "lr: is no column of this family"),
        ({"labels": 1}, "labels"),
        ({"threshold_final": 1.5}, "threshold_final"),
    ],
)
def test_rows_that_make_no_sense_are_refused_by_column(tmp_path, row, said):
    path = write_project(tmp_path, "chip_classifier", [row]).with_name("chip_classifier.csv")
    problems = " ".join(f"{one.column}: {one.reason}" for one in read_table(path, row_model("chip_classifier")).problems)
    assert said in problems


def test_rounds_without_unlabelled_chips_are_refused(tmp_path):
    config = prepared(tmp_path, "chip_classifier", [{"labels": ""}])
    with pytest.raises(InputError, match="learns from unlabelled chips, but there are none"):
        get_family("chip_classifier").datasets(config, cell(config))


def test_three_classes_are_refused(tmp_path):
    write_npy(tmp_path / "data" / "npy")
    labels = np.arange(120) % 3
    np.save(tmp_path / "data" / "npy" / "Ytrain1.npy", labels)
    config = prepared(tmp_path, "chip_classifier", data="{chips: data/npy, classes: [a, b, c]}")
    with pytest.raises(InputError, match="has 2 classes, data.classes names 3"):
        get_family("chip_classifier").datasets(config, cell(config))


def test_any_timm_network_can_be_named(tmp_path):
    path = write_project(tmp_path, "chip_classifier", [{"model_name": "test_efficientnet"}]).with_name("chip_classifier.csv")
    row = read_table(path, row_model("chip_classifier")).require()[0]
    assert row.build_network()(*row.sample_input()).shape == (2, 1)


@pytest.mark.parametrize("family", ["chip_classifier", "sgan"])
def test_the_tables_that_come_along_are_sound(project_folder, family):
    check_table(project_folder / "configs" / f"{family}_version_hparams.csv", row_model(family), build=True).require()
