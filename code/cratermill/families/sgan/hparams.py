"""One row of the sgan table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...training.fields import Integer, Number
from ..chips_common.hparams import ChipHparams


class Hparams(ChipHparams):
    """``lr`` is the discriminator's rate."""

    outputs: ClassVar[int | None] = None

    method: Literal["sgan", "sgan_unshared", "cnn"] = Field(
        description="sgan: one discriminator classifies and tells real from generated, with the same weights; sgan_unshared: two that "
        "share none, so that the classifier never sees an unlabelled chip (a baseline); cnn: the plain CNN on labelled chips (a baseline)"
    )
    classes: Integer = Field(2, ge=2, description="number of classes; that of data.classes")
    chip_size_px: Integer = Field(32, ge=18, description="side of the network's input, a multiple of 8; chips are resampled to it")
    generator_loss: Literal["non_saturating", "feature_matching"] = Field(
        "feature_matching",
        description="feature_matching: bring the mean features of generated chips to those of real ones; non_saturating: "
        "raise the discriminator's belief in them",
    )
    generator_lr: Number | None = Field(None, gt=0, description="learning rate of the generator; blank: lr")
    unsupervised_weight: Number = Field(1.0, ge=0, description="weight of telling real from generated, beside the labels' loss")
    ema: Number = Field(
        0.99,
        ge=0,
        lt=1,
        description="the tested weights follow the trained ones as a moving average that keeps this share per step; 0: none",
    )
    width: Integer = Field(128, ge=1, description="channels of the discriminator's layers (original: 128)")
    generator_width: Integer = Field(128, ge=1, description="channels of the generator's layers (original: 128)")
    dropout: Number = Field(0.4, ge=0, lt=1, description="share of features dropped before the discriminator's last layer (original: .4)")
    input_noise: Number = Field(0.0, ge=0, description="deviation of noise added to the discriminator's input, which goes from −1 to 1")

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.method != "cnn" and self.chip_size_px % 8:
            yield "chip_size_px", "is no multiple of 8, as the generator needs it", "a number like 32"
        if self.labels is not None and self.labels % self.classes:
            yield "labels", f"can't be shared equally by {self.classes} classes", f"a multiple of {self.classes}"

    @property
    def needs_unlabelled(self) -> bool:
        return self.method != "cnn"

    @property
    def class_count(self) -> int:
        return self.classes

    def build_network(self, bands: int = 1, pretrained: bool | None = None) -> Any:
        """The classifier: chips (B, 1, s, s) → logits (B, K); (B, 1) for the CNN of two classes."""
        from ...networks.small_classifiers import Discriminator, PlainCNN

        if self.method == "cnn":
            return PlainCNN(self.chip_size_px, 1 if self.classes == 2 else self.classes)
        return Discriminator(self.classes, self.chip_size_px, self.width, self.dropout)

    def network_label(self) -> str:
        return f"{self.method}, {self.chip_size_px} px" + (f", width {self.width}" if self.method != "cnn" else "")

    def network_key(self) -> tuple:
        return ("sgan", self.method == "cnn", self.classes, self.chip_size_px, self.width)

    def sample_input(self, bands: int = 1, batch: int = 2) -> tuple[Any, ...]:
        import torch

        return (torch.zeros(batch, 1, self.chip_size_px, self.chip_size_px),)
