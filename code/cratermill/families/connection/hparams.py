"""One row of the connection table: which tiles hold a crater's ejecta (EJMAP's EJCONN)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ...training.fields import Flag, Integer, Number
from ...training.hparams import TrainingHparams


class Hparams(TrainingHparams):
    """EJMAP's columns, and ours: pair_layout, pair_crater_radii, tile_size_px."""

    not_trained_on: ClassVar[tuple[str, ...]] = (*TrainingHparams.not_trained_on, "eval_ejc_version", "iter_threshold")

    model_name: str = Field(
        min_length=1,
        description="classifier: a timm network, with its weights' tag if wanted (densenet169.tv_in1k), "
        "or smp:, torchgeo:, terratorch: and a name",
    )
    connection_weights: Flag = Field(description="draw connected and unconnected tiles equally often")
    distance_weights: Flag = Field(description="draw connected tiles in proportion to their distance, unconnected ones to its inverse")
    iter_threshold: Number | None = Field(
        None, gt=0, le=1, description="share of the iterations that must call a tile connected for the ensemble to do so; blank: 0.5"
    )
    eval_ejc_version: Integer | None = Field(None, ge=0, description="ejecta version that this one was evaluated with; blank: none")
    pair_layout: Literal["pair", "corridor"] = Field(
        "pair",
        description="pair: crater and tile side by side; corridor: the ground from the crater to the tile along the great circle (ours)",
    )
    pair_crater_radii: Number = Field(3.0, gt=0, description="half side of the crater's half of a pair, in crater radii (ours)")
    tile_size_px: Integer = Field(
        224,
        ge=32,
        multiple_of=2,
        description="width of the network's input, whose height is half of it: crater and tile, a square each (ours; EJMAP: 224)",
    )

    @property
    def input_size(self) -> tuple[int, int]:
        """Rows and columns of the network's input."""
        return self.tile_size_px // 2, self.tile_size_px

    def backbones(self) -> list[tuple[str, str, str]]:
        return [("model_name", self.model_name, "timm")]

    def build_network(self, bands: int = 3, pretrained: bool | None = None) -> Any:
        """A classifier (N, bands + attention, h, w) → one logit (N, 1)."""
        from ...networks import build_classifier

        return build_classifier(self.model_name, bands + 1, 1, self.pretrained if pretrained is None else pretrained, self.input_size)

    def network_key(self) -> tuple:
        return ("connection", self.model_name, self.input_size)

    def sample_input(self, bands: int = 3, batch: int = 2) -> tuple[Any, ...]:
        import torch

        return (torch.zeros(batch, bands + 1, *self.input_size),)
