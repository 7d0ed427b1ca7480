"""Networks by the names that rows use: classifiers and segmenters on the backbones of four libraries."""

from __future__ import annotations

from .backbone import Backbone
from .classifier import build_classifier
from .names import resolve
from .segmenter import build_segmenter

__all__ = ["Backbone", "build_classifier", "build_segmenter", "resolve"]
