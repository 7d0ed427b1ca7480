"""Backbones of terratorch's registry. Importing this module is cheap; terratorch itself (about 20 s) is imported by the first call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.errors import InputError
from ..core.notices import notice
from .adapt import load_adapted, read_state
from .backbone import Backbone
from .features import FeatureMaps
from .hub import hub_place

BANDS = ("RED", "GREEN", "BLUE", "NIR_NARROW", "SWIR_1", "SWIR_2", "NIR_BROAD", "RED_EDGE_1", "RED_EDGE_2", "RED_EDGE_3")
"""What the channels are called: terratorch picks published first-layer weights by band."""

TERRAMIND_MODALITY = "untok_sen2l2a@224"

CLAY_BANDS = ("red", "green", "blue", "nir", "swir16", "swir22", "nir08", "rededge1", "rededge2", "rededge3")
"""The same for Clay, which asks for each band's wavelength."""

IN_TIMM = ("clay_v1_base", "prithvi_swin_B", "prithvi_swin_L")
"""What terratorch enters into timm's registry alone."""

UNUSABLE = ("dinov3", "convnext", "IdentityBackbone")
"""Names that need code from elsewhere, fail in terratorch 1.2 (its ConvNeXt V2; timm has it), or are no network."""


def registry() -> dict[str, Callable]:
    """Builders of the backbones that take one image, by name."""
    import torch

    # Its import lowers the precision of matrix products for the whole process; a cell's numbers must not depend on who ran before it.
    precision = torch.get_float32_matmul_precision()
    from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY as found

    torch.set_float32_matmul_precision(precision)
    import timm

    own = {name: found[name] for name in found if not (name.startswith(UNUSABLE) or "tokenizer" in name or name.endswith("_tim"))}
    return own | {name: timm.model_entrypoint(name) for name in IN_TIMM if timm.is_model(name)}


def build_terratorch(backbone: Backbone, in_chans: int, weights: Path | None, image_size: tuple[int, int]) -> FeatureMaps:
    """The backbone as feature maps, with the published ``weights`` of a local file, or random ones."""
    if in_chans > len(BANDS):
        raise InputError(
            f"{backbone} can't take {in_chans} channels", valid=f"{len(BANDS)} at most", next_step="choose a network of timm or smp"
        )
    builder = registry()[backbone.name]
    net = builder(**_arguments(builder, backbone, in_chans, weights, image_size))
    if weights:
        taken = ", ".join(BANDS[:in_chans])
        notice(
            f"{backbone}: its published weights are those of a satellite's bands; the image's {in_chans} channel(s) are taken for {taken}"
        )
    if weights and backbone.name.startswith("clay"):
        given = {key.removeprefix("model.encoder."): value for key, value in read_state(weights).items()}
        load_adapted(net.clay_encoder, given, str(backbone))
    if weights and backbone.name.startswith("terramind"):
        load_adapted(net, terramind_state(net, read_state(weights), in_chans), str(backbone))
    return FeatureMaps(net, str(backbone), in_chans, image_size)


def _arguments(builder: Callable, backbone: Backbone, in_chans: int, weights: Path | None, image_size: tuple[int, int]) -> dict[str, Any]:
    """Arguments that each kind of builder understands; weights come from the local file only."""
    takes = inspect.signature(builder).parameters
    square = image_size[0] if image_size[0] == image_size[1] else image_size
    bands = list(BANDS[:in_chans])
    if backbone.name.startswith("clay"):
        return {"bands": list(CLAY_BANDS[:in_chans]), "img_size": image_size[0], "features_only": True}
    if backbone.name.startswith("prithvi_swin"):
        return {"bands": bands, "features_only": True}
    if backbone.name.startswith("prithvi"):
        return {"bands": bands, "img_size": square, "pretrained": bool(weights)} | ({"ckpt_path": str(weights)} if weights else {})
    if backbone.name.startswith("terramind"):
        return {"modalities": {"image": in_chans}, "img_size": image_size[0]}
    if "model_bands" not in takes:
        return {"in_channels": in_chans}  # terratorch's UNet
    arguments: dict[str, Any] = {"model_bands": bands, "pretrained": bool(weights)}
    if weights:
        arguments["ckpt_data"] = str(weights)
    if backbone.name.startswith("dofa"):
        return arguments | {"img_size": image_size[0], "out_indices": list(range(24 if "large" in backbone.name else 12))}
    if "vit" in backbone.name:
        return arguments | {"img_size": image_size}
    return arguments | {"out_indices": [1, 3, 5, 7] if "swin" in backbone.name else [0, 1, 2, 3, 4]}


def terramind_state(net: nn.Module, state: dict[str, Tensor], in_chans: int) -> dict[str, Tensor]:
    """Published weights of TerraMind for one image: of its embedding of Sentinel-2's bands (D, pixels × bands) those of the channels."""
    from terratorch.models.backbones.terramind.model.terramind_register import PRETRAINED_BANDS

    theirs, own = f"encoder_embeddings.{TERRAMIND_MODALITY}.", "encoder_embeddings.image."
    known = PRETRAINED_BANDS[TERRAMIND_MODALITY]
    weight = state[f"{theirs}proj.weight"].reshape(-1, net.state_dict()[f"{own}proj.weight"].shape[1] // in_chans, len(known))
    chosen = weight[..., [known.index(band) for band in BANDS[:in_chans]]]
    position = {f"{own}pos_emb": net.state_dict()[f"{own}pos_emb"]}  # a sine table of the image's own size
    return state | position | {f"{own}proj.weight": chosen.flatten(1), f"{own}mod_emb": state[f"{theirs}mod_emb"]}


def published(name: str) -> tuple[str, str, str | None] | None:
    """(repository, file, revision) on the Hugging Face hub of a backbone's weights, or None; see ``weights``."""
    from terratorch.models.backbones import prithvi_vit
    from terratorch.models.backbones.terramind.model import terramind_register

    known = (prithvi_vit.pretrained_weights | terramind_register.pretrained_weights).get(name)
    if known:
        return known["hf_hub_id"], known["hf_hub_filename"], None
    if name.startswith("clay"):
        from terratorch.models.backbones.clay_v1.embedder import default_cfgs

        config = default_cfgs[name].default
        return config.hf_hub_id, config.hf_hub_filename, None
    default = inspect.signature(registry()[name]).parameters.get("weights")
    return hub_place(getattr(getattr(default, "default", None), "url", ""))
