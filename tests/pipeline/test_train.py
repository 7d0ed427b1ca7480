"""Training a cell: the same numbers whatever happens to the process, and a clear end when it can't go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cratermill.batch.workspace import Stopped
from cratermill.config import Trainer
from cratermill.core.errors import InputError, WorkError
from cratermill.families import cell_params, get_family
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import train_plan
from cratermill.pipeline.train import begin, start_fabric, train
from cratermill.training.cell import FIRST, CellParams
from cratermill.training.checkpoint import load


class FakeWorkspace:
    """Stops the work after a number of steps."""

    def __init__(self, folder: Path, stop_after: int | None = None):
        self.folder, self.left = folder, stop_after
        folder.mkdir(parents=True, exist_ok=True)

    def report(self, **progress) -> None:
        if self.left is not None:
            self.left -= 1

    @property
    def stop_requested(self) -> bool:
        return self.left is not None and self.left <= 0

    def keep_going(self) -> None:
        if self.stop_requested:
            raise Stopped


def params_of(config, family: str, **hparams) -> CellParams:
    cell = next(cell for cell in train_plan(config).cells if cell.params.get("family") == family)
    return cell_params({**cell.params, "hparams": cell.params["hparams"] | hparams})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load(folder / "best.ckpt").state_dict


class Same(torch.nn.Module):
    """Its weight, and what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, given):
        self.given = given
        return self.weight * given["image"].sum()


def test_networks_get_what_was_read_unrounded_in_half_precision_too():
    fabric = start_fabric(Trainer(accelerator="cpu", precision="bf16-mixed"))
    network = Same()
    model, _ = fabric.setup(network, torch.optim.SGD(network.parameters(), 0.1))
    given = {"image": torch.tensor([130.3, -3001.7]), "target": torch.tensor([2.3026])}
    model(given)
    assert all(torch.equal(network.given[name], value) for name, value in given.items())
    with fabric.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_same_cell_twice_gives_the_same_weights_and_scores(prepared, tmp_path):
    config = load_config(prepared)
    params = params_of(config, "ejecta", max_epochs=2)
    first = train(config, params, FakeWorkspace(tmp_path / "a"))
    second = train(config, params, FakeWorkspace(tmp_path / "b"))
    same = [name for name in first if not name.startswith(("time", "runtime"))]
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert all(torch.equal(value, weights(tmp_path / "b")[name]) for name, value in weights(tmp_path / "a").items())


@pytest.mark.parametrize("wanted", [False, True])
def test_networks_are_compiled_where_the_trainer_says_so(prepared, tmp_path, monkeypatch, wanted):
    given, config = [], load_config(prepared, [f"trainer.compile={str(wanted).lower()}"])
    monkeypatch.setattr("cratermill.pipeline.train.compiled", given.append)
    fabric, workspace = start_fabric(config.run.trainer), FakeWorkspace(tmp_path / "cell")
    training = begin(fabric, config, get_family("connection"), params_of(config, "connection"), FIRST, workspace, workspace.folder)
    assert given == ([training.task.network] if wanted else [])


@pytest.mark.parametrize("family", ["ejecta", "connection"])
@pytest.mark.parametrize("stops", [[1], [7, 2], [5, 6, 3]])
def test_a_stopped_cell_goes_on_bit_for_bit(prepared, tmp_path, family, stops):
    config = load_config(prepared)
    # Dropout and augmentation draw random numbers, which must go on too.
    params = params_of(config, family, max_epochs=2, img_augment=True)
    train(config, params, FakeWorkspace(tmp_path / "straight"))
    for steps in stops:
        with pytest.raises(Stopped):
            train(config, params, FakeWorkspace(tmp_path / "broken", steps))
    train(config, params, FakeWorkspace(tmp_path / "broken"))
    pd.testing.assert_frame_equal(*(pd.read_csv(tmp_path / name / "curve.csv") for name in ("straight", "broken")), check_exact=True)
    straight, broken = weights(tmp_path / "straight"), weights(tmp_path / "broken")
    assert all(torch.equal(straight[name], broken[name]) for name in straight)


@pytest.mark.parametrize("family", ["ejecta", "connection"])
def test_batches_augmented_on_the_device_follow_from_their_keys_alone(prepared, tmp_path, family):
    """Whoever loads the samples, whether they are kept, and whether the cell was stopped."""
    on_device = "trainer.augment_on=device"
    config = load_config(prepared, [on_device, "trainer.loader_workers=0", "trainer.keep_on_device=true"])
    params = params_of(config, family, max_epochs=2, img_augment=True)
    for steps in (7, 2):
        with pytest.raises(Stopped):
            train(config, params, FakeWorkspace(tmp_path / "kept", steps))
    train(config, params, FakeWorkspace(tmp_path / "kept"))
    for name, more in {"workers": ["trainer.loader_workers=2"], "augmented there": ["trainer.augment_on=workers"]}.items():
        train(load_config(prepared, [on_device, *more]), params, FakeWorkspace(tmp_path / name))
    kept, loaded, other = (weights(tmp_path / name) for name in ("kept", "workers", "augmented there"))
    assert all(torch.equal(kept[name], loaded[name]) for name in kept)
    assert not all(torch.equal(kept[name], other[name]) for name in kept)
    curves = [pd.read_csv(tmp_path / name / "curve.csv") for name in ("kept", "workers")]
    pd.testing.assert_frame_equal(*curves, check_exact=True)


