"""Segmenters: decoders of segmentation-models-pytorch and of terratorch on any encoder, with a vector added to its maps if wanted.

Importing this module is cheap; terratorch itself (about 20 s) is imported by the first call that needs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import InputError, nearest
from .adapt import load_adapted, read_state
from .backbone import DECODERS, SEGMENTERS, Backbone
from .backbones import COARSEST, build_features, timm_arguments, timm_strides
from .features import FeatureMaps, Pyramid
from .names import resolve
from .terratorch_backbones import registry
from .weights import local_file

DEFAULT_ENCODER = "resnet34"
"""smp's own default, used where a row names none."""

REGISTERED = "cratermill_encoder"
PYRAMIDAL = ("UNetDecoder", "UperNetDecoder")
"""Decoders of maps that halve from one to the next; a plain transformer's maps, all of one size, are brought there by a learnt neck."""
NECK = "LearnedInterpolateToPyramidal"
HEAD = {"head_channel_list": list[int] | None, "head_dropout": float}
"""Keywords of the head."""


@cache
def architectures() -> dict[str, type[nn.Module]]:
    """The segmentation models by the names that rows use."""
    import segmentation_models_pytorch as smp

    same = {name: getattr(smp, name) for name in ("Unet", "FPN", "PSPNet", "DeepLabV3", "Linknet", "MAnet", "UPerNet", "Segformer")}
    return same | {"Unet++": smp.UnetPlusPlus, "DeepLabV3+": smp.DeepLabV3Plus}


def build_segmenter(
    model_name: str,
    encoder_name: str | None = None,
    in_chans: int = 4,
    classes: int = 1,
    pretrained: bool = False,
    midinput_size: int = 0,
    image_size: tuple[int, int] = (224, 224),
    **keywords: Any,
) -> Segmenter:
    """A segmenter by its names in a row; its logits are (N, ``classes``, H, W).

    ``encoder_name`` None means resnet34. With ``midinput_size`` above 0 the network takes (image, midinput). ``keywords`` go to smp's
    model, or to terratorch's decoder and head. Raises ``InputError`` for unknown names, combinations that can't be built, and weights
    that are not in the local cache.
    """
    if model_name not in SEGMENTERS:
        raise InputError(
            f"unknown segmentation model '{model_name}'", valid=nearest(model_name, SEGMENTERS), next_step="correct model_name"
        )
    backbone = resolve(encoder_name or DEFAULT_ENCODER, "smp")
    common = {"encoder_weights": None, "in_channels": in_chans, "classes": classes, "activation": None, **keywords}
    try:
        if model_name in DECODERS:
            return build_by_factory(model_name, backbone, in_chans, classes, pretrained, midinput_size, image_size, keywords)
        build: Any = architectures()[model_name]
        if _native(backbone, model_name):
            model = build(**(common | _native_arguments(backbone, in_chans, pretrained, image_size)))
            if pretrained and backbone.library == "smp":
                load_adapted(model.encoder, read_state(local_file(backbone)), str(backbone))
        else:
            with _registered(backbone, in_chans, pretrained, image_size):
                model = build(encoder_name=REGISTERED, **common)
    except (ValueError, KeyError, TypeError, AssertionError, RuntimeError) as error:
        raise InputError(
            f"{model_name} with the encoder {backbone} can't be built: {str(error) or 'the encoder has no dilated form'}",
            next_step=f"choose another encoder or model, or correct the MDL_{model_name}_ columns",
        ) from error
    return Segmenter(model, midinput_size)


class Segmenter(nn.Module):
    """Encoder, decoder and head of an smp model. A vector of each image (``midinput``) enters between encoder and decoder.

    Parameters are called as in EJMAP's checkpoints: encoder, decoder, head, injector.linears.
    """

    def __init__(self, model: Any, midinput_size: int = 0):  # any model of the library, which has no type of its own for them
        super().__init__()
        self.encoder, self.decoder, self.head = model.encoder, model.decoder, model.segmentation_head
        self.injector = Injector(midinput_size, list(model.encoder.out_channels[1:])) if midinput_size else None
        self.divisor: int = model.encoder.output_stride if model.requires_divisible_input_shape else 1

    def forward(self, image: Tensor, midinput: Tensor | None = None) -> Tensor:
        if any(side % self.divisor for side in image.shape[-2:]):
            size = "×".join(str(side) for side in image.shape[-2:])
            raise InputError(
                f"the network can't take images of {size} pixels",
                valid=f"sides divisible by {self.divisor}",
                next_step="correct tile_size_px",
            )
        features = list(self.encoder(image))
        if self.injector is not None:
            features[1:] = self.injector(midinput, features[1:])
        return self.head(self.decoder(features))


