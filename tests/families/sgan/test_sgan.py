"""The semi-supervised GAN: what each player's step changes, what the tested weights are, and that a stopped cell goes on bit for bit."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import default_collate

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.batch.workspace import Stopped
from cratermill.core.errors import InputError
from cratermill.families import cell_params, get_family, row_model
from cratermill.families.chips_common.predict import classifier
from cratermill.families.sgan.data import NORM
from cratermill.families.sgan.hparams import Hparams
from cratermill.families.sgan.task import SganTask
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.train import train
from cratermill.samples.recipe import Recipe
from cratermill.tables.table import read_table
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import load
from tests.families.chips_common.case import SGAN, chips, prepared, write_npy, write_project
from tests.pipeline.test_train import FakeWorkspace
from tests.tiny import with_trainer


def row(**values) -> Hparams:
    return Hparams.model_validate({key: value for key, value in (SGAN | values).items() if not key.startswith("OPT_")})


def batch(count=6) -> dict[str, torch.Tensor]:
    images, labels = chips(2 * count)
    tensors = torch.from_numpy(images[:, None].astype(np.float32))
    return {"image": tensors[:count], "target": torch.eye(2)[torch.from_numpy(labels[:count])], "unlabelled": tensors[count:]}


def task(**values) -> SganTask:
    torch.manual_seed(0)
    return SganTask(row(**values), NORM)


def moved(task: SganTask, part: int) -> set[str]:
    """Which modules one part's step changes."""
    before = copy.deepcopy(task.state_dict())
    optimizer = task.optimizers()[part][0]
    task(batch(), part).backward()
    optimizer.step()
    return {name.split(".")[0] for name, value in task.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("loss", ["feature_matching", "non_saturating"])
def test_each_step_teaches_its_own_player(loss):
    assert moved(task(generator_loss=loss), 0) == {"discriminator"}
    assert moved(task(generator_loss=loss), 1) == {"generator"}


def test_the_shared_classifier_learns_from_unlabelled_chips_and_the_unshared_one_does_not():
    for method, learns in (("sgan", True), ("sgan_unshared", False)):
        one = task(method=method)
        one(batch(), 0).backward()
        with_chips = one.discriminator.body[0].weight.grad.clone()
        one.zero_grad()
        torch.manual_seed(1)
        other = batch() | {"unlabelled": 255 - batch()["unlabelled"]}
        one.eval()  # no dropout, so that only the unlabelled chips differ
        one(other, 0).backward()
        first = one.discriminator.body[0].weight.grad.clone()
        one.zero_grad()
        torch.manual_seed(1)
        one(batch(), 0).backward()
        assert torch.allclose(first, one.discriminator.body[0].weight.grad) != learns
        assert torch.isfinite(with_chips).all()


def test_discriminator_loss_is_the_papers_sum():
    one = task(dropout=0.0)
    one.eval()
    given = batch()
    torch.manual_seed(3)
    found = one.discriminator_loss(given)
    torch.manual_seed(3)
    generated = one.generated(6)
    known, real, fake = (one.discriminator(x) for x in (one.normalised(given["image"]), one.normalised(given["unlabelled"]), generated))
    z_real, z_fake = real.exp().sum(1), fake.exp().sum(1)
    supervised = -(torch.log_softmax(known, 1) * given["target"]).sum(1).mean()
    unsupervised = -0.5 * (torch.log(z_real / (1 + z_real)).mean() + torch.log(1 - z_fake / (1 + z_fake)).mean())
    assert found.item() == pytest.approx((supervised + unsupervised).item(), abs=1e-6)


def test_tested_weights_follow_as_a_moving_average():
    one = task(ema=0.9)
    with torch.no_grad():
        for weight in one.discriminator.parameters():
            weight.fill_(1.0)
    start = one.network.network.head.bias.clone()
    one.after_step()
    first = one.network.network.head.bias.clone()
    assert torch.allclose(first, start + (1 - 1 / 11) * (1 - start))
    for _ in range(400):
        one.after_step()
    assert torch.allclose(one.network.network.head.bias, torch.ones(2), atol=1e-4)
    assert not any(weight.requires_grad for weight in one.network.parameters())


def test_without_a_moving_average_the_trained_weights_are_tested():
    one = task(ema=0.0)
    moved(one, 0)
    one.after_step()
    assert all(torch.equal(a, b) for a, b in zip(one.network.network.parameters(), one.discriminator.parameters(), strict=True))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    rows = [{}, {"method": "cnn"}, {"method": "sgan_unshared", "generator_loss": "non_saturating", "labels": 12}]
    return prepared(tmp_path_factory.mktemp("sgan"), "sgan", rows)


def cells(config) -> list[CellParams]:
    return [cell_params(cell.params) for cell in plan_training(config).cells if cell.stage == "train"]


def test_methods_are_taught_the_same_labelled_chips_in_the_same_order(config):
    gan, cnn = (get_family("sgan").datasets(config, params) for params in cells(config)[:2])
    keys = [(2, position, index) for position, index in enumerate(range(10))]
    assert list(gan.sampler) == list(cnn.sampler)
    for key in keys:
        assert torch.equal(gan.train[key]["image"], cnn.train[key]["image"]) and torch.equal(
            gan.train[key]["target"], cnn.train[key]["target"]
        )
    targets = torch.stack([gan.train[key]["target"] for key in keys])
    assert targets.sum(0).tolist() == [5, 5]


@pytest.mark.parametrize("augments", [True, Recipe(name="still", changes={"Add": {}}, some_of=(0, 0))])
def test_chips_are_moved_alike_on_the_device_and_in_workers(config, augments):
    """Bit for bit, labelled and unlabelled ones."""
    given = [replace(params, hparams=params.hparams.model_copy(update={"img_augment": augments})) for params in cells(config)[:2]]
    keys = [(epoch, position, position % 7) for epoch in (0, 4) for position in range(12)]
    for params in given:
        by_workers, on_device = (
            get_family("sgan").datasets(with_trainer(config, augment_on=where), params) for where in ("workers", "device")
        )
        wanted, plain = (default_collate([data.train[key] for key in keys]) for data in (by_workers, on_device))
        found = on_device.augment(plain, keys)
        assert by_workers.augment is None and all(torch.equal(found[name], wanted[name]) for name in wanted)
        assert not any(torch.equal(found[name], plain[name]) for name in ("image", "unlabelled"))


@pytest.mark.parametrize("stops", [[2], [4, 1, 2]])
def test_a_stopped_cell_goes_on_bit_for_bit(config, tmp_path, stops):
    params = cells(config)[0]
    train(config, params, FakeWorkspace(tmp_path / "straight"))
    for steps in stops:
        with pytest.raises(Stopped):
            train(config, params, FakeWorkspace(tmp_path / "broken", steps))
    train(config, params, FakeWorkspace(tmp_path / "broken"))
    straight, broken = (load(tmp_path / name / "best.ckpt") for name in ("straight", "broken"))
    assert all(torch.equal(straight.state_dict[key], broken.state_dict[key]) for key in straight.state_dict)
    for sheet in ("samples/epoch_0001.png", "samples.jpg"):
        assert (tmp_path / "straight" / sheet).read_bytes() == (tmp_path / "broken" / sheet).read_bytes()


def test_every_method_leaves_a_checkpoint_that_loads_as_a_classifier(config, tmp_path):
    plan = plan_training(config)
    freeze(plan)
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"
    for version, outputs in ((1, 2), (2, 1), (3, 2)):
        results = config.project.version_results("sgan", version)
        checkpoint = load(results / "best-checkpoint_test-set-0.ckpt", "sgan", version)
        network = classifier(checkpoint, Hparams.from_plan(checkpoint.hparams))
        assert network(torch.from_numpy(chips(3)[0][:, None].astype(np.float32))).shape == (3, outputs)
        scores = pd.read_csv(results / "eval_metrics.csv")
        assert scores["Balanced_Accuracy"].between(0, 1).all()
        assert (results / "samples").exists() == (version != 2)
    curve = pd.read_csv(config.project.results / "sgan_results" / "few_labels.csv")
    assert set(zip(curve["method"], curve["labels"], strict=True)) == {("SGAN", 8), ("CNN", 8), ("SGAN, unshared", 12)}
    assert (config.project.results / "sgan_results" / "few_labels.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "gan"}, "method: is none of the choices"),
        ({"chip_size_px": 28}, "chip_size_px: is no multiple of 8"),
        ({"labels": 9}, "labels: can't be shared equally by 2 classes"),
        ({"early_stop_patience": 3}, "early_stop_patience: is set, but val_metric epoch"),
        ({"ema": 1}, "ema"),
    ],
)
def test_rows_that_make_no_sense_are_refused_by_column(tmp_path, values, said):
    path = write_project(tmp_path, "sgan", [values]).with_name("sgan.csv")
    assert said in " ".join(f"{one.column}: {one.reason}" for one in read_table(path, row_model("sgan")).problems)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"labels": 400}, "200 labels of class plain are asked for, but only"),
        ({"labels": ""}, "learns from unlabelled chips, but there are none"),
        ({"classes": 3, "labels": 9}, "has 3 classes, data.classes names 2"),
    ],
)
def test_rows_that_do_not_fit_the_chips_are_refused(tmp_path, values, said):
    config = prepared(tmp_path, "sgan", [values])
    with pytest.raises(InputError, match=said):
        get_family("sgan").datasets(config, cells(config)[0])


def test_unlabelled_chips_of_their_own_are_learned_from(tmp_path):
    write_npy(tmp_path / "data" / "npy", labelled=60, extra=30)
    config = prepared(tmp_path, "sgan", [{"labels": ""}])
    data = get_family("sgan").datasets(config, cells(config)[0])
    assert len(data.train) == 60 - len(data.val) - len(data.test) + 30
