"""Networks by the names that rows use: classifiers and segmenters on the backbones of four libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .backbone import Backbone
from .names import resolve

if TYPE_CHECKING:
    from .classifier import build_classifier
    from .segmenter import build_segmenter

__all__ = ["Backbone", "build_classifier", "build_segmenter", "resolve"]

BUILDERS = {"build_classifier": "classifier", "build_segmenter": "segmenter"}


def __getattr__(name: str) -> Any:
    """The builders, which import torch, only when they are asked for: names are checked without."""
    if name not in BUILDERS:
        raise AttributeError(name)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{BUILDERS[name]}"), name)
