"""Checkpoints of trained cells: tensors and plain values only, so that loading one never runs foreign code."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import InputError, first_line
from ..core.files import atomic_path
from .checkpoint_plain import FORMAT, place_in


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one trained cell and all that is needed to build its network again; ``norm`` is (2, C).

    ``seen``: ``mean`` and ``std`` per channel of the raw images that it learned from; ``data``: a hash of those data.
    Both are empty where nobody knows.
    """

    family: str
    version: int
    split: int
    iteration: int
    seed: int
    hparams: dict[str, Any]
    norm: np.ndarray
    state_dict: dict[str, torch.Tensor]
    scores: dict[str, float] = field(default_factory=dict)
    epoch: int = -1
    seen: dict[str, list[float]] = field(default_factory=dict)
    data: str = ""

    def save(self, path: Path) -> Path:
        content = {"format": FORMAT, **asdict(self), "norm": torch.as_tensor(self.norm)}
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
        return path

    def load_into(self, network: torch.nn.Module, path: Path) -> None:
        try:
            network.load_state_dict(self.state_dict)
        except RuntimeError as error:
            raise InputError(
                f"{path} does not fit the network of its own row: {first_line(error)}",
                valid=f"weights of {self.family} version {self.version} made by this version of cratermill",
                next_step="train the version again",
            ) from error


def load(path: Path, family: str | None = None, version: int | None = None) -> Checkpoint:
    """Read a checkpoint with ``weights_only``; refuses foreign, broken and mistaken ones by name.

    A path that says of which split and iteration it is (``…test-set-0_iteration-3…``) must be right.
    """
    content = read_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path} is no checkpoint of cratermill",
            valid=f"a file of format {FORMAT}",
            next_step="EJMAP's own checkpoints are converted by 'cratermill import-ejmap DIR --trust'",
        )
    content.pop("format")
    try:
        checkpoint = Checkpoint(**{**content, "norm": content["norm"].numpy()})
    except (TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, error) from error
    _require_its_place(checkpoint, path, {"family": family, "version": version, **place_in(path)})
    _require_numbers(checkpoint, path)
    return checkpoint


def require_data(path: Path, hash_now: Callable[[], str]) -> None:
    """Raise ``InputError`` where a checkpoint learned from other data than there are now: what it is tested on it may have seen."""
    learned = load(path).data
    if learned and learned != hash_now():
        raise InputError(
            f"{path} was trained on other data than those that are prepared now",
            valid="a checkpoint of these data",
            next_step="launch the training again, or bring back the data",
        )


def _require_its_place(checkpoint: Checkpoint, path: Path, wanted: dict[str, str | int | None]) -> None:
    if any(value is not None and getattr(checkpoint, what) != value for what, value in wanted.items()):
        raise InputError(
            f"{path} belongs to {checkpoint.family} version {checkpoint.version}, split {checkpoint.split}, "
            f"iteration {checkpoint.iteration}",
            valid=", ".join(f"{what} {value}" for what, value in wanted.items() if value is not None),
            next_step="put the right file there, or train again",
        )


def _require_numbers(checkpoint: Checkpoint, path: Path) -> None:
    """Weights and normalisation that are no numbers would make maps of nothing, without a word."""
    norm = np.asarray(checkpoint.norm)
    sound = norm.ndim == 2 and len(norm) == 2 and bool(np.isfinite(norm).all()) and bool((norm[1] != 0).all())
    wrong = next((name for name, value in checkpoint.state_dict.items() if not _is_sound(value)), None if sound else "norm")
    if wrong is not None:
        raise InputError(
            f"{path}: {wrong} holds values that are no numbers (NaN or infinite){'' if sound else ', or divides by 0'}",
            valid="finite weights, and a norm (2, channels) with divisors other than 0",
            next_step="remove it and train again; lower lr in a new row if it happens again",
        )


def _is_sound(value: torch.Tensor) -> bool:
    if not value.is_floating_point() or bool(torch.isfinite(value).all()):
        return True
    return bool(((value == 0) | (value == -torch.inf)).all())  # a mask of attention


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"the checkpoint {path} is damaged: {first_line(error)}", next_step="remove it and launch again")


def read_tensors(path: Path) -> Any:
    """Tensors and plain values of a file; never unpickles anything else."""
    _require_written_by_torch(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}", next_step="train that version first, or copy its results") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors and plain values; loading it would run code from the file",
            next_step="use only checkpoints made by cratermill; EJMAP's own can be converted by 'cratermill import-ejmap DIR --trust'",
        ) from error


def _require_written_by_torch(path: Path) -> None:
    """Raise ``InputError`` for pictures, texts, tables and archives of other things, by their first bytes and members."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(4)
        members = _members(path) if start[:2] == b"PK" and zipfile.is_zipfile(path) else ["data.pkl"]
    except (OSError, zipfile.BadZipFile):
        return  # missing and damaged files are named where they are read
    pickled = start[:2] == b"PK" or start[:1] == b"\x80" or not start
    if not pickled or not any(name.endswith("data.pkl") for name in members):
        raise InputError(
            f"{path} is no checkpoint: torch has not written it",
            valid="a file with weights that was saved by torch (.ckpt, .pt, .pth)",
            next_step="check the path",
        )


def _members(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        return file.namelist()
