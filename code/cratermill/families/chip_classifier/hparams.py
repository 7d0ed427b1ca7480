"""One row of the chip_classifier table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ...training.fields import Flag, Integer, Number
from ..chips_common.hparams import ChipHparams

ORIGINAL = "original"
NORMS = {"unit": (0.0, 255.0), "symmetric": (127.5, 127.5)}
"""Offset and divisor of grey values."""


class Hparams(ChipHparams):
    """The six flags of the original stand in initial_lr … threshold_final; ``lr`` and ``max_epochs`` are set round by round from them."""

    outputs: ClassVar[int | None] = 1

    model_name: str = Field(min_length=1, description="original: the 14 033-parameter CNN; or a timm network, as in the connection table")
    pretrained: Flag = Field(False, description="begin with published weights; they must be in the local cache (cratermill weights fetch)")
    chip_size_px: Integer = Field(48, ge=11, description="side of the network's input; chips are resampled to it (original: 48)")
    norm: Literal["unit", "symmetric"] = Field("unit", description="grey values go to 0…1 (unit) or −1…1 (symmetric)")
    rounds: Integer = Field(
        2, ge=1, le=10, description="trainings in turn; each after the first adds the pseudo-labels of the one before. 1: none"
    )
    initial_lr: Number = Field(gt=0, description="learning rate of the first round (original: 3e-4)")
    final_lr: Number = Field(gt=0, description="learning rate of the further rounds (original: 4e-4)")
    initial_epochs: Integer = Field(ge=0, description="epochs of the first round (original: 75)")
    final_epochs: Integer = Field(ge=0, description="epochs of each further round (original: 50)")
    threshold_initial: Number = Field(0.5, gt=0, lt=1, description="probability from which the first round's network says crater")
    threshold_final: Number = Field(0.5, gt=0, lt=1, description="the same for the networks of further rounds")
    pseudo_below: Number | None = Field(
        None, gt=0, lt=1, description="unlabelled chips below this probability become class 0 (original: .25); blank: none do"
    )
    pseudo_above: Number | None = Field(
        None, gt=0, lt=1, description="unlabelled chips above this probability become class 1; blank, as in the original: none do"
    )
    pseudo_labels: Literal["hard", "soft"] = Field("hard", description="hard: the class itself; soft: its probability")
    calibration: Literal["none", "temperature"] = Field(
        "none", description="temperature: probabilities are calibrated on the validation chips before the two limits are applied"
    )
    balance_classes: Flag = Field(
        False,
        description="draw both classes equally often; with many more pseudo-labels of one class than of the other a network may "
        "otherwise fall silent and say nothing but that class",
    )
    leaky_resplit: Flag = Field(
        False,
        description="the original's leak, only for reproducing its figures: each further round draws its validation chips anew from all of "
        "training, validation and pseudo-labels",
    )
    lr: Number = Field(1e-3, gt=0, description="learning rate of the round at hand, see of_round")
    max_epochs: Integer = Field(0, ge=0, description="epochs of the round at hand")
    threshold: Number = Field(0.5, description="decision threshold of the round at hand")

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.rounds > 1 and self.pseudo_below is None and self.pseudo_above is None:
            yield "pseudo_below", "is blank like pseudo_above, so that no chip gets a pseudo-label", "a probability, like 0.25; or rounds 1"
        below, above = self.pseudo_below, self.pseudo_above
        if below is not None and above is not None and below >= above:
            yield "pseudo_above", "is not above pseudo_below", "a larger probability"
        if self.leaky_resplit and self.rounds == 1:
            yield "leaky_resplit", "is True, but one round has nothing to split anew", "False, or rounds 2"

    @classmethod
    def columns(cls) -> dict[str, str]:
        return {column: name for column, name in super().columns().items() if name not in ("lr", "max_epochs", "threshold")}

    def of_round(self, number: int) -> Self:
        """The row with the learning rate, epochs and decision threshold of one round."""
        when = "initial" if number == 0 else "final"
        update = {"lr": getattr(self, f"{when}_lr"), "max_epochs": getattr(self, f"{when}_epochs")}
        return self.model_copy(update=update | {"threshold": getattr(self, f"threshold_{when}")})

    @property
    def needs_unlabelled(self) -> bool:
        return self.rounds > 1

    @property
    def decision_threshold(self) -> float:
        return self.of_round(self.rounds - 1).threshold

    @property
    def class_count(self) -> int:
        return 2

    def backbones(self) -> list[tuple[str, str, str]]:
        return [] if self.model_name == ORIGINAL else [("model_name", self.model_name, "timm")]

    def build_network(self, bands: int = 1, pretrained: bool | None = None) -> Any:
        """A classifier (B, 1, s, s) → one logit (B, 1)."""
        from ...networks import build_classifier
        from ...networks.small_classifiers import ChipCNN

        size = self.chip_size_px
        if self.model_name == ORIGINAL:
            return ChipCNN(size)
        return build_classifier(self.model_name, 1, 1, self.pretrained if pretrained is None else pretrained, (size, size))

    def network_label(self) -> str:
        return self.model_name

    def network_key(self) -> tuple:
        return ("chip_classifier", self.model_name, self.chip_size_px)

    def sample_input(self, bands: int = 1, batch: int = 2) -> tuple[Any, ...]:
        import torch

        return (torch.zeros(batch, 1, self.chip_size_px, self.chip_size_px),)
