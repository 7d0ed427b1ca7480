"""Losses, optimisers and learning-rate schedules by the names that rows use."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from .hparams import WARMUP, RowHparams, TrainingHparams
from .muon import MuonAdamW, is_matrix_weight

OPTIMIZERS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW, "SGD": torch.optim.SGD, "Muon": MuonAdamW}
SCHEDULERS = {
    "StepLR": lr_scheduler.StepLR,
    "CosineAnnealingLR": lr_scheduler.CosineAnnealingLR,
    "CosineAnnealingWarmRestarts": lr_scheduler.CosineAnnealingWarmRestarts,
}
WARMUP_START = 0.01
"""Share of the learning rate with which a warm-up begins."""


def losses() -> dict[str, type[nn.Module]]:
    """Loss classes of segmentation-models-pytorch by their names in a row."""
    from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, SoftBCEWithLogitsLoss

    return {"dice": DiceLoss, "focal": FocalLoss, "bce": SoftBCEWithLogitsLoss}


def build_loss(hparams: TrainingHparams) -> nn.Module:
    """The loss of a row; takes (logits, targets) of one shape, targets 0 or 1, and gives a scalar.

    Focal losses are divided by the sum of their focal terms, as EJMAP's are, unless LS_focal_normalized is False.
    """
    keywords = hparams.keywords_of("LS")
    if hparams.loss == "bce":
        if "pos_weight" in keywords:
            keywords["pos_weight"] = torch.tensor(float(keywords["pos_weight"]))
        # The class ignores one target value unless told otherwise; 0 and 1 both count here.
        return losses()["bce"](ignore_index=None, **keywords)
    if hparams.loss == "focal":
        keywords = {"normalized": True, **keywords}
        if keywords["normalized"]:
            keywords["reduction"] = "sum"  # the mean would divide by the number of pixels once more
    return losses()[hparams.loss](mode="binary", **keywords)


def build_optimizer(hparams: RowHparams, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a row over the trainable parameters of a module."""
    keywords = _tuples(hparams.keywords_of("OPT"))
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if hparams.optimizer == "Muon":
        matrices = [p for name, p in parameters.items() if is_matrix_weight(module, name)]
        others = [p for name, p in parameters.items() if not is_matrix_weight(module, name)]
        return MuonAdamW(matrices, others, lr=hparams.lr, adamw=_tuples(hparams.keywords_of("OPT", "AdamW")), **keywords)
    return OPTIMIZERS[hparams.optimizer](parameters.values(), lr=hparams.lr, **keywords)


def build_scheduler(hparams: RowHparams, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler | None:
    """The schedule of a row, to be stepped once per epoch; None for a constant learning rate, or one that the family makes itself."""
    name = hparams.chosen("LR")
    if name is None:
        return None
    schedule = SCHEDULERS[name](optimizer, **hparams.keywords_of("LR"))
    if not hparams.scheduler.endswith(WARMUP):
        return schedule
    epochs = hparams.LR_Warmup_milestone
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=WARMUP_START, end_factor=1.0, total_iters=epochs)
    return lr_scheduler.SequentialLR(optimizer, [warmup, schedule], milestones=[epochs])


def _tuples(keywords: dict[str, Any]) -> dict[str, Any]:
    """Lists (JSON knows no tuples) as the tuples that optimisers ask for."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in keywords.items()}
