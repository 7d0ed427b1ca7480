"""Feature maps of timm, torchgeo and terratorch networks, with or without published weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.notices import notice
from .adapt import load_adapted, read_state, say_adapted
from .backbone import Backbone
from .features import FeatureMaps
from .weights import local_file

COARSEST = 32
"""Stride of an encoder's last map, in most networks."""
WAVELENGTHS_UM = (0.665, 0.56, 0.49, 0.865, 1.61, 2.19)
"""Given to DOFA, which asks for each channel's wavelength: red, green, blue; further channels take the next ones."""

OPTICAL_BANDS = {
    "SENTINEL2": ("B4", "B3", "B2", "B8", "B11", "B12", "B8A", "B5", "B6", "B7"),
    "LANDSAT_TM": ("B3", "B2", "B1", "B4", "B5", "B7"),
    "LANDSAT_ETM": ("B3", "B2", "B1", "B4", "B5", "B7"),
    "LANDSAT": ("B4", "B3", "B2", "B5", "B6", "B7"),
    "NAIP": ("R", "G", "B"),
}
"""By how the names of torchgeo's weights begin: red, green, blue, near infrared, short-wave infrareds, …"""


def build_features(
    backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int], coarsest: int = COARSEST
) -> FeatureMaps:
    """The network as feature maps. Raises ``InputError`` if it can't take such images, or its weights aren't in the local cache.

    Of timm's networks, stages that give maps of a stride above ``coarsest`` are left out.
    """
    if backbone.library == "terratorch":
        from .terratorch_backbones import build_terratorch

        return build_terratorch(backbone, in_chans, local_file(backbone) if pretrained else None, image_size)
    if backbone.library == "timm":
        return _timm_features(backbone, in_chans, pretrained, image_size, coarsest)
    return _torchgeo_features(backbone, in_chans, pretrained, image_size)


def timm_arguments(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int]) -> dict[str, Any]:
    """Arguments of ``timm.create_model``: weights from the local file only, and the image size where the network has a fixed one."""
    import timm

    arguments: dict[str, Any] = {"pretrained": pretrained}
    if pretrained:
        arguments["pretrained_cfg_overlay"] = {"file": str(local_file(backbone)), "custom_load": False}
    config = timm.get_pretrained_cfg(backbone.full)
    if pretrained and config is not None:
        say_adapted(str(backbone), config.input_size[0], in_chans)
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = image_size
    return arguments


@cache
def timm_strides(name: str) -> list[int]:
    """Strides of a timm network's feature maps, found without making its weights."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            net: Any = timm.create_model(name, features_only=True)
            return list(net.feature_info.reduction())
    except (RuntimeError, AttributeError, NotImplementedError, TypeError, IndexError) as error:
        raise InputError(f"timm's {name} gives no feature maps: {error}", next_step="choose another encoder") from error


def _timm_features(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int], coarsest: int) -> FeatureMaps:
    import timm

    arguments = timm_arguments(backbone, in_chans, pretrained, image_size)
    if coarsest < COARSEST:
        strides = timm_strides(backbone.name)
        arguments["out_indices"] = [index for index, stride in enumerate(strides) if stride <= coarsest] or [0]
    net = timm.create_model(backbone.full, features_only=True, in_chans=in_chans, **arguments)
    return FeatureMaps(net, str(backbone), in_chans, image_size)


def _torchgeo_features(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int]) -> FeatureMaps:
    """torchgeo's ResNets and ViTs are timm's, its Swins torchvision's; DOFA and Scale-MAE are its own."""
    import torchgeo.models

    family = backbone.name.split("_")[0]
    net: Any = torchgeo.models.get_model(backbone.name, **_torchgeo_arguments(backbone.name, in_chans, image_size))
    if family == "swin":
        first = net.features[0][0]
        net.features[0][0] = nn.Conv2d(in_chans, first.out_channels, first.kernel_size, first.stride)
    if pretrained:
        load_adapted(net, read_state(local_file(backbone)), str(backbone), torchgeo_bands(backbone))
        _say_normalisation(backbone, in_chans)
    if hasattr(net, "reset_classifier"):
        net.reset_classifier(0)  # the head for other classes is of no use here
    read = {"swin": _swin_stages, "dofa": _dofa_blocks}.get(family, _intermediates)
    return FeatureMaps(net, str(backbone), in_chans, image_size, read)


