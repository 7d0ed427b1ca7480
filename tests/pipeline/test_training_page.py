"""The training page from a results folder: complete without anything beside it, and honest about gaps."""

import re

import numpy as np
import pandas as pd
from PIL import Image

from cratermill.core.files import write_json, write_table
from cratermill.core.frames import read_columns
from cratermill.core.paths import Project
from cratermill.families import get_family
from cratermill.pipeline.training_page import write_training_page
from cratermill.report.training_pictures import best_row, leaderboard_picture, learning_curves
from cratermill.training.hparams import TrainingHparams


def curve(best, epochs=6):
    score = 0.8 - 0.1 * abs(np.arange(epochs) - best)
    return pd.DataFrame({"epoch": range(epochs), "train_loss": 1 / (1 + np.arange(epochs)), "loss": 1.2 - score, "F1_Score": score})


def results(root):
    project = Project(root / "it's here")
    for split in (0, 1):
        cell = project.cell_product("ejc", 3, "train", split, 0)
        write_table(cell / "curve.csv", curve(split + 2))
        write_json(cell / "cell.json", {})
    write_table(project.cell_product("ejc", 3, "train", 7, 0) / "curve.csv", curve(1))  # never published
    folder = project.version_results("ejc", 3)
    write_table(folder / "test_metrics.csv", pd.DataFrame({"test-set": [0, 1], "iteration": 0, "F1_Score": [0.5, 0.6]}))
    write_json(folder / "hparams.json", {"val_metric": "F1_Score", "lr": 0.001, "loss": None, "keywords": {"OPT_AdamW_weight_decay": 0.5}})
    write_json(folder / "missing.json", ["train_ejecta-v3_<test>-set-2"])
    row = {"version": 3, "F1_Score_mean": 0.55, "F1_Score_se": 0.05, "F1_Score_ci95_low": 0.4, "F1_Score_ci95_high": 0.7}
    write_table(project.results / "ejc_results" / "leaderboard.csv", pd.DataFrame([row]))
    return project


def test_the_page_holds_everything_itself(tmp_path):
    page = write_training_page(results(tmp_path), get_family("ejecta"))
    text = page.read_text()
    assert page.name == "index.html" and text.count("data:image/png;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:|assets/|\.\./index.html)', text)
    assert all((page.parent / path).exists() for path in re.findall(r'(?:src|href)="(assets/[^"]*)', text))
    assert "Version 3" in text and "OPT_AdamW_weight_decay" in text and "0.55" in text


def test_missing_cells_are_named_and_escaped(tmp_path):
    text = write_training_page(results(tmp_path), get_family("ejecta")).read_text()
    assert "Missing cells: train_ejecta-v3_&lt;test&gt;-set-2" in text and "<test>" not in text


def test_a_family_without_results_has_a_page_all_the_same(tmp_path):
    text = write_training_page(Project(tmp_path), get_family("connection")).read_text()
    assert "Training results: conn" in text and "img" not in text.split("</style>")[1]


def test_curves_and_board_are_pictures_and_nothing_comes_of_nothing(tmp_path):
    rank = TrainingHparams.validation_rank
    for split, epochs in enumerate((6, 1, 0)):
        write_table(tmp_path / f"{split}.csv", curve(2, epochs))
    (tmp_path / "3.csv").write_text("epoch,loss\n1,broken\n")
    curves = {(split, 0): read_columns(tmp_path / f"{split}.csv") for split in range(4)}
    assert [len(one.get("epoch", ())) for one in curves.values()] == [6, 1, 0, 0]
    assert best_row(curves[0, 0], "F1_Score", rank) == (2, 0.8)
    path = learning_curves(tmp_path / "a.png", curves, "F1_Score", rank)
    assert Image.open(path).size == (1320, 440)
    assert learning_curves(tmp_path / "b.png", {}, "F1_Score", rank) is None
    other = {(3, 0): {name: 7 - 2 * values for name, values in curves[0, 0].items()}}
    assert learning_curves(tmp_path / "other.png", other, "F1_Score", rank).read_bytes() != path.read_bytes()
    again = learning_curves(tmp_path / "again.png", curves, "F1_Score", rank)
    assert again.read_bytes() == path.read_bytes()  # nothing of what was drawn between
    assert leaderboard_picture(tmp_path / "c.png", pd.DataFrame({"version": [1]})) is None
    assert leaderboard_picture(tmp_path / "c.png", pd.DataFrame({"version": [1], "val_loss_mean": [0.5]})) is None  # no test scores yet
    alone = {"version": 1, "F1_mean": 0.5, "F1_ci95_low": np.nan, "F1_ci95_high": np.nan}
    assert Image.open(leaderboard_picture(tmp_path / "d.png", pd.DataFrame([alone]))).width == 880


def test_pages_of_many_versions_stay_small(tmp_path, monkeypatch):
    """The best versions and those with gaps have sections; pictures that would make the page large lie beside it."""
    project = Project(tmp_path / "it's here")
    for version in range(6):
        write_table(project.cell_product("ejc", version, "train", 0, 0) / "curve.csv", curve(2))
        write_json(project.cell_product("ejc", version, "train", 0, 0) / "cell.json", {})
        folder = project.version_results("ejc", version)
        write_table(folder / "test_metrics.csv", pd.DataFrame({"test-set": 0, "iteration": range(30), "F1_Score": 0.5}))
        write_json(folder / "hparams.json", {"val_metric": "F1_Score"})
        write_json(folder / "missing.json", [f"cell-{n}" for n in range(50)] if version == 4 else [])
    old = project.version_results("ejc", 5) / "learning_curves.png"
    old.write_bytes(b"an old picture")
    board = pd.DataFrame({"version": [2, 0, 1, 3, 4, 5], "F1_Score_mean": 0.5, "F1_Score_ci95_low": 0.4, "F1_Score_ci95_high": 0.7})
    write_table(project.results / "ejc_results" / "leaderboard.csv", board)
    for name, value in {"MOST_VERSIONS": 3, "EMBEDDED_BYTES": 0, "MOST_ROWS": 20}.items():
        monkeypatch.setattr(f"cratermill.pipeline.training_page.{name}", value)
    text = write_training_page(project, get_family("ejecta")).read_text()
    assert re.findall(r"<h2>Version (\d)</h2>", text) == ["0", "2", "4"]
    assert "Below are 3 of 6 versions" in text and "cell-19 and 30 more" in text and "and 20 more rows in the CSV" in text
    shown = re.findall(r'src="(version_[^"]*)"', text)
    assert shown == [f"version_{version}/learning_curves.png" for version in (0, 2, 4)]
    assert all((project.results / "ejc_results" / path).exists() for path in shown) and not old.exists()
