"""EJMAP's checkpoints: converted whole or not at all, and never by running what is in them."""

from __future__ import annotations

import shutil
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cratermill.families import row_model
from cratermill.families.ejecta.predict import EjectaEnsemble
from cratermill.tables.table import read_table
from cratermill.training.checkpoint import load
from cratermill.training.device import Computing

EJECTA, CONNECTION = Path("results/ejc_results/version_8"), Path("results/conn_results/version_3")
NORM = np.array([[90.0, 91.0, 92.0, 5.5], [20.0, 21.0, 22.0, 0.4]])


class Injector(nn.Module):
    def __init__(self, size: int, channels: list[int]):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(size, count) for count in channels)


class SmpMidinput(nn.Module):
    """EJMAP's segmenter: an smp model taken apart, and a Linear per feature map for the vector."""

    def __init__(self):
        import segmentation_models_pytorch as smp

        super().__init__()
        model = smp.Unet(encoder_name="tu-test_efficientnet", encoder_weights=None, in_channels=4, classes=1, activation=None)
        self.encoder, self.decoder, self.head = model.encoder, model.decoder, model.segmentation_head
        self.injector = Injector(4, list(self.encoder.out_channels[1:]))

    def forward(self, image: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        first, *features = self.encoder(image)
        added = [one + linear(vector).relu()[:, :, None, None] for one, linear in zip(features, self.injector.linears, strict=True)]
        return self.head(self.decoder([first, *added]))


class Trap:
    """Leaves a file behind when it is unpickled by anything that runs it."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def save(path: Path, model: nn.Module, prefix: str = "model.", pickled: bool = True, **more) -> Path:
    """As Lightning writes it: the task's state, and (``pickled``) the network itself among the hyper-parameters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    content = {"epoch": 17, "global_step": 99, "state_dict": state, "optimizer_states": [{"lr": 1e-3}], "callbacks": {"EarlyStopping": {}}}
    torch.save(content | ({"hyper_parameters": {"model": model, "loss": "dice"}} if pickled else {}) | more, path)
    return path


@pytest.fixture
def segmenter() -> SmpMidinput:
    torch.manual_seed(1)
    return SmpMidinput().eval()


@pytest.fixture
def ejecta(folder, segmenter) -> Path:
    """EJMAP's folder with two iterations of ejecta version 8 on split 1."""
    for iteration in (0, 1):
        save(folder / EJECTA / f"best-checkpoint_test-set-1_iteration-{iteration}.ckpt", segmenter, trap=Trap(folder / "sprung"))
    np.save(folder / EJECTA / "best-norm_test-set-1.npy", NORM)
    return folder


def test_without_trust_pickles_are_left_out_and_trust_is_explained(ejecta, root, bring):
    report = bring(ejecta)
    note = next(note for note in report.notes if "left out" in note)
    assert "2 checkpoints" in note and "iteration-0.ckpt" in note and "--trust" in note and "can run code" in note
    assert not (ejecta / "sprung").exists() and not list((root / "results").rglob("*.ckpt"))


def test_trusted_checkpoints_give_the_same_predictions_and_nothing_in_them_is_run(ejecta, segmenter, root, bring):
    report = bring(ejecta, trust=True)
    assert report.refused == [] and report.brought["checkpoints"] == 2
    assert not (ejecta / "sprung").exists()
    paths = [root / EJECTA / f"best-checkpoint_test-set-1_iteration-{iteration}.ckpt" for iteration in (0, 1)]
    first = load(paths[0], "ejecta", 8)
    assert (first.split, first.iteration, first.epoch) == (1, 0, 17)
    np.testing.assert_array_equal(first.norm, NORM)
    offset, divisor = torch.tensor(NORM, dtype=torch.float32)
    normal, vector = torch.randn(2, 4, 32, 32), torch.randn(2, 4)
    network = EjectaEnsemble.load(paths, "ejecta", 8, Computing(torch.device("cpu"), "32-true")).networks[1]
    with torch.no_grad():
        found = network(normal * divisor[:, None, None] + offset[:, None, None], vector * divisor + offset)
        assert torch.allclose(found, segmenter(normal, vector), rtol=1e-3, atol=1e-3)


def test_again_checkpoints_are_not_converted_twice(folder, segmenter, root, bring):
    save(folder / EJECTA / "best-checkpoint_test-set-1_iteration-0.ckpt", segmenter, pickled=False)
    np.save(folder / EJECTA / "best-norm_test-set-1.npy", NORM)
    bring(folder)
    path = root / EJECTA / "best-checkpoint_test-set-1_iteration-0.ckpt"
    before = path.stat().st_mtime_ns
    assert bring(folder).brought["checkpoints"] == 1
    assert path.stat().st_mtime_ns == before


def test_the_best_checkpoint_alone_serves_as_an_ensemble_of_one(folder, segmenter, root, bring):
    save(folder / EJECTA / "best-checkpoint_test-set-1.ckpt", segmenter, pickled=False)
    np.save(folder / EJECTA / "best-norm_test-set-1.npy", NORM)
    bring(folder)
    assert load(root / EJECTA / "best-checkpoint_test-set-1_iteration-0.ckpt").split == 1


def test_connection_checkpoints_and_their_tiles(folder, root, bring):
    row = read_table(folder / "code" / "connection_version_hparams.csv", row_model("connection")).rows[0]
    network = row.build_network(3, pretrained=False)
    log = folder / "log" / "conn_log" / "version_3"
    save(log / "checkpoints" / "best-checkpoint_test-set-0_iteration-4.ckpt", network, "model.full_model.")
    (log / "norms").mkdir()
    np.save(log / "norms" / "norm_test-set-0_iteration-4.npy", NORM)
    table = pd.read_csv(folder / "data" / "conn_data" / "eval_positions" / "eval_positions_crater_1.csv").iloc[:3]
    (folder / CONNECTION / "conn_positions").mkdir(parents=True)
    table.to_csv(folder / CONNECTION / "conn_positions" / "conn-pos_test-set-0_crater-1.csv", index=False)
    (folder / CONNECTION / "test_metrics.csv").write_text("test-set,iteration,loss\n0,4,0.5\n")
    brought = bring(folder, trust=True).brought
    assert (brought["checkpoints"], brought["connected tiles (tables)"], brought["tables of scores"]) == (1, 1, 1)
    made = load(root / CONNECTION / "best-checkpoint_test-set-0_iteration-4.ckpt", "connection", 3)
    assert all(torch.equal(made.state_dict[f"network.{name}"], value) for name, value in network.state_dict().items())
    from cratermill.families.connection.evaluate import votes
    from cratermill.pipeline.load_config import load_config

    voted = votes(load_config(root / "configs" / "mercury" / "mercury.yaml"), 3, 0)
    assert voted["x"].tolist() == table["x"].tolist() and set(voted["crat_FID"]) == {1}


def lacking(segmenter: nn.Module, folder: Path) -> str:
    del segmenter.injector.linears[0]
    return "lacks 2 of its weights"


def more(segmenter: nn.Module, folder: Path) -> str:
    segmenter.auxiliary = nn.Linear(2, 2)
    return "holds, but the network doesn't, 2 of its weights"


def another_shape(segmenter: nn.Module, folder: Path) -> str:
    segmenter.injector.linears[1] = nn.Linear(3, segmenter.injector.linears[1].out_features)
    return "has in another shape 1 of its weights"


def no_norm(segmenter: nn.Module, folder: Path) -> str:
    (folder / EJECTA / "best-norm_test-set-1.npy").unlink()
    return "its normalisation is missing"


def odd_norm(segmenter: nn.Module, folder: Path) -> str:
    np.save(folder / EJECTA / "best-norm_test-set-1.npy", np.zeros((2, 4)))
    return "no table of offsets and divisors"


def no_row(segmenter: nn.Module, folder: Path) -> str:
    shutil.rmtree(folder / "code")
    return "its row is not known"


@pytest.mark.parametrize("spoil", [lacking, more, another_shape, no_norm, odd_norm, no_row])
def test_what_does_not_fit_is_refused_whole(folder, segmenter, root, bring, spoil):
    (folder / EJECTA).mkdir(parents=True)
    np.save(folder / EJECTA / "best-norm_test-set-1.npy", NORM)
    reason = spoil(segmenter, folder)
    save(folder / EJECTA / "best-checkpoint_test-set-1_iteration-0.ckpt", segmenter, pickled=False)
    report = bring(folder)
    assert len(report.refused) == 1 and reason in report.refused[0], report.refused
    assert not list((root / "results").rglob("*.ckpt"))
    assert (root / "data" / "mercury" / "prepared.json").exists()  # all else is there


def test_damaged_and_empty_ones_are_refused_by_name(ejecta, root, bring):
    first, second = sorted((ejecta / EJECTA).glob("*.ckpt"))
    first.write_bytes(first.read_bytes()[:2000])
    torch.save({"state_dict": {"model.odd": torch.ones(1)}, "other": types.SimpleNamespace(a=1)}, second)
    refused = bring(ejecta, trust=True).refused
    assert any(first.name in text for text in refused) and any("lacks" in text and second.name in text for text in refused)


def test_files_of_tensors_alone_need_no_trust(folder, segmenter, root, bring):
    path = save(folder / EJECTA / "best-checkpoint_test-set-1_iteration-0.ckpt", segmenter, pickled=False)
    np.save(path.with_name("best-norm_test-set-1.npy"), NORM)
    assert bring(folder).brought["checkpoints"] == 1


def test_results_of_a_version_trained_here_are_not_mixed_with_ejmaps(ejecta, root, bring):
    (root / "log" / "ejc_log" / "version_8" / "cells").mkdir(parents=True)
    report = bring(ejecta, trust=True)
    assert report.brought["checkpoints"] == 0 and any("trained in this project" in note for note in report.notes)


def test_the_reader_needs_no_class_of_the_file(ejecta, tmp_path):
    """The pickled network's module does not exist for the reader, as EJMAP's does not exist here."""
    from cratermill.ejmap_import.checkpoints import read_weights

    path = next((ejecta / EJECTA).glob("*.ckpt"))
    state, epoch, stand_ins = read_weights(path, trust=True)
    assert epoch == 17 and any(name.endswith("SmpMidinput") for name in stand_ins)
    assert all(name.startswith("model.") for name in state)
