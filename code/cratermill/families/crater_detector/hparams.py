"""One row of the crater_detector table: which network looks for circles, on which pieces it learns, and how its answers are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...training.fields import Flag, Integer, Number
from ...training.hparams import RowHparams
from ..craters_common.sizes import SizedHparams

Head = Literal["heatmap", "FCOS", "RetinaNet", "FasterRCNN"]
DIVISOR = 32


class Hparams(SizedHparams):
    keyword_groups: ClassVar[dict[str, str]] = {**RowHparams.keyword_groups}
    not_trained_on: ClassVar[tuple[str, ...]] = (*RowHparams.not_trained_on, "threshold", "finest_scale", "levels", "levels_per_octave")
    """How a trained network is used: no other training for these."""
    came_later: ClassVar[tuple[str, ...]] = ("encoder_depth",)

    data: Literal["craters", "dots"] = Field(
        "craters",
        description="craters: the tiles that train.crater_detector.data of the run config names; dots: grey dots on black",
    )
    head: Head = Field(
        "heatmap",
        description="heatmap: centres as peaks of a heat map at stride 2, with radii; FCOS, RetinaNet, FasterRCNN: torchvision's, of boxes",
    )
    encoder_name: str = Field("resnet10t", description="encoder: a name of timm, or smp:, torchgeo:, terratorch: and a name")
    encoder_depth: Integer = Field(
        5, ge=3, le=5, description="levels of the encoder that a heatmap uses: 5 to stride 32, 4 to 16; those of boxes always use 4"
    )
    pretrained: Flag = Field(False, description="begin with the encoder's published weights")
    piece_px: Integer = Field(160, ge=64, description="side of the pieces of tiles that are learnt from; a multiple of 32")
    pieces_per_tile: Integer = Field(1, ge=1, description="pieces of each tile in an epoch; more where tiles are few and large")
    piece_scale_min: Number = Field(0.385, gt=0, le=1, description="smallest scale of a piece of one tile")
    piece_scale_max: Number = Field(
        1.05, gt=0, description="largest scale; above 1 catalogues lack what would be seen, and the network learns that it is ground"
    )
    around_share: Number = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the pieces of one tile that lie around one of its craters, so that a step has more to learn from",
    )
    mosaic_share: Number = Field(0.25, ge=0, le=1, description="share of pieces made of 4 or 9 reduced tiles: for large craters")
    rotation_deg: Number = Field(12.0, ge=0, le=180, description="largest turn of a piece; 180 where the sun may stand anywhere")
    moving_average: Number = Field(0.997, ge=0, lt=1, description="share that the tested weights keep of themselves in a step")
    gradient_clip: Number = Field(5.0, gt=0, description="largest norm of a step's gradients")
    finest_scale: Number = Field(1.25, gt=0, le=4, description="scale of the finest level of a prediction; after one above 1 comes 1")
    levels: Integer = Field(5, ge=1, le=24, description="levels of a prediction on tiles; maps take what they need")
    levels_per_octave: Integer = Field(
        1,
        ge=1,
        le=4,
        description="levels from one scale to half of it: with 2 a crater is looked at twice as often, for half as much time again",
    )
    threshold: Number | None = Field(None, gt=0, lt=1, description="least confidence; blank: chosen on validation tiles")
    val_metric: Literal["loss", "F1_strict"] = Field(
        "F1_strict", description="validation score that picks the best epoch; F1_strict: of pieces, at the best threshold"
    )

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.piece_px % DIVISOR:
            yield "piece_px", "does not suit the network", f"a multiple of {DIVISOR}"
        if self.piece_scale_max < self.piece_scale_min:
            yield "piece_scale_max", f"is below piece_scale_min ({self.piece_scale_min:g})", "a larger number"

    @property
    def scales(self) -> tuple[float, ...]:
        """Scales of the levels on a tile, the finest first."""
        found = [self.finest_scale]
        while len(found) < self.levels:
            found.append(self.coarser(found[-1]))
        return tuple(found)

    def coarser(self, scale: float) -> float:
        """The scale of the level after one: 1 after one above it, else coarser by the same factor, whole octaves exactly."""
        return 1.0 if scale > 1 else round(scale / 2 ** (1 / self.levels_per_octave), 12)

    def backbones(self) -> list[tuple[str, str, str]]:
        return [("encoder_name", self.encoder_name, "timm")]

    def build_network(self, bands: int = 1, pretrained: bool | None = None) -> Any:
        from ...networks.names import resolve

        pretrained = self.pretrained if pretrained is None else pretrained
        backbone, size = resolve(self.encoder_name, "timm"), (self.piece_px, self.piece_px)
        if self.head == "heatmap":
            from ...networks.circle_net import build_circle_net

            return build_circle_net(backbone, bands, pretrained, size, self.encoder_depth)
        from ...networks.box_detectors import build_box_detector

        return build_box_detector(self.head, backbone, bands, pretrained, size)

    def network_label(self) -> str:
        return f"{self.head} {self.encoder_name}"

    def network_key(self) -> tuple:
        return ("crater_detector", self.head, self.encoder_name, self.encoder_depth, self.piece_px)

    def sample_input(self, bands: int = 1, batch: int = 2) -> tuple[Any, ...]:
        import torch

        return (torch.zeros(batch, bands, self.piece_px, self.piece_px),)
