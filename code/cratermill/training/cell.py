"""What a training cell is about, the rounds it makes and the data it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import Checkpoint


@dataclass(frozen=True)
class CellParams:
    """What a train or evaluate cell is about; plain values, straight from the frozen plan."""

    family: str
    version: int
    split: int
    iteration: int
    seed: int
    hparams: dict[str, Any]


@dataclass(frozen=True)
class Round:
    """One of the trainings that a cell makes in turn; ``previous`` is the best network of the round before, None in the first."""

    number: int = 0
    previous: Checkpoint | None = None


@dataclass
class Datasets:
    """What training needs from a family.

    ``train[key]`` takes the keys that ``sampler`` deals, ``val`` and ``test`` plain indices; all give dicts of tensors.
    ``sampler`` deals keys (epoch, position, index); ``norm`` is (2, C): row 0 offsets, row 1 divisors.
    """

    train: Any
    val: Any
    test: Any
    sampler: Any
    norm: Any
    mark: str = ""
    """A hash of the data, for the checkpoint to tell later what it learned from."""
    shown: Any = None
    """Images as a map would show them, where ``val`` changes their scale or light."""


FIRST = Round()
