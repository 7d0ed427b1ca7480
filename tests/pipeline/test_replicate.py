"""Published work by one command: what it needs is named, and what comes out stands beside what was published."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest
import yaml

from cratermill.core.errors import InputError
from cratermill.core.paths import Project
from cratermill.pipeline import replicate
from cratermill.pipeline.load_config import load_config

NAMES = ["autoencoder", "ejmap", "pseudo_label", "sgan", "symmetric_unet"]
BY_HAND = os.environ.get("CRATERMILL_REPLICATE") == "1"


@pytest.fixture
def project(tmp_path, project_folder, monkeypatch):
    folder = tmp_path / "it's a project"
    shutil.copytree(project_folder / "configs", folder / "configs")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CRATERMILL_FETCHED", raising=False)
    return folder


def test_the_five_are_there(project):
    assert replicate.replication_names(project) == NAMES
    with pytest.raises(InputError, match="no replication 'ejmab'\nValid: ejmap"):
        replicate.run_replication("ejmab")


@pytest.mark.parametrize("name", NAMES)
def test_small_configurations_are_sound(project, name):
    spec = replicate.load_replication(project, name)
    path = replicate._write_config(project, spec, f"replicate-{name.replace('_', '-')}-small", small=True)
    config = load_config(path)
    assert config.root == project and config.run.group == config.run.name and "fetched:" not in path.read_text()
    versions = {run.table: set(run.versions) for run in config.run.train.values()}
    for table in spec.tables:
        told = {line.version for line in table.lines.values()}
        assert told & set().union(*versions.values()), "a small run fills a part of each table"


@pytest.mark.parametrize(
    ("name", "line"), [("ejmap", "ejmap"), ("autoencoder", "moon-wac robbins-moon"), ("symmetric_unet", "mars-themis-day")]
)
def test_without_data_the_fetch_line_is_named(project, name, line):
    with pytest.raises(InputError, match=f"Next: run: cratermill fetch {line}"):
        replicate.run_replication(name)
    assert not (project / "log").exists()


def test_data_that_cannot_be_fetched_are_described(project):
    with pytest.raises(InputError, match="data/chips is missing, .*\nValid: class folders of chips"):
        replicate.run_replication("sgan")


def test_merged():
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert replicate.merged(base, {"a": {"b": None, "e": 3}, "d": [2]}) == {"a": {"c": 2, "e": 3}, "d": [2]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_means_stand_beside_what_was_published(project):
    spec = replicate.load_replication(project, "symmetric_unet")
    inside = Project(project, "g")
    folder = inside.version_results("crater_unet", 4)
    folder.mkdir(parents=True)
    pd.DataFrame({"Accuracy": [0.5, 0.7], "loss": [1.0, 3.0], "time_per_epoch": [5.0, 7.0]}).to_csv(
        folder / "test_metrics.csv", index=False
    )
    (folder / "hparams.json").write_text('{"kernel_size": 7, "filter_multiple": 1}')
    (row,) = replicate.table_of(inside, spec.tables[0]).to_dict("records")
    assert (row["test"], row["kernel_size"], row["time_per_epoch"], row["cells"]) == ("S-4", 7, 6, 2)
    assert row["Accuracy"] == pytest.approx(0.6) and row["Accuracy published"] == 0.9939 and row["loss published"] == 0.0164
    curve = inside.cell_product("crater_unet", 4, "train", 0, 0) / "curve.csv"
    curve.parent.mkdir(parents=True)
    pd.DataFrame({"epoch": range(60), "loss": 1.0, "Accuracy": [0.5] * 49 + [0.75] + [0.8] * 10}).to_csv(curve, index=False)
    (row,) = replicate.table_of(inside, spec.tables[0].model_copy(update={"epochs": (50, 500)})).to_dict("records")
    assert row["Accuracy validation, epoch 50"] == 0.75 and not any("500" in name for name in row)
    page = replicate.write_page(project, spec, "g")
    assert "Table 1" in page.read_text() and "Table 2" not in page.read_text() and (page.parent / "table_1.csv").exists()
    reduced = "128 steps in all"
    assert reduced not in page.read_text() and reduced in replicate.write_page(project, spec, "g-small").read_text()


TINY = {
    "symmetric_unet": (
        {"crater_unet": {"versions": [1], "set": {"max_epochs": 1}, "data": {"dots": {"tiles": 8, "tile_px": 128}}}},
        {"n_fresh": 2},
        {"S-1": {"Accuracy published": 0.9871}},
        "learning_curves.png",
    ),
    "sgan": (
        {"sgan": {"versions": [0, 10], "set": {"max_epochs": 1, "width": 8, "generator_width": 8}, "data": {"cut": {"max_craters": 20}}}},
        {"n_fresh": 20},
        {"SGAN, 10 labels": {"Accuracy published": 0.826}, "CNN, 10 labels": {}},
        "few_labels.png",
    ),
    "pseudo_label": (
        {"chip_classifier": {"set": {"initial_epochs": 1, "final_epochs": 1}, "data": {"cut": {"max_craters": 20, "unlabelled": 10}}}},
        {"n_fresh": 20},
        {
            "validation fixed": {"Accuracy published": 0.903, "stage1_Accuracy published": 0.865},
            "with the leak": {"Macro_F1 published": 0.902, "stage1_Macro_F1 published": 0.845},
        },
        "learning_curve.png",
    ),
    "ejmap": (
        {name: {"set": {"max_epochs": 1, "tile_size_px": 32}} for name in ("connection", "ejecta")},
        {"n_fresh": 6, "shape": (192, 384), "tile_shape_px": (12, 24)},
        {"small": {}},
        "tuning_splits.png",
    ),
    "autoencoder": (
        {"autoencoder": {"set": {"max_epochs": 1, "crop_px": 32, "cluster_max": 3}, "data": {"count": 40}}},
        {"n_fresh": 5},
        {"CAE-6": {}, "CAE-20": {"val_loss published": 0.0019}},
        "clustering_dots.png",
    ),
}
"""What is changed of a small run, and of its planet, to take seconds; and what stands on its page: lines of its first table, a figure."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_small_run_to_its_page(project, monkeypatch, capfd, name):
    train, planet, lines, figure = TINY[name]
    path = project / "configs" / "replicate" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text())
    content["small"] = replicate.merged(
        content["small"], {"train": train} | ({"map": {"craters": [1]}} if "map" in content["small"] else {})
    )
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.setattr(replicate, "PLANET", {**replicate.PLANET, "shape": (64, 128), "tile_shape_px": (8, 16), **planet})
    assert replicate.run_replication(name, small=True) == 0
    folder = project / "results" / "replicate" / f"replicate-{name.replace('_', '-')}-small"
    table = pd.read_csv(folder / "table_1.csv").set_index("test")
    (score, *_), page = content["tables"][0]["scores"], (folder / "index.html").read_text()
    assert table.index.tolist() == list(lines) and table[score].between(0, 1).all()
    for line, published in lines.items():
        assert table.loc[line, list(published)].to_dict() == published
    assert "A small run on a synthetic planet" in page and figure in page
    capfd.readouterr()
    assert replicate.run_replication(name, small=True) == 0
    assert "train_" not in capfd.readouterr().out, "nothing is trained twice"


@pytest.mark.skipif(not BY_HAND, reason="minutes each; CRATERMILL_REPLICATE=1 runs them")
@pytest.mark.parametrize("name", NAMES)
def test_each_small_run(project, name):
    assert replicate.run_replication(name, small=True) == 0
    tables = sorted((project / "results" / "replicate").rglob("table_*.csv"))
    assert len(tables) == len(replicate.load_replication(project, name).tables)