class Injector(nn.Module):
    """Adds ReLU(Linear(vector)) to every pixel of each feature map; maps without channels (smp's fillers) pass through."""

    def __init__(self, size: int, channels: list[int]):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(size, count) if count else nn.Identity() for count in channels)

    def forward(self, vector: Tensor, features: list[Tensor]) -> list[Tensor]:
        return [
            feature + linear(vector).relu()[:, :, None, None] if feature.shape[1] else feature
            for linear, feature in zip(self.linears, features, strict=True)
        ]


def build_encoder(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int]) -> nn.Module:
    """One of smp's own encoders alone."""
    from segmentation_models_pytorch.encoders import get_encoder

    encoder = get_encoder(backbone.name, in_channels=in_chans, weights=None)
    if pretrained:
        load_adapted(encoder, read_state(local_file(backbone)), str(backbone))
    return encoder


def _native(backbone: Backbone, model_name: str) -> bool:
    """Whether smp builds encoder and model itself; else the encoder's maps are brought into the pyramid that decoders expect."""
    dilated = model_name.startswith("DeepLab")
    if backbone.library == "smp":
        refused = backbone.name.startswith("mit_b") and model_name in ("Unet++", "Linknet")
        return not refused and not (dilated and _refuses_dilation(backbone.name))
    if backbone.library != "timm" or (dilated and not _can_dilate(backbone.name)):
        return False
    strides = timm_strides(backbone.name)
    return any(strides == [2 ** (i + first) for i in range(len(strides))] for first in (0, 1, 2))


def _refuses_dilation(name: str) -> bool:
    """smp's encoders with pooling layers between their stages replace the method by an error."""
    from segmentation_models_pytorch.encoders import encoders
    from segmentation_models_pytorch.encoders._base import EncoderMixin

    return encoders[name]["encoder"].make_dilated is not EncoderMixin.make_dilated


@cache
def _can_dilate(name: str) -> bool:
    import timm
    import torch

    try:
        with torch.device("meta"):
            timm.create_model(name, features_only=True, output_stride=8)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        return False
    return True


def _native_arguments(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int]) -> dict[str, Any]:
    if backbone.library == "smp":
        return {"encoder_name": backbone.name}
    arguments = timm_arguments(backbone, in_chans, pretrained, image_size)
    arguments.pop("pretrained")
    return {"encoder_name": f"tu-{backbone.full}", **arguments} | ({"encoder_weights": True} if pretrained else {})


@contextmanager
def _registered(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int]) -> Iterator[None]:
    """Our encoder under a name in smp's registry, which is smp's documented way to bring one's own."""
    from segmentation_models_pytorch.encoders import encoders

    def make(depth: int = 5, output_stride: int = 32, **_: Any) -> Pyramid:
        return Pyramid(encoder_features(backbone, in_chans, pretrained, image_size), in_chans, depth, output_stride)

    encoders[REGISTERED] = {"encoder": make, "params": {}, "pretrained_settings": {}}
    try:
        yield
    finally:
        del encoders[REGISTERED]


def encoder_features(
    backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int], coarsest: int = COARSEST
) -> FeatureMaps:
    """An encoder of any library as feature maps; maps of a stride above ``coarsest`` may be missing."""
    if backbone.library != "smp":
        return build_features(backbone, in_chans, pretrained, image_size, coarsest)
    return FeatureMaps(build_encoder(backbone, in_chans, pretrained, image_size), str(backbone), in_chans, image_size, _filled_maps)


def _filled_maps(encoder: nn.Module, image: Tensor) -> list[Tensor]:
    """An smp encoder's maps without the image and the fillers of no channels."""
    return [feature for feature in encoder(image)[1:] if feature.shape[1]]


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
