"""How rows name networks: ``name`` or ``library:name``, for timm, segmentation-models-pytorch, torchgeo and terratorch.

A bare name belongs to the family's home library (timm for classifiers, smp for encoders) or, if that doesn't know it, to the other of
the two. ``tu-name`` is smp's own spelling of ``timm:name``. timm's weight tags (``densenet169.tv_in1k``) and torchgeo's
(``torchgeo:resnet18.SENTINEL2_RGB_MOCO``) follow a point.
"""

from __future__ import annotations

from ..core.errors import InputError, nearest
from .backbone import LIBRARIES, Backbone
from .listing import listing


def resolve(text: str, home: str) -> Backbone:
    """The network that a row names; ``home`` is the library of bare names. Raises ``InputError`` with the nearest valid names."""
    library, rest = _split(text)
    for candidate in [library] if library else [home, *({"timm", "smp"} - {home})]:
        name, tag = _split_tag(candidate, _renamed(rest) if candidate == "timm" else rest)
        if name in names(candidate):
            return Backbone(candidate, name, _known_tag(candidate, name, tag, text))
    libraries = [library] if library else [home, *({"timm", "smp"} - {home})]
    known = [candidate for lib in libraries for candidate in names(lib)]
    where = f"no network of {' or '.join(libraries)}"
    raise InputError(
        f"'{text}' is {where}", valid=nearest(rest.partition(".")[0], known), next_step="correct the name, or write library:name"
    )


def _split(text: str) -> tuple[str | None, str]:
    text = text.strip()
    if text.startswith("tu-"):
        return "timm", text.removeprefix("tu-")
    library, colon, rest = text.partition(":")
    if not colon:
        return None, text
    if library not in LIBRARIES:
        raise InputError(f"unknown library '{library}' in '{text}'", valid=", ".join(LIBRARIES), next_step="write library:name")
    return library, rest


def _renamed(name: str) -> str:
    """timm's name of today, with its weights, for one of before that timm still takes."""
    renamed: dict[str, str] = listing("timm")["renamed"]
    return renamed.get(name, name)


def _split_tag(library: str, name: str) -> tuple[str, str | None]:
    if library not in ("timm", "torchgeo"):
        return name, None
    name, _, tag = name.partition(".")
    return name, tag or None


def _known_tag(library: str, name: str, tag: str | None, text: str) -> str | None:
    if tag is not None and tag not in tags(library, name):
        valid = nearest(tag, tags(library, name)) if tags(library, name) else f"{name}, without a tag"
        raise InputError(
            f"'{text}': {library} has no weights '{tag}' for {name}", valid=valid, next_step="correct the part after the point"
        )
    return tag


def names(library: str) -> list[str]:
    """All names of a library, without tags."""
    found: list[str] = listing(library)["names"]
    return found


def tags(library: str, name: str) -> tuple[str, ...]:
    """Tags of the published weights of a timm or torchgeo network."""
    return tuple(listing(library)["tags"].get(name, ()))
