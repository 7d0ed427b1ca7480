"""Which networks each library has and where their weights are published: kept on disk, since the libraries take seconds to say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..core.remembered import remembered
from .backbone import LIBRARIES, Backbone
from .hub import hub_place

PACKAGES = {
    "timm": ("timm",),
    "smp": ("segmentation-models-pytorch", "timm"),
    "torchgeo": ("torchgeo", "timm"),
    "terratorch": ("terratorch", "torchgeo", "timm"),
}
TORCHGEO_OTHER_INPUT = ("aurora_swin_unet", "copernicusfm_base", "croma_base", "croma_large", "earthloc", "panopticon_vitb14", "unet")
"""Networks of torchgeo that take something else than one image, or give no feature maps."""

Place = list[Any]
"""Where weights are published: repository, files, revision, url."""


@cache
def listing(library: str) -> dict[str, Any]:
    """``names`` of a library's networks without tags, ``tags`` by name, ``published``: the place of weights by full name, and ``renamed``:
    names of before that the library still takes."""
    modules = (__name__, *(f"cratermill.networks.{name}" for name in ("hub", "terratorch_backbones")))
    found: dict[str, Any] = remembered(f"networks-{library}", PACKAGES[library], modules, lambda: _look(library))
    return found


def build() -> None:
    """Keep all that tables are checked by, so that the first check needn't wait for the libraries; for the installation."""
    for library in LIBRARIES:
        listing(library)


def _look(library: str) -> dict[str, Any]:
    """Ask the library itself."""
    names, tags = {"timm": _timm, "smp": _smp, "torchgeo": _torchgeo, "terratorch": _terratorch}[library]()
    published: dict[str, Place] = {}
    for backbone in (Backbone(library, name, tag) for name in names for tag in (None, *tags.get(name, ()))):
        place = FINDERS[library](backbone)
        if place is not None:
            published[backbone.full] = place
    return {"names": names, "tags": tags, "published": published, "renamed": _renamed() if library == "timm" else {}}


def _renamed() -> dict[str, str]:
    """timm keeps what became of its earlier names in a table of its own."""
    from timm.models import _registry

    return {old: new for old, new in getattr(_registry, "_deprecated_models", {}).items() if new}


Names = tuple[list[str], dict[str, list[str]]]


def _timm() -> Names:
    import timm

    # Other libraries register networks with timm as they are imported; those are not there for a process without them.
    own = [name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("timm.")]
    tags: dict[str, list[str]] = {name: [] for name in own}
    for full in timm.list_pretrained():
        name, _, tag = full.partition(".")
        if name in tags:
            tags[name].append(tag)
    return own, {name: found for name, found in tags.items() if found}


def _smp() -> Names:
    from segmentation_models_pytorch.encoders import get_encoder_names

    return get_encoder_names(), {}


def _torchgeo() -> Names:
    import torchgeo.models

    names, tags = [name for name in torchgeo.models.list_models() if name not in TORCHGEO_OTHER_INPUT], {}
    for name in names:
        try:
            tags[name] = [weight.name for weight in torchgeo.models.get_model_weights(name)]
        except KeyError:
            continue
    return names, tags


def _terratorch() -> Names:
    from .terratorch_backbones import registry

    return sorted(registry()), {}


# --- where weights are published ------------------------------------------------------------------------------------------------


def _of_timm(backbone: Backbone) -> Place | None:
    import timm

    config = timm.get_pretrained_cfg(backbone.full)
    if config is None or not (config.hf_hub_id or config.url):
        return None
    if not config.hf_hub_id:
        # timm may give more than the address.
        return [None, [], None, config.url if isinstance(config.url, str) or config.url is None else config.url[0]]
    repository, _, revision = config.hf_hub_id.partition("@")
    files = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    return [repository, files, revision or None, None]


def _of_smp(backbone: Backbone) -> Place | None:
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[backbone.name]["pretrained_settings"]
    if not settings:
        return None
    chosen = settings.get("imagenet") or next(iter(settings.values()))
    return [chosen["repo_id"], ["model.safetensors"], chosen["revision"], None]


def _of_torchgeo(backbone: Backbone) -> Place | None:
    if backbone.tag is None:
        return None
    import torchgeo.models

    url = torchgeo.models.get_model_weights(backbone.name)[backbone.tag].url
    place = hub_place(url)
    return [place[0], [place[1]], place[2], None] if place else [None, [], None, url]


def _of_terratorch(backbone: Backbone) -> Place | None:
    from .terratorch_backbones import published

    place = published(backbone.name)
    return [place[0], [place[1]], place[2], None] if place else None


FINDERS: dict[str, Callable[[Backbone], Place | None]] = {
    "timm": _of_timm,
    "smp": _of_smp,
    "torchgeo": _of_torchgeo,
    "terratorch": _of_terratorch,
}