def test_samples_that_are_kept_change_nothing(prepared, tmp_path):
    found = {}
    for keep in ("true", "false"):
        config = load_config(prepared, [f"trainer.keep_on_device={keep}"])
        params = params_of(config, "ejecta", max_epochs=2, img_augment=False)
        found[keep] = train(config, params, FakeWorkspace(tmp_path / keep))
    assert all(torch.equal(value, weights(tmp_path / "false")[name]) for name, value in weights(tmp_path / "true").items())
    same = [name for name in found["true"] if not name.startswith(("time", "runtime"))]
    assert {name: found["true"][name] for name in same} == {name: found["false"][name] for name in same}


def test_where_samples_are_augmented_marks_a_cell_unless_it_is_the_usual_place(prepared):
    def marks(*changes: str) -> set[str]:
        return {cell.fingerprint for cell in train_plan(load_config(prepared, list(changes))).cells if cell.stage == "train"}

    assert marks() == marks("trainer.augment_on=workers") == marks("trainer.keep_on_device=true")
    assert not marks() & marks("trainer.augment_on=device")


def test_another_iteration_has_another_train_val_split_and_seed(prepared):
    config = load_config(prepared)
    cells = [cell for cell in train_plan(config).cells if cell.stage == "train" and cell.params["family"] == "ejecta"]
    first, second = (get_family("ejecta").datasets(config, cell_params(cell.params)) for cell in cells)
    assert set(first.val.rows) != set(second.val.rows)
    assert not set(first.val.rows) & set(first.train.rows)
    assert not set(first.test.rows) & (set(first.train.rows) | set(first.val.rows))


def test_nan_loss_stops_the_cell_with_its_place(prepared, tmp_path):
    config = load_config(prepared)
    with pytest.raises(WorkError, match=r"the loss became nan in epoch \d+, batch \d+ of ejecta version 8"):
        train(config, params_of(config, "ejecta", lr=1e30, max_epochs=3), FakeWorkspace(tmp_path))


def test_early_stopping_waits_for_the_patience(prepared, tmp_path):
    config = load_config(prepared)
    results = train(config, params_of(config, "connection", lr=1e-30, max_epochs=9, early_stop_patience=2), FakeWorkspace(tmp_path))
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert results["epochs_run"] == len(curve) == results["best_epoch"] + 1 + 2 < 9


def test_best_epoch_is_chosen_on_validation(trained):
    config = load_config(trained)
    for short, version in (("conn", 3), ("ejc", 8)):
        for folder in (config.project.version_log(short, version) / "cells").glob("train_*"):
            curve = pd.read_csv(folder / "curve.csv")
            best = load(folder / "best.ckpt")
            assert best.scores["F1_Score"] == pytest.approx(curve["F1_Score"].max())


def test_the_first_iteration_of_each_split_keeps_a_sheet_of_samples_and_loggers_get_predictions(trained):
    config = load_config(trained)
    for short, version in (("conn", 3), ("ejc", 8)):
        cells = sorted((config.project.version_log(short, version) / "cells").glob("train_*"))
        assert [(folder / "samples.jpg").exists() for folder in cells] == [folder.name.endswith("iteration-0") for folder in cells]
        read = EventAccumulator(str(cells[0] / "events"))
        read.Reload()
        assert [one.step for one in read.Images("predictions")] == list(range(0, len(pd.read_csv(cells[0] / "curve.csv")), 5))


def test_checkpoints_hold_tensors_and_plain_values_only(trained):
    config = load_config(trained)
    files = sorted(config.project.log.rglob("best.ckpt"))
    assert files
    for path in files:
        content = torch.load(path, weights_only=True)
        assert content["hparams"]["version"] == content["version"]


def test_norm_from_train_is_the_mean_and_deviation_of_the_tv_tiles(trained):
    config = load_config(trained)
    folder = next((config.project.version_log("ejc", 8) / "cells").glob("train_*"))
    norm = np.load(folder / "norm.npy")
    stack = config.data.stack("ejc_data", "tiles_32px")
    rows = pd.read_parquet(stack / "rows.parquet")
    tv = np.load(stack / "image.npy")[rows["test_0"].to_numpy() == 0].astype(float)
    assert norm.shape == (2, 4)
    np.testing.assert_allclose(norm[0, :3], tv.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(norm[1, :3], tv.std((0, 2, 3)), rtol=1e-9)


def test_unknown_split_names_the_known_ones(prepared):
    config = load_config(prepared)
    params = params_of(config, "ejecta")
    wrong = CellParams(**{**params.__dict__, "split": 61})
    with pytest.raises(InputError, match="unknown TV-Test split 61") as error:
        get_family("ejecta").datasets(config, wrong)
    assert set(error.value.valid.split(", ")) == {"0", "1"}
