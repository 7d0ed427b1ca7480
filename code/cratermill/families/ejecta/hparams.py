"""One row of the ejecta table: which pixels of a tile are a crater's ejecta (EJMAP's EJSEG)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ...networks.backbone import SEGMENTERS
from ...training.fields import Bounds, Flag, Integer, Number, OneOf
from ...training.hparams import TrainingHparams

ModelName = Annotated[str, OneOf(lambda: SEGMENTERS)]


class Hparams(TrainingHparams):
    """EJMAP's columns, and ours: pretrained, tile_size_px."""

    keyword_groups: ClassVar[dict[str, str]] = TrainingHparams.keyword_groups | {"MDL": "model_name"}

    not_trained_on: ClassVar[tuple[str, ...]] = (*TrainingHparams.not_trained_on, "eval_conn_version")

    model_name: ModelName = Field(
        description="model of segmentation-models-pytorch, or decoder of terratorch; keywords in MDL_{model}_{keyword}. "
        "MDL_{model}_encoder_name is an encoder of smp, or timm: (tu-), torchgeo:, terratorch: and a name; blank: resnet34"
    )
    accept_midinput: Flag = Field(description="give the network the mean colour around the crater, added to the encoder's feature maps")
    buffer_bounds: Bounds | None = Field(
        None,
        description="inner and outer radius, in crater radii, of the annulus whose mean colour is given; needed if accept_midinput is True",
    )
    distance_mode: Literal["absolute", "ratio", "rank"] = Field(
        description="last channel: distance from the crater in metres (absolute), in crater radii (ratio), or its rank in the tile"
    )
    log_dist: Flag = Field(description="log10 of the distance and of the radius; without effect on ranks")
    num_1_factor: Number | None = Field(
        None, gt=0, description="draw tiles with other craters' ejecta up to this factor as often; blank: all tiles equally often"
    )
    num_1_point95: Number | None = Field(
        None, gt=0, description="ratio of anyone's to this crater's ejecta pixels at which 0.95 of num_1_factor is reached; needed with it"
    )
    eval_conn_version: Integer | None = Field(
        None, ge=0, description="connection version whose tiles this one is evaluated and mapped on; blank: none"
    )
    pretrained: Flag = Field(
        True, description="begin with the encoder's published weights (ours; True where the column is missing, which is smp's default)"
    )
    tile_size_px: Integer = Field(
        224, ge=32, multiple_of=32, description="side of the network's square input; tiles are resampled to it (ours; EJMAP: 224)"
    )

    @model_validator(mode="before")
    @classmethod
    def _ranks_have_no_log(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("distance_mode") == "rank":
            return {**values, "log_dist": False}
        return values

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.accept_midinput and self.buffer_bounds is None:
            yield "buffer_bounds", "is blank, but accept_midinput is True", "two numbers like (2,5), or accept_midinput False"
        if self.num_1_factor is not None and self.num_1_point95 is None:
            yield "num_1_point95", "is blank, but num_1_factor is not", "a number like 10, or both blank"

    @property
    def input_size(self) -> tuple[int, int]:
        """Rows and columns of the network's input."""
        return self.tile_size_px, self.tile_size_px

    @property
    def encoder_name(self) -> str | None:
        return self.keywords_of("MDL").get("encoder_name")

    def midinput_size(self, bands: int) -> int:
        """Length of the vector given beside the image: the bands' means and, for absolute distances, the radius."""
        return bands + (self.distance_mode == "absolute") if self.accept_midinput else 0

    def backbones(self) -> list[tuple[str, str, str]]:
        column = f"MDL_{self.model_name}_encoder_name"
        return [(column, self.encoder_name or "resnet34", "smp")]

    def build_network(self, bands: int = 3, pretrained: bool | None = None) -> Any:
        """A segmenter (N, bands + distance, S, S) [and (N, midinput)] → one logit per pixel (N, 1, S, S)."""
        from ...networks import build_segmenter

        pretrained = self.pretrained if pretrained is None else pretrained
        arguments = {"encoder_name": None} | self.keywords_of("MDL")
        return build_segmenter(
            self.model_name,
            in_chans=bands + 1,
            classes=1,
            pretrained=pretrained,
            midinput_size=self.midinput_size(bands),
            image_size=self.input_size,
            **arguments,
        )

    def network_label(self) -> str:
        return f"{self.model_name} {self.encoder_name or 'resnet34'}" + (
            f", midinput {self.midinput_size(3)}" if self.accept_midinput else ""
        )

    def network_key(self) -> tuple:
        keywords = tuple(sorted((name, str(value)) for name, value in self.keywords_of("MDL").items()))
        return ("ejecta", self.model_name, keywords, self.accept_midinput, self.midinput_size(3), self.input_size)

    def sample_input(self, bands: int = 3, batch: int = 2) -> tuple[Any, ...]:
        import torch

        image = torch.zeros(batch, bands + 1, *self.input_size)
        return (image, torch.zeros(batch, self.midinput_size(bands))) if self.accept_midinput else (image,)
