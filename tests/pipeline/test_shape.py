"""What the common shape lets a family do: several rounds, several optimisers, weights that follow, scores of which less is better."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from cratermill.batch.workspace import Stopped
from cratermill.core.errors import InputError
from cratermill.pipeline import summarise
from cratermill.pipeline import train as stage
from cratermill.pipeline.leaderboard import leaderboard
from cratermill.pipeline.load_config import parse_config
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import load
from tests.pipeline.test_train import FakeWorkspace
from tests.pipeline.toy import ROW, Hparams, Toy


@pytest.fixture
def toy(monkeypatch):
    family = Toy()
    monkeypatch.setattr(stage, "get_family", lambda name: family)
    return family


def config(tmp_path):
    return parse_config({"name": "toy", "data": "data"}, tmp_path)


def params(**hparams) -> CellParams:
    return CellParams("toy", 1, 0, 0, 5, Hparams.from_plan({**ROW, "rounds": 2, **hparams}))


def test_each_round_has_its_own_epochs_and_gets_the_best_network_of_the_one_before(toy, tmp_path):
    work = FakeWorkspace(tmp_path / "cell")
    results = stage.train(config(tmp_path), params(), work)
    assert [number for number, _ in toy.seen] == [0, 1]
    assert toy.seen[1][1] == load(work.folder / "round-0" / "best.ckpt").epoch
    assert len(pd.read_csv(work.folder / "round-0" / "curve.csv")) == 3
    assert len(pd.read_csv(work.folder / "curve.csv")) == results["epochs_run"] == 4
    assert results["error"] == json.loads((work.folder / "results.json").read_text())["error"] > 0
    assert (work.folder / "sheet_3.txt").exists()


@pytest.mark.parametrize("stops", [[2], [11, 4], [3, 3, 3, 3, 3, 3]])
def test_a_cell_of_rounds_that_is_stopped_goes_on_bit_for_bit(toy, tmp_path, stops):
    stage.train(config(tmp_path), params(), FakeWorkspace(tmp_path / "straight"))
    for steps in stops:
        with pytest.raises(Stopped):
            stage.train(config(tmp_path), params(), FakeWorkspace(tmp_path / "broken", steps))
    stage.train(config(tmp_path), params(), FakeWorkspace(tmp_path / "broken"))
    for name in ("round-0/best.ckpt", "best.ckpt"):
        straight, broken = (load(tmp_path / cell / name).state_dict for cell in ("straight", "broken"))
        assert all(torch.equal(straight[key], broken[key]) for key in straight)


def test_both_optimisers_step_and_the_kept_weights_follow(toy, tmp_path):
    torch.manual_seed(0)
    first = (
        load(tmp_path / "cell" / "best.ckpt") if stage.train(config(tmp_path), params(rounds=1), FakeWorkspace(tmp_path / "cell")) else None
    )
    state = torch.load(tmp_path / "cell" / "last.ckpt", weights_only=True)
    assert len(state["optimizers"]) == 2 and all(optimizer["state"] for optimizer in state["optimizers"])
    assert not torch.equal(state["model"]["network.weight"], state["model"]["pulled.weight"])
    assert set(first.state_dict) == {"weight", "bias"}


def test_the_best_epoch_has_the_lowest_error(toy, tmp_path):
    results = stage.train(config(tmp_path), params(rounds=1, max_epochs=6), FakeWorkspace(tmp_path / "cell"))
    curve = pd.read_csv(tmp_path / "cell" / "curve.csv")
    assert results["best_epoch"] == curve["epoch"][curve["error"].idxmin()]


def test_no_epochs_keep_the_network_as_it_was_built(toy, tmp_path):
    results = stage.train(config(tmp_path), params(rounds=1, max_epochs=0), FakeWorkspace(tmp_path / "cell"))
    assert results["epochs_run"] == 0 and np.isfinite(results["error"])
    assert load(tmp_path / "cell" / "best.ckpt").epoch == -1


def test_the_leaderboard_and_the_kept_checkpoint_take_the_lowest_error(toy, tmp_path):
    project = config(tmp_path).project
    for version, error in ((1, 0.5), (2, 0.1), (3, 3.0)):
        folder = project.version_results("toy", version)
        folder.mkdir(parents=True)
        pd.DataFrame({"test-set": [0, 0], "iteration": [0, 1], "error": [error, error + 0.2]}).to_csv(
            folder / "test_metrics.csv", index=False
        )
    assert pd.read_csv(leaderboard(project, toy))["version"].tolist() == [2, 1, 3]
    cells = []
    for iteration, error in enumerate((0.9, 0.2, 0.4)):
        product = tmp_path / f"cell {iteration}"
        product.mkdir()
        (product / "best.ckpt").write_text(f"{error}")
        (product / "norm.npy").write_text("norm")
        metrics = {"val_error": error, "val_loss": error}
        cells.append({"split": 0, "iteration": iteration, "product": product, "metrics": metrics, "hparams": ROW})
    summarise.keep_checkpoints(toy, pd.DataFrame(cells), tmp_path / "results")
    assert (tmp_path / "results" / "best-checkpoint_test-set-0.ckpt").read_text() == "0.2"


def test_keys_that_only_a_family_knows_are_checked_when_the_config_is_read(tmp_path):
    content = {"name": "x", "data": "data", "train": {"ejecta": {"table": "configs/e.csv", "data": {"tilez": 3}}}}
    with pytest.raises(InputError, match="train.ejecta.data.tilez: unknown key"):
        parse_config(content, tmp_path)
    with pytest.raises(InputError, match="map.options.speed: unknown key"):
        parse_config({"name": "x", "data": "data", "map": {"versions": {"ejecta": 1}, "options": {"speed": 9}}}, tmp_path)


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("crater_unet", "threshold", 0.7),
        ("crater_detector", "match_brightness", True),
        ("chip_classifier", "craters", [3, 17]),
        ("autoencoder", "craters", "radius_m > 2e4"),
        ("autoencoder", "match_brightness", True),
        ("autoencoder", "show", [1]),
        ("connection", "overlap_alpha", 0.3),
    ],
)
def test_keys_of_a_map_that_would_do_nothing_are_refused(tmp_path, family, key, value):
    content = {"name": "x", "data": "data", "map": {"versions": {family: 1}, key: value}}
    with pytest.raises(InputError, match=f"map.{key}: no key for maps of {family}\nValid: name, "):
        parse_config(content, tmp_path)
    sound = {"craters": [3, 17]} if family == "connection" else {"split": 1}
    assert parse_config({**content, "map": {"versions": {family: 1}, **sound}}, tmp_path).maps
    whole = {"threshold": 0.7, "show": [3], "overlap_alpha": 0.3, "smallest_cluster_px": 4, "match_brightness": True, "craters": [3]}
    assert parse_config({**content, "map": {"versions": {"connection": 1, "ejecta": 2}, **whole}}, tmp_path).maps


NEEDED = {"chip_classifier": {"chips": "a"}, "sgan": {"chips": "a"}, "autoencoder": {"catalogue": "a"}}


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("crater_unet", "img_norm", {"mean": [1.0], "std": [2.0]}),
        ("chip_classifier", "tiles", {"eval_size_px": 64}),
        ("sgan", "splits.by", {"by": "tile"}),
        ("autoencoder", "splits.hold_out", {"hold_out": {"craters": [3]}}),
    ],
)
def test_keys_that_no_family_of_the_config_obeys_are_refused(tmp_path, family, key, value):
    trained = {family: {"table": "configs/x.csv", "data": NEEDED.get(family, {})}}
    content = {"name": "x", "data": "data", key.split(".")[0]: value}
    with pytest.raises(InputError, match=f"{key}: no key for {family}"):
        parse_config({**content, "train": trained}, tmp_path)
    assert parse_config({**content, "train": trained | {"ejecta": {"table": "configs/e.csv"}}}, tmp_path).run.train


@pytest.mark.parametrize(
    ("data", "key"), [({"catalogue": "a.csv", "labelled": True}, "labelled"), ({"crops": "a.zip", "bands": [1]}, "bands")]
)
def test_keys_of_the_other_kind_of_crops_are_refused(tmp_path, data, key):
    with pytest.raises(InputError, match=f"train.autoencoder.data: {key}: no key of "):
        parse_config({"name": "x", "data": "data", "train": {"autoencoder": {"table": "configs/x.csv", "data": data}}}, tmp_path)