def torchgeo_bands(backbone: Backbone) -> dict[str, int]:
    """Of torchgeo's weights for an optical satellite: numbers of the channels that see red, green, blue, near infrared, …"""
    import torchgeo.models

    tag = backbone.tag or ""
    wanted = next((bands for start, bands in OPTICAL_BANDS.items() if tag.startswith(start)), ())
    given = torchgeo.models.get_model_weights(backbone.name)[tag].meta.get("bands") or ()
    names = [str(name).upper().removeprefix("SR_").replace("B0", "B") for name in given]
    return {str(given[names.index(name)]): names.index(name) for name in wanted if name in names}


def torchgeo_norm(backbone: Backbone, in_chans: int) -> tuple[list[float], list[float]] | None:
    """What torchgeo subtracts and divides by for its weights, as one mean and one deviation of each channel of the image; None without.

    Channels are the published ones that the image's are taken for; a single one takes the mean of all.
    """
    import torchgeo.models

    weights = torchgeo.models.get_model_weights(backbone.name)[backbone.tag]
    parts = weights.transforms.modules() if weights.transforms is not None else ()
    steps = [(one.mean, one.std) for one in parts if hasattr(one, "mean") and hasattr(one, "std")]
    if not steps:
        return None
    given = max(len(values) for step in steps for values in step)
    mean, std = np.zeros(given), np.ones(given)
    for less, divisor in steps:
        mean, std = mean + std * np.asarray(less, float), std * np.asarray(divisor, float)
    order = list(torchgeo_bands(backbone).values())
    turns = order[:in_chans] if len(order) >= in_chans else range(in_chans)
    every = [range(given)] if in_chans == 1 else [[channel % given] for channel in turns]
    return [float(mean[list(one)].mean()) for one in every], [float(std[list(one)].mean()) for one in every]


def _say_normalisation(backbone: Backbone, in_chans: int) -> None:
    """How torchgeo would normalise for these weights; here the network's own normalisation, of the mosaic, comes before them."""
    norm = torchgeo_norm(backbone, in_chans)
    if norm is None:
        return
    mean, std = (", ".join(f"{value:g}" for value in values) for values in norm)
    notice(
        f"{backbone}: torchgeo publishes it for pixels of another scale; here each band is normalised by its own mean and deviation. For "
        f"mosaics of that scale say 'img_norm: {{mean: [{mean}], std: [{std}]}}' in the configuration, and norm_from_train False in the row"
    )


def _torchgeo_arguments(name: str, in_chans: int, image_size: tuple[int, int]) -> dict[str, Any]:
    if name.startswith("swin"):
        return {}
    if name.startswith("dofa"):
        return {"img_size": image_size[0]}
    if name.startswith("resnet"):
        return {"in_chans": in_chans}
    return {"in_chans": in_chans, "img_size": image_size if name.startswith("vit") else image_size[0]}


def _intermediates(net: Any, image: Tensor) -> Sequence[Tensor]:
    return net.forward_intermediates(image, intermediates_only=True)


def _swin_stages(net: Any, image: Tensor) -> Sequence[Tensor]:
    """The stages lie at odd places, between the embedding and the mergings; channels last."""
    maps = []
    for place, layer in enumerate(net.features):
        image = layer(image)
        if place % 2:
            maps.append(image)
    return maps


def _dofa_blocks(net: Any, image: Tensor) -> Sequence[Tensor]:
    """DOFA's own forward pass pools; this one keeps the tokens of every block."""
    import torch

    waves = torch.tensor([WAVELENGTHS_UM[i % len(WAVELENGTHS_UM)] for i in range(image.shape[1])], device=image.device)
    tokens, _ = net.patch_embed(image, waves)
    tokens = torch.cat([(net.cls_token + net.pos_embed[:, :1]).expand(len(tokens), -1, -1), tokens + net.pos_embed[:, 1:]], dim=1)
    blocks = []
    for block in net.blocks:
        tokens = block(tokens)
        blocks.append(tokens)
    return blocks
