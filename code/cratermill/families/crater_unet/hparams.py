"""One row of the crater_unet table: which network learns which drawing of craters, and how craters are read from what it draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...networks.backbone import SEGMENTERS
from ...training.fields import Augmentation, Flag, Integer, Integers, Number, OneOf
from ...training.hparams import RowHparams
from ...training.registry import LossName
from ..craters_common.sizes import SizedHparams

SYMMETRIC = "SymmetricUNet"
MODELS = (SYMMETRIC, *SEGMENTERS)
DEEPEST = 128
"""The Symmetric U-Net halves its input seven times."""

ModelName = Annotated[str, OneOf(lambda: MODELS)]


class Hparams(SizedHparams):
    """The paper's test grid in columns, and what turns a prediction into craters."""

    keyword_groups: ClassVar[dict[str, str]] = {"LS": "loss", **RowHparams.keyword_groups, "MDL": "model_name"}
    outputs: ClassVar[int | None] = 1
    not_trained_on: ClassVar[tuple[str, ...]] = (*RowHparams.not_trained_on, "level", "confidence", "arc", "levels")
    """Other thresholds need another evaluation, but no other training."""
    came_later: ClassVar[tuple[str, ...]] = ("dropout", "activation", "disc_below_px", "pieces_per_tile")

    data: Literal["craters", "dots"] = Field(
        description="craters: the tiles that train.crater_unet.data of the run config names; dots: grey dots on black (the paper's S)"
    )
    model_name: ModelName = Field(
        description="SymmetricUNet, or a model of segmentation-models-pytorch or decoder of terratorch, keywords in MDL_{model}_{keyword}; "
        "MDL_{model}_encoder_name is an encoder of smp, or timm: (tu-), torchgeo:, terratorch: and a name; blank: resnet34"
    )
    kernel_size: Integer = Field(3, ge=1, le=31, description="SymmetricUNet: side of the convolutions; odd (the paper: 3, 7, 11)")
    filter_multiple: Number = Field(1.0, gt=0, le=8, description="SymmetricUNet: factor on all filters (the paper: 0.5, 1, 2)")
    final_kernel_size: Integer | None = Field(
        None, ge=1, le=31, description="SymmetricUNet: side of the last convolution; 1 as in the paper, blank: kernel_size, as in its code"
    )
    dropout: Number = Field(1.0, ge=0, le=1.5, description="SymmetricUNet: factor on the paper's shares of .2 to .5; 0: none")
    activation: Literal["relu", "elu", "gelu", "leaky_relu", "silu"] = Field("relu", description="SymmetricUNet: after each convolution")
    pretrained: Flag = Field(False, description="begin with the encoder's published weights; not for SymmetricUNet")
    target: Literal["fill", "outline", "ring", "hybrid"] = Field(
        description="how craters are drawn: disc; disc with a hole; line along the rim; small ones as discs and large ones with a hole"
    )
    inner_fraction: Number = Field(0.7, gt=0, lt=1, description="outline, hybrid: radius of the hole, in crater radii")
    disc_below_px: Number = Field(16.0, ge=1, description="hybrid: radius in pixels from which on craters have a hole")
    ring_width_px: Integer = Field(4, ge=1, description="ring: width of the line (the authors' code: 4 or 8)")
    size_min: Number = Field(gt=0, description="smallest crater that is drawn, looked for and counted, in size_unit")
    size_max: Number = Field(gt=0, description="largest crater, in size_unit")
    size_unit: Literal["radius_px", "radius_km", "diameter_km"] = Field(
        description="what size_min and size_max measure; the paper says diameters of 2-32 km, its authors' masks hold radii of 2-32 km"
    )
    img_augment: Augmentation = Field(
        False,
        description="flip and turn training tiles by right angles, and vary brightness and contrast; or the name of a recipe in "
        "configs/augment; "
        "this turns the light too, which costs accuracy where the sun always stands on one side",
    )
    crop_px: Integer | None = Field(
        None, ge=32, description="train on random pieces of this side instead of whole tiles; validation and test always see whole tiles"
    )
    pieces_per_tile: Integer = Field(1, ge=1, description="pieces of each tile in an epoch; more where tiles are few and large")
    level: Number | None = Field(
        None, gt=0, lt=1, description="probability at a crater's edge; blank: chosen on validation tiles, as all that is blank here"
    )
    confidence: Number | None = Field(
        None,
        gt=0,
        le=1,
        description="least confidence of a crater in the list; blank: chosen on validation. Where level and arc are given too, nothing is "
        "calibrated, and the confidence is the support",
    )
    arc: Number | None = Field(None, gt=0, le=1, description="least share of the whole rim that shows an edge; blank: chosen on validation")
    levels: Integer = Field(
        1, ge=1, le=12, description="resolutions at which the ground is looked at: 1, 1/2, 1/4 … of the tiles', for craters of all sizes"
    )
    union_of: Integers | None = Field(
        None, description="join the crater lists of these versions instead of training (with max_epochs 0), like [21, 24]"
    )
    votes: Integer = Field(1, ge=1, description="union_of: in how many of the lists a crater must be")
    val_metric: Literal["loss", "Accuracy", "F1_Score", "IoU", "Precision", "Recall"] = Field(
        description="validation score that picks the best epoch; F1_Score is the Dice coefficient. Accuracy flatters empty tiles"
    )
    loss: LossName = Field(description="loss; keywords in LS_{loss}_{keyword}")
    max_epochs: Integer = Field(ge=0, description="epochs at most; 0 trains nothing, for rows with union_of")

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.model_name == SYMMETRIC:
            if self.kernel_size % 2 == 0 or (self.final_kernel_size or 1) % 2 == 0:
                yield "kernel_size", "is even, which would shift the prediction", "odd numbers, like 3, 7 or 11"
            if self.pretrained:
                yield "pretrained", "is True, but nobody publishes weights of SymmetricUNet", "False"
        if self.crop_px and self.crop_px % self.divisor:
            yield "crop_px", f"does not suit {self.model_name}", f"a multiple of {self.divisor}"
        if self.pieces_per_tile > 1 and not self.crop_px:
            yield "pieces_per_tile", "is above 1, but crop_px is blank, so that there are no pieces", "1, or a side in crop_px"
        if (self.max_epochs == 0) != bool(self.union_of):
            yield "max_epochs", f"is {self.max_epochs}, union_of {self.union_of or 'blank'}", "0 with union_of, else at least 1"
        if self.union_of and self.version in self.union_of:
            yield "union_of", "names the row itself", "other versions"
        if self.union_of and self.votes > len(self.union_of):
            yield "votes", f"is more than the {len(self.union_of)} versions of union_of", "as many at most"

    def chosen(self, prefix: str) -> str | None:
        return None if prefix == "MDL" and self.model_name == SYMMETRIC else super().chosen(prefix)

    @property
    def divisor(self) -> int:
        """Sides of the network's input must be multiples of this."""
        return DEEPEST if self.model_name == SYMMETRIC else 32

    def shape(self) -> Any:
        from ...craters.shapes import Shape

        return Shape(self.target, self.inner_fraction, self.ring_width_px, self.disc_below_px)

    @property
    def encoder_name(self) -> str | None:
        return self.keywords_of("MDL").get("encoder_name")

    def backbones(self) -> list[tuple[str, str, str]]:
        if self.model_name == SYMMETRIC:
            return []
        return [(f"MDL_{self.model_name}_encoder_name", self.encoder_name or "resnet34", "smp")]

    def build_network(self, bands: int = 1, pretrained: bool | None = None) -> Any:
        """(N, 1, H, W) → one logit per pixel (N, 1, H, W). The family is about grey images, whatever ``bands`` says."""
        if self.model_name == SYMMETRIC:
            from .network import SymmetricUNet

            return SymmetricUNet(1, self.kernel_size, self.filter_multiple, self.final_kernel_size, self.dropout, self.activation)
        from ...networks import build_segmenter

        pretrained = self.pretrained if pretrained is None else pretrained
        arguments = {"encoder_name": None} | self.keywords_of("MDL")
        side = self.crop_px or 256
        return build_segmenter(self.model_name, in_chans=1, classes=1, pretrained=pretrained, image_size=(side, side), **arguments)

    def network_label(self) -> str:
        if self.union_of:
            return f"union of {', '.join(map(str, self.union_of))}"
        if self.model_name != SYMMETRIC:
            return f"{self.model_name} {self.encoder_name or 'resnet34'}"
        return f"{SYMMETRIC} {self.kernel_size}×{self.kernel_size}, filters × {self.filter_multiple:g}"

    def network_key(self) -> tuple:
        keywords = tuple(sorted((name, str(value)) for name, value in self.keywords_of("MDL").items()))
        sizes = self.kernel_size, self.filter_multiple, self.final_kernel_size, self.crop_px
        return ("crater_unet", self.model_name, keywords, *sizes, self.dropout, self.activation)

    def sample_input(self, bands: int = 1, batch: int = 2) -> tuple[Any, ...]:
        import torch

        side = self.crop_px or 256
        return (torch.zeros(batch, 1, side, side),)
