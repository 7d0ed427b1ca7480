"""Segmenters by terratorch's factory: its decoders and heads on any encoder, with the keywords that its own configurations use.

Importing this module is cheap; terratorch itself (about 20 s) is imported by the first call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import InputError
from .backbone import Backbone
from .segmenter import Injector, Segmenter, encoder_features
from .terratorch_backbones import registry

PYRAMIDAL = ("UNetDecoder", "UperNetDecoder")
"""Decoders of maps that halve from one to the next; a plain transformer's maps, all of one size, are brought there by a learnt neck."""
NECK = "LearnedInterpolateToPyramidal"
HEAD = {"head_channel_list": list[int] | None, "head_dropout": float}
"""Keywords of the head."""


class FactorySegmenter(Segmenter):
    """A segmenter that terratorch's factory has built: encoder, neck, decoder, head; logits are brought to the image's size."""

    def __init__(self, model: Any, midinput_size: int = 0):
        nn.Module.__init__(self)
        self.encoder, self.decoder, self.head = model.encoder, model.decoder, model.head
        self.neck = model.neck if isinstance(model.neck, nn.Module) else None
        self.injector = Injector(midinput_size, list(model.encoder.channels)) if midinput_size else None
        self.divisor = max(1, round(max(model.encoder.strides)))

    def forward(self, image: Tensor, midinput: Tensor | None = None) -> Tensor:
        features = list(self.encoder(image))
        if self.injector is not None:
            features = self.injector(midinput, features)
        if self.neck is not None:
            features = self.neck(features, image_size=image.shape[-2:])
        logits = self.head(self.decoder([feature.clone() for feature in features]))
        return logits if logits.shape[-2:] == image.shape[-2:] else functional.interpolate(logits, image.shape[-2:], mode="bilinear")


def build_by_factory(
    name: str,
    backbone: Backbone,
    in_chans: int,
    classes: int,
    pretrained: bool,
    midinput_size: int,
    image_size: tuple[int, int],
    keywords: dict[str, Any],
) -> FactorySegmenter:
    """A decoder of terratorch on an encoder of any library; raises ``InputError`` where they don't go together."""
    registry()  # imports terratorch without its side effects
    from terratorch.models.encoder_decoder_factory import EncoderDecoderFactory
    from terratorch.registry import TERRATORCH_DECODER_REGISTRY

    encoder = encoder_features(backbone, in_chans, pretrained, image_size)
    plain = len(set(encoder.strides)) == 1
    if plain and name in PYRAMIDAL and len(encoder.channels) != 4:
        raise InputError(f"{name} needs four maps, {backbone} gives {len(encoder.channels)}", next_step="choose another encoder or decoder")
    necks = [{"name": NECK}] if plain and name in PYRAMIDAL else None
    head = {key: value for key, value in keywords.items() if key in HEAD}
    decoder = {f"decoder_{key}": value for key, value in keywords.items() if key not in HEAD}
    if "num_classes" in inspect.signature(TERRATORCH_DECODER_REGISTRY[name]).parameters:
        decoder["decoder_num_classes"] = classes  # it ends in classes itself; the factory adds a head all the same
    model = EncoderDecoderFactory().build_model(
        task="segmentation", backbone=encoder, decoder=name, num_classes=classes, necks=necks, **head, **decoder
    )
    return FactorySegmenter(model, midinput_size)


def keyword_signatures(names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """Callables with the keywords that rows may give each decoder: the decoder's own, the encoder's name, and the head's."""
    registry()
    from terratorch.registry import TERRATORCH_DECODER_REGISTRY

    return {name: _takes(TERRATORCH_DECODER_REGISTRY[name]) for name in names}


def _takes(decoder: Any) -> Callable[..., Any]:
    ours = ("self", "embed_dim", "num_classes", "args", "kwargs")
    own = [one for one in inspect.signature(decoder).parameters.values() if one.name not in ours]
    by_name = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter("encoder_name", by_name, default=None, annotation="str | None")]
    added += [inspect.Parameter(name, by_name, default=None, annotation=kind) for name, kind in HEAD.items()]

    def takes(**_: Any) -> None:
        """Stands for the decoder, for its signature alone."""

    parameters = [one.replace(kind=by_name) for one in own]
    takes.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]  # what inspect reads
    return takes
