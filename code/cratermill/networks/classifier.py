"""Classifiers: an image in, logits out."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..core.errors import InputError
from .backbones import build_features, timm_arguments
from .features import FeatureMaps
from .names import resolve


def build_classifier(
    name: str, in_chans: int, num_classes: int = 1, pretrained: bool = False, image_size: tuple[int, int] = (224, 224)
) -> nn.Module:
    """A classifier by its name in a row; its logits are (N, ``num_classes``).

    ``image_size`` (rows, columns) matters for networks of a fixed input size. Raises ``InputError`` for an unknown name, an image
    size that the network can't take, or weights that are not in the local cache.
    """
    backbone = resolve(name, "timm")
    if backbone.library == "timm":
        import timm

        arguments = timm_arguments(backbone, in_chans, pretrained, image_size)
        try:
            return timm.create_model(backbone.full, in_chans=in_chans, num_classes=num_classes, **arguments)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            size = f"{in_chans} channels and {image_size[0]}×{image_size[1]} pixels"
            raise InputError(
                f"{backbone} can't be built for {size}: {error}", next_step="choose another network or tile_size_px"
            ) from error
    if backbone.library == "smp":
        from .segmenter import build_encoder

        encoder: Any = build_encoder(backbone, in_chans, pretrained, image_size)
        return PooledClassifier(encoder, encoder.out_channels[-1], num_classes)
    features = build_features(backbone, in_chans, pretrained, image_size)
    return PooledClassifier(features, features.channels[-1], num_classes)


class PooledClassifier(nn.Module):
    """The mean of the deepest feature map, then one linear layer."""

    def __init__(self, encoder: FeatureMaps | nn.Module, channels: int, num_classes: int):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(channels, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image)[-1].mean(dim=(2, 3)))
