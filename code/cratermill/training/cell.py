"""What a training cell is about, the rounds it makes and the data it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import Checkpoint


SAMPLES = "samples.jpg"
"""Within a cell's folder: the best, middle and worst of its Test samples."""


@dataclass(frozen=True)
class CellParams:
    """What a train or evaluate cell is about, made of a frozen plan's plain values by :func:`~cratermill.families.cell_params`."""

    family: str
    version: int
    split: int
    iteration: int
    seed: int
    hparams: Any
    """The row, as the model of its family, which only that family knows."""

    def plain_row(self) -> dict[str, Any]:
        """The row as it lies in plans and checkpoints."""
        values: dict[str, Any] = self.hparams.model_dump(mode="json")
        return values


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
    augment: Callable[[Any, list[tuple[int, int, int]]], Any] | None = None
    """What is done to batches of ``train`` where they are computed, given the keys that they were dealt by; ``train`` changes none then."""
    fixed: bool = False
    """Whether samples of ``train`` follow from their numbers alone, the last of their keys."""


FIRST = Round()
