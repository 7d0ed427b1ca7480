"""Checkpoints: nothing but tensors and plain values, and a clear refusal of anything else."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from cratermill.core.errors import InputError
from cratermill.training.checkpoint import Checkpoint, load, require_data
from cratermill.training.checkpoint_plain import plain_in


@pytest.fixture
def saved(tmp_path):
    checkpoint = Checkpoint("ejecta", 3, 1, 0, 42, {"lr": 0.1}, np.ones((2, 4)), nn.Linear(2, 3).state_dict(), {"F1_Score": 0.5}, 7)
    return checkpoint.save(tmp_path / 'it\'s a "best".ckpt')


def test_round_trip(saved):
    found = load(saved, "ejecta", 3)
    assert (found.split, found.seed, found.epoch, found.scores, found.hparams) == (1, 42, 7, {"F1_Score": 0.5}, {"lr": 0.1})
    assert found.norm.shape == (2, 4) and set(found.state_dict) == {"weight", "bias"}


def test_plain_values_are_read_without_tensors_or_not_at_all(saved, tmp_path):
    assert plain_in(saved, "ejecta", 3) == {"hparams": load(saved).hparams, "seen": {}}
    assert plain_in(saved, "ejecta", 4) is plain_in(saved, "connection", 3) is plain_in(tmp_path / "none.ckpt", "ejecta", 3) is None
    moved = saved.rename(tmp_path / "best_test-set-0_iteration-0.ckpt")
    assert plain_in(moved, "ejecta", 3) is None, "its name says another split"
    moved.write_bytes(moved.read_bytes()[:500])
    assert plain_in(moved, "ejecta", 3) is None


def test_other_family_or_version_is_refused(saved):
    with pytest.raises(InputError, match="belongs to ejecta version 3"):
        load(saved, "ejecta", 4)
    with pytest.raises(InputError, match="belongs to ejecta version 3"):
        load(saved, "connection", 3)


def test_weights_of_another_network_are_refused(saved):
    with pytest.raises(InputError, match="does not fit the network"):
        load(saved).load_into(nn.Linear(5, 3), saved)


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_truncated_file_is_named(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(InputError, match="is damaged|more than tensors") as error:
        load(saved)
    assert str(saved) in str(error.value)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="there is no checkpoint"):
        load(tmp_path / "none.ckpt")


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("write", [lambda path: torch.save({"x": Evil()}, path), lambda path: path.write_bytes(pickle.dumps(Evil()))])
def test_foreign_code_is_never_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="code|damaged"):
        load(tmp_path / "evil.ckpt")
    assert plain_in(tmp_path / "evil.ckpt", "ejecta", 3) is None
    assert not (tmp_path / "pwned").exists()


def test_foreign_dictionary_is_no_checkpoint(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="is no checkpoint of cratermill") as error:
        load(tmp_path / "other.ckpt")
    assert "import-ejmap" in error.value.next_step


@pytest.mark.parametrize(
    ("weight", "norm", "what"),
    [
        ([1.0, np.nan], [[0.0], [1.0]], "w"),
        ([np.inf, 0.0], [[0.0], [1.0]], "w"),
        ([1.0, 2.0], [[np.nan], [1.0]], "norm"),
        ([1.0, 2.0], [[0.0], [0.0]], "norm"),
        ([1.0, 2.0], [0.0, 1.0], "norm"),
    ],
)
def test_weights_and_norms_that_are_no_numbers_are_refused(tmp_path, weight, norm, what):
    path = Checkpoint("ejecta", 3, 1, 0, 42, {}, np.array(norm), {"w": torch.tensor(weight)}).save(tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=f": {what} holds values that are no numbers"):
        load(path)


def test_masks_of_attention_may_be_infinite(tmp_path):
    mask = torch.tensor([[0.0, -np.inf], [0.0, 0.0]])
    assert load(Checkpoint("ejecta", 3, 1, 0, 42, {}, np.ones((2, 1)), {"mask": mask}).save(tmp_path / "x.ckpt")).version == 3


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("best-checkpoint_test-set-1_iteration-0.ckpt", True),
        ("train_test-set-1_iteration-0/best.ckpt", True),
        ("best-checkpoint_test-set-1.ckpt", True),
        ("best-checkpoint_test-set-2_iteration-0.ckpt", False),
        ("train_test-set-1_iteration-3/best.ckpt", False),
    ],
)
def test_split_and_iteration_of_the_name_are_those_of_the_content(saved, tmp_path, name, sound):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    path = saved.rename(tmp_path / name)
    if sound:
        assert load(path).split == 1
    else:
        with pytest.raises(InputError, match="split 1, iteration 0"):
            load(path)


def test_other_data_than_those_of_the_training_are_refused(tmp_path):
    weights = {"w": torch.zeros(1)}
    path = Checkpoint("ejecta", 3, 1, 0, 42, {}, np.ones((2, 1)), weights, data="a").save(tmp_path / "x.ckpt")
    require_data(path, lambda: "a")
    with pytest.raises(InputError, match="trained on other data"):
        require_data(path, lambda: "b")
    require_data(Checkpoint("ejecta", 3, 1, 0, 42, {}, np.ones((2, 1)), weights).save(path), lambda: "b")  # made before this was noted


@pytest.mark.parametrize("content", [b"crater,lon,lat\n1,2,3\n", b"\x89PNG\r\n\x1a\n rest", b"(dp0\n.", b"{}", "zip"])
def test_a_file_that_is_no_checkpoint_is_called_so(tmp_path, content):
    path = tmp_path / "x.ckpt"
    if content == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "text")
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="is no checkpoint"):
        load(path)
