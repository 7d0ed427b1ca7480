"""Ensembles of trained iterations: each tile is read once and goes through all members."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import torch

from ..core.errors import InputError
from ..core.files import stat_fingerprint
from ..core.prefetch import prefetched
from ..samples.brightness import Ground
from ..samples.sending import sent
from ..training.cell import CellParams
from ..training.checkpoint import Checkpoint, load
from ..training.device import Computing
from ..training.hparams import RowHparams
from ..training.normalised import Normalised
from . import get_family, row_model

CHUNK = 32
"""Tiles sampled and predicted at a time: bounds the memory, changes no result."""


class Ensemble:
    """The networks of one version's checkpoints, in evaluation mode. ``hparams`` is the row, of the model of its family."""

    not_ground = 0
    """Last channels of the input that are no ground, such as distances."""

    def __init__(self, checkpoints: Iterable[Checkpoint], paths: list[Path], computing: Computing | None = None):
        self.computing = computing or Computing.of()
        self.networks: list[Normalised] = []
        self.ground = Ground()
        for checkpoint, path in zip(checkpoints, paths, strict=True):
            row = row_model(checkpoint.family).from_plan(checkpoint.hparams)
            if not self.networks:
                self.checkpoint, self.hparams = replace(checkpoint, state_dict={}), cast(Any, row)
            # One at a time: the weights of a whole ensemble are held once, in its networks.
            self.networks.append(self.network_of(checkpoint, row, path))

    @classmethod
    def load(cls, paths: list[Path], family: str, version: int, computing: Computing | None = None):
        """Read checkpoints of one version; raises ``InputError`` if there are none, or one is damaged or of another version."""
        if not paths:
            raise InputError(f"no checkpoint of {family} version {version} was found", next_step="train that version first")
        return cls((load(path, family, version) for path in paths), list(paths), computing)

    def network_of(self, checkpoint: Checkpoint, row: RowHparams, path: Path) -> Normalised:
        """A member at work."""
        one = checkpoint
        params = CellParams(one.family, one.version, one.split, one.iteration, one.seed, row.without_weights())
        network: Normalised = get_family(one.family).task(params, one.norm).network
        one.load_into(network, path)
        # On CPUs, too, forward passes are a tenth to two thirds faster so.
        return network.to(memory_format=torch.channels_last).to(self.device).eval()

    def __len__(self) -> int:
        return len(self.networks)

    @property
    def device(self) -> torch.device:
        return self.computing.device

    def shown(self) -> dict[str, Any]:
        """What the networks were shown since the last call, beside what they learned from; for the traffic light of a map."""
        sums, self.ground = self.ground.plain(), Ground()
        seen = self.checkpoint.seen
        of_channels = {"mean", "std", "roughness"}
        trained = {name: values[: len(values) - self.not_ground] if name in of_channels else values for name, values in seen.items()}
        return {"here": sums, "trained": trained}

    def renormalise(self, norm: np.ndarray) -> None:
        """Other offsets and divisors (2, C) for raw input than those of the training."""
        self.checkpoint = replace(self.checkpoint, norm=norm)
        for network in self.networks:
            network.set_norm(norm)

    @torch.inference_mode()
    def probabilities(self, image_BCHW: np.ndarray | torch.Tensor, extra_BM: np.ndarray | None = None) -> torch.Tensor:
        """Sigmoid of each member's logits for raw inputs: (members, B, ...) float32."""
        self.ground.add(np.asarray(torch.as_tensor(one).cpu()) for one in image_BCHW[:, : image_BCHW.shape[1] - self.not_ground])
        image = sent(image_BCHW, self.device).to(memory_format=torch.channels_last)
        extra = () if extra_BM is None else (sent(extra_BM, self.device),)
        with self.computing.autocast():
            return torch.stack([network(image, *extra).float().sigmoid() for network in self.networks])


Job = TypeVar("Job")
Kind = TypeVar("Kind")
Result = TypeVar("Result")


def kept(kind: Callable[..., Kind], paths: list[Path], *more: Any) -> Kind:
    """What ``kind`` makes of these checkpoints of a version, kept for the process's next cell unless their files change.

    ``more``: what ``kind`` is called with after the paths: the version, and how it computes.
    """
    return cast(Kind, _kept(kind, more, tuple((path, *stat_fingerprint(path)) for path in paths)))


@lru_cache(maxsize=4)
def _kept(kind: Callable[..., Any], more: tuple[Any, ...], files: tuple[tuple[Any, ...], ...]) -> Any:
    return kind([path for path, *_ in files], *more)


def fetched(answer: torch.Tensor) -> np.ndarray:
    return answer.cpu().numpy()


def answered(answers: Generator[Kind, None, None], use: Callable[[Kind], Result]) -> Iterator[Result]:
    """What ``use`` makes of networks' answers, one by one and in order, on a thread: the networks are at work on the next meanwhile."""
    with closing(answers), ThreadPoolExecutor(1) as pool:
        yield from prefetched(pool, use, answers)


def ahead(jobs: Iterable[Job], sample: Callable[[Job], Kind]) -> Iterator[Kind]:
    """What ``sample`` makes of each job, in order: the next is sampled on a thread while one is at work in the networks."""
    with ThreadPoolExecutor(1) as pool:
        yield from prefetched(pool, sample, jobs)


def sampled_ahead(table: pd.DataFrame, sample: Callable[[pd.DataFrame], Kind], size: int = CHUNK) -> Iterator[Kind]:
    """The same of a table, in pieces of so many rows."""
    return ahead((table.iloc[start : start + size] for start in range(0, len(table), size)), sample)
