"""The losses, optimisers and schedules that rows may name: one entry each, from which valid names and keyword columns are read.

Importing this costs nothing; a library is imported when a class of its own is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from .fields import OneOf

Keywords = dict[str, Any]

WARMUP = "_Warmup"
"""Suffix of a schedule before which the rate rises."""


def _as_given(keywords: Keywords) -> Keywords:
    return keywords


@dataclass(frozen=True)
class Entry:
    """One class by its place, ``module:name``, and what is made of a row's keywords before it takes them."""

    place: str
    adjust: Callable[[Keywords], Keywords] = _as_given

    def load(self) -> Callable[..., Any]:
        module, _, name = self.place.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    def make(self, *arguments: Any, **keywords: Any) -> Any:
        return self.load()(*arguments, **self.adjust(keywords))


def _binary(keywords: Keywords) -> Keywords:
    return {"mode": "binary", **keywords}


def _focal(keywords: Keywords) -> Keywords:
    """Divided by the sum of the focal terms, as EJMAP's are, unless LS_focal_normalized is False."""
    keywords = {"mode": "binary", "normalized": True, **keywords}
    # The mean would divide by the number of pixels once more.
    return keywords | ({"reduction": "sum"} if keywords["normalized"] else {})


def _bce(keywords: Keywords) -> Keywords:
    import torch

    weight = {"pos_weight": torch.tensor(float(keywords["pos_weight"]))} if "pos_weight" in keywords else {}
    # The class ignores one target value unless told otherwise; 0 and 1 both count here.
    return {"ignore_index": None, **keywords, **weight}


LOSSES = {
    # Of (logits, targets) of one shape, targets 0 or 1; a scalar.
    "dice": Entry("segmentation_models_pytorch.losses:DiceLoss", _binary),
    "focal": Entry("segmentation_models_pytorch.losses:FocalLoss", _focal),
    "bce": Entry("segmentation_models_pytorch.losses:SoftBCEWithLogitsLoss", _bce),
    "iou": Entry("segmentation_models_pytorch.losses:JaccardLoss", _binary),
}
OPTIMIZERS = {
    "Adam": Entry("torch.optim:Adam"),
    "AdamW": Entry("torch.optim:AdamW"),
    "SGD": Entry("torch.optim:SGD"),
    "Muon": Entry("timm.optim:Muon"),
}
SCHEDULERS = {
    # Stepped once per epoch; those with a method ``reach`` are told of every step.
    "StepLR": Entry("torch.optim.lr_scheduler:StepLR"),
    "CosineAnnealingLR": Entry("torch.optim.lr_scheduler:CosineAnnealingLR"),
    "CosineAnnealingWarmRestarts": Entry("torch.optim.lr_scheduler:CosineAnnealingWarmRestarts"),
    "Trapezoid": Entry("cratermill.training.schedules:Trapezoid"),
}


def scheduler_names() -> Iterable[str]:
    return [*SCHEDULERS, *(name + WARMUP for name in SCHEDULERS if name != "Trapezoid")]


LossName = Annotated[str, OneOf(lambda: LOSSES)]
OptimizerName = Annotated[str, OneOf(lambda: OPTIMIZERS)]
SchedulerName = Annotated[str, OneOf(scheduler_names)]
