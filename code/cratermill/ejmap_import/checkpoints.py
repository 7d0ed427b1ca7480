"""EJMAP's checkpoints as ours: weights, row and norm, and nothing else."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..families import get_family
from ..training.cell import CellParams
from ..training.checkpoint import FORMAT, Checkpoint
from .npy_files import Unreadable, mapped

if TYPE_CHECKING:
    from .source import Source

NAME = re.compile(r"best-checkpoint_test-set-(\d+)(?:_iteration-(\d+))?\.ckpt$")
PREFIXES = {"connection": "model.full_model.", "ejecta": "model."}
"""What stands before the names of a network's weights in EJMAP's checkpoints."""
UNKNOWN_SEED = 0
READING_S = 900


@dataclass(frozen=True)
class Found:
    """One checkpoint of EJMAP's. ``iteration`` is None for the best of a split, which EJMAP copied without its number."""

    family: str
    version: int
    split: int
    iteration: int | None
    path: Path
    norm: Path | None

    @property
    def name(self) -> str:
        """The file's name in our results. A split's only checkpoint counts as iteration 0, so that an ensemble of one can map."""
        return f"best-checkpoint_test-set-{self.split}_iteration-{self.iteration or 0}.ckpt"


class NeedsTrust(Exception):
    """The file holds more than tensors and plain values."""


class Refused(Exception):
    """Why a checkpoint can't be converted."""


def find_checkpoints(source: Source, family: str) -> list[Found]:
    """Every checkpoint that EJMAP kept in results/ or log/, each iteration once."""
    short = get_family(family).short
    found: dict[tuple, Found] = {}
    for kind, sub in (("log", "checkpoints"), ("results", "")):
        for version, folder in source.versions(kind, short).items():
            for path in sorted((folder / sub).glob("*.ckpt")):
                if match := NAME.match(path.name):
                    split, iteration = int(match[1]), int(match[2]) if match[2] else None
                    norm = _norm_of(source, short, version, split, iteration)
                    found[version, split, iteration] = Found(family, version, split, iteration, path, norm)
    numbered = {key[:2] for key in found if key[2] is not None}
    return [one for key, one in sorted(found.items(), key=str) if key[2] is not None or key[:2] not in numbered]


def _norm_of(source: Source, short: str, version: int, split: int, iteration: int | None) -> Path | None:
    """The normalisation of a split; it is the same for all its iterations."""
    results, log = (source.versions(kind, short).get(version, Path("-")) for kind in ("results", "log"))
    own = [log / "norms" / f"norm_test-set-{split}_iteration-{iteration}.npy"] if iteration is not None else []
    candidates = [
        *own,
        results / f"best-norm_test-set-{split}.npy",
        *sorted((log / "norms").glob(f"norm_test-set-{split}_iteration-*.npy")),
    ]
    return next((path for path in candidates if path.exists()), None)


def convert(found: Found, row: Any, target: Path, trust: bool) -> list[str]:
    """Write one checkpoint in our format; returns the names in the file for which stand-ins were used.

    Raises :class:`NeedsTrust` for a pickled one without ``trust``, and :class:`Refused` unless all of the network's weights are in it
    and all of its weights in the network.
    """
    norm = _read_norm(found)
    state, epoch, stand_ins = read_weights(found.path, trust)
    params = CellParams(found.family, found.version, found.split, found.iteration or 0, UNKNOWN_SEED, row)
    network = get_family(found.family).task(replace(params, hparams=row.without_weights()), norm).network
    matched = match(state, network, PREFIXES[found.family])
    network.load_state_dict(matched)
    facts = (found.family, found.version, found.split, found.iteration or 0, UNKNOWN_SEED, params.plain_row(), norm)
    Checkpoint(*facts, network.state_dict(), epoch=epoch).save(target)
    return stand_ins


def _read_norm(found: Found) -> np.ndarray:
    if found.norm is None:
        raise Refused(f"its normalisation is missing: best-norm_test-set-{found.split}.npy beside it")
    try:
        norm = np.array(mapped(found.norm), np.float64)
    except Unreadable as reason:
        raise Refused(f"its normalisation {found.norm.name} {reason}") from reason
    if norm.ndim != 2 or norm.shape[0] != 2 or not np.isfinite(norm).all() or not (norm[1] != 0).all():
        raise Refused(f"its normalisation {found.norm.name} is no table of offsets and divisors, shape {norm.shape}")
    return norm


def match(state: dict[str, torch.Tensor], network: torch.nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """The network's whole state from EJMAP's names; raises :class:`Refused` with the names that have no partner."""
    own = network.state_dict()
    given = {f"network.{name.removeprefix(prefix)}": value for name, value in state.items() if name.startswith(prefix)}
    needed = {name for name in own if name.startswith("network.")}
    other = {name for name in needed & set(given) if given[name].shape != own[name].shape}
    troubles = [("lacks", needed - set(given)), ("holds, but the network doesn't,", set(given) - needed), ("has in another shape", other)]
    words = [f"{what} {len(names)} of its weights ({_few(names)})" for what, names in troubles if names]
    if words or not given:
        raise Refused(
            "it " + ("; it ".join(words) or f"holds no weights under {prefix}") + f"; {len(needed & set(given)) - len(other)} match"
        )
    return own | given


def _few(names: set[str], most: int = 3) -> str:
    shown = [name.removeprefix("network.") for name in sorted(names)[:most]]
    return ", ".join(shown) + (", …" if len(names) > most else "")


def read_weights(path: Path, trust: bool) -> tuple[dict[str, torch.Tensor], int, list[str]]:
    """The tensors under ``state_dict``, the epoch (-1 if it isn't told), and names for which stand-ins were used."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not trust:
            raise NeedsTrust from error
        return _read_apart(path)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise Refused(f"it is damaged: {str(error).splitlines()[0][:200]}") from error
    if isinstance(content, dict) and content.get("format") == FORMAT:
        raise Refused("it is one of cratermill's already: copy it to results/")
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    epoch = content.get("epoch", -1) if isinstance(content, dict) else -1
    return {name: value for name, value in state.items() if torch.is_tensor(value)}, epoch if isinstance(epoch, int) else -1, []


def _read_apart(path: Path) -> tuple[dict[str, torch.Tensor], int, list[str]]:
    """The same from a pickled file, read by a process that knows neither this environment's variables nor this folder."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory(prefix="cratermill-") as folder:
        program = [sys.executable, "-I", str(Path(__file__).with_name("reader.py")), str(path.resolve()), folder]
        environment = {"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "CUDA_VISIBLE_DEVICES": ""}
        try:
            done = subprocess.run(program, env=environment, cwd=folder, capture_output=True, text=True, timeout=READING_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise Refused(f"reading it took more than {READING_S} s") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"the reader ended with {done.returncode}"])[-1]
            raise Refused(f"it can't be read: {last[:200]}")
        facts = json.loads((Path(folder) / "facts.json").read_text(encoding="utf-8"))
        return load_file(Path(folder) / "weights.safetensors"), facts["epoch"], facts["stand_ins"]
