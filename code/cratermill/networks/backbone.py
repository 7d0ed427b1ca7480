"""A network by its library, name and weights."""

from __future__ import annotations

from dataclasses import dataclass

LIBRARIES = ("timm", "smp", "torchgeo", "terratorch")
DECODERS = ("UNetDecoder", "UperNetDecoder", "FCNDecoder", "LinearDecoder", "MLPDecoder")
"""Of terratorch, by the names of its registry."""
SEGMENTERS = ("Unet", "Unet++", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3+", "Linknet", "MAnet", "UPerNet", "Segformer", *DECODERS)
"""What rows may name: models of segmentation-models-pytorch, and decoders of terratorch."""


@dataclass(frozen=True)
class Backbone:
    """A network that exists: its library, its name there, and the tag of its weights."""

    library: str
    name: str
    tag: str | None = None

    @property
    def full(self) -> str:
        return f"{self.name}.{self.tag}" if self.tag else self.name

    def __str__(self) -> str:
        return f"{self.library}:{self.full}"
