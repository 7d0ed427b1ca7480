"""The columns that both tables of chips share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ...training.fields import Augmentation, Integer
from ...training.hparams import RowHparams


class ChipHparams(RowHparams):
    """Columns of chip_classifier and sgan besides those of every family."""

    val_metric: Literal["Accuracy", "Balanced_Accuracy", "Macro_F1", "Precision", "Recall", "loss", "epoch"] = Field(
        description="validation score that picks the best epoch; epoch: the last one, so that no validation label is used"
    )
    labels: Integer | None = Field(
        None, ge=2, description="labels that training knows, equally many per class; all others are hidden. Blank: all labels are known"
    )
    chip_size_px: Integer = Field(32, ge=8, description="side of the network's input; chips are resampled to it")
    img_augment: Augmentation = Field(
        False, description="turn and mirror training chips at random (8 orientations); or the name of a recipe in configs/augment"
    )

    @property
    def needs_unlabelled(self) -> bool:
        """Whether the row learns from chips whose label it doesn't know."""
        raise NotImplementedError

    @property
    def decision_threshold(self) -> float:
        """Probability from which the trained network says that it is the second of two classes."""
        return 0.5

    @property
    def class_count(self) -> int:
        """Number of classes that the row's network tells apart."""
        raise NotImplementedError

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.val_metric == "epoch" and self.early_stop_patience is not None:
            yield "early_stop_patience", "is set, but val_metric epoch always keeps the last epoch", "blank"
