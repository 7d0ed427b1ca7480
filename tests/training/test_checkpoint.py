"""Checkpoints: nothing but tensors and plain values, and a clear refusal of anything else."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from cratermill.core.errors import InputError
from cratermill.training.checkpoint import Checkpoint, load


@pytest.fixture
def saved(tmp_path):
    checkpoint = Checkpoint("ejecta", 3, 1, 0, 42, {"lr": 0.1}, np.ones((2, 4)), nn.Linear(2, 3).state_dict(), {"F1_Score": 0.5}, 7)
    return checkpoint.save(tmp_path / 'it\'s a "best".ckpt')


def test_round_trip(saved):
    found = load(saved, "ejecta", 3)
    assert (found.split, found.seed, found.epoch, found.scores, found.hparams) == (1, 42, 7, {"F1_Score": 0.5}, {"lr": 0.1})
    assert found.norm.shape == (2, 4) and set(found.state_dict) == {"weight", "bias"}


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
    assert not (tmp_path / "pwned").exists()


def test_foreign_dictionary_is_no_checkpoint(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="is no checkpoint of cratermill") as error:
        load(tmp_path / "other.ckpt")
    assert "import-ejmap" in error.value.next_step
