"""The curve over numbers of labels is gathered from the trained cells of both families."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from cratermill.core.files import write_json
from cratermill.core.paths import Project
from cratermill.families.chips_common.few_labels import SHOWN, draw_few_labels


def cell(project, short, version, iteration, hparams, score):
    folder = project.cell_product(short, version, "train", 0, iteration)
    folder.mkdir(parents=True)
    params = {"family": short, "version": version, "split": 0, "iteration": iteration, "hparams": hparams}
    metrics = {"Accuracy": score, "Balanced_Accuracy": score, "Macro_F1": score}
    (folder / "cell.json").write_text(json.dumps({"stage": "train", "params": params, "metrics": metrics}))


def test_every_row_that_hides_labels_stands_in_the_table_with_its_interval(tmp_path):
    project = Project(tmp_path)
    for iteration, score in enumerate((0.90, 0.92, 0.94)):
        cell(project, "sgan", 1, iteration, {"method": "sgan", "labels": 20}, score)
        cell(project, "sgan", 5, iteration, {"method": "cnn", "labels": 20}, score - 0.1)
        cell(project, "chip_classifier", 1, iteration, {"rounds": 2, "labels": 20}, score - 0.05)
        cell(project, "chip_classifier", 2, iteration, {"rounds": 2, "labels": None}, 0.99)
    path = draw_few_labels(project)
    table = pd.read_csv(path.with_suffix(".csv")).set_index("method")
    assert path.stat().st_size > 0 and set(table.index) == {"SGAN", "CNN", "pseudo-labels"}
    sgan = table.loc["SGAN"]
    assert (sgan["draws"], sgan["Accuracy_mean"]) == (3, pytest.approx(0.92))
    half = 4.302653 * np.std([0.90, 0.92, 0.94], ddof=1) / np.sqrt(3)
    assert sgan["Accuracy_ci95_low"] == pytest.approx(0.92 - half, abs=1e-4)


def test_without_hidden_labels_there_is_no_curve(tmp_path):
    cell(Project(tmp_path), "sgan", 1, 0, {"method": "sgan", "labels": None}, 0.9)
    assert draw_few_labels(Project(tmp_path)) is None


def test_versions_of_a_group_have_a_curve_of_their_own(tmp_path):
    inside = Project(tmp_path, "mine")
    cell = inside.version_log("sgan", 3) / "cells" / "train_a" / "cell.json"
    metrics = dict.fromkeys(SHOWN, 0.5)
    write_json(
        cell, {"params": {"version": 3, "split": 0, "iteration": 0, "hparams": {"method": "sgan", "labels": 10}}, "metrics": metrics}
    )
    path = draw_few_labels(inside)
    assert path is not None and path.parent.name == "mine" and draw_few_labels(Project(tmp_path)) is None
