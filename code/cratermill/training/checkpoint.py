"""Checkpoints of trained cells: tensors and plain values only, so that loading one never runs foreign code."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import InputError, first_line
from ..core.files import atomic_path

FORMAT = "cratermill-1"


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one trained cell and all that is needed to build its network again; ``norm`` is (2, C).

    ``seen``: ``mean`` and ``std`` per channel of the raw images that it learned from; empty where nobody knows.
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
    """Read a checkpoint with ``weights_only``; refuses foreign, broken and mistaken ones by name."""
    content = read_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path} is no checkpoint of cratermill",
            valid=f"a file of format {FORMAT}",
            next_step="EJMAP's own checkpoints are converted by 'cratermill import-ejmap DIR --trust'",
        )
    content.pop("format")
    checkpoint = Checkpoint(**{**content, "norm": content["norm"].numpy()})
    for what, wanted in (("family", family), ("version", version)):
        if wanted is not None and getattr(checkpoint, what) != wanted:
            raise InputError(
                f"{path} belongs to {checkpoint.family} version {checkpoint.version}",
                valid=f"{what} {wanted}",
                next_step="put the right file there, or train again",
            )
    return checkpoint


def read_tensors(path: Path) -> Any:
    """Tensors and plain values of a file; never unpickles anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}", next_step="train that version first, or copy its results") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"the checkpoint {path} is damaged: {first_line(error)}", next_step="remove it and launch again") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors and plain values; loading it would run code from the file",
            next_step="use only checkpoints made by cratermill; EJMAP's own can be converted by 'cratermill import-ejmap DIR --trust'",
        ) from error
