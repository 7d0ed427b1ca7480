"""Losses, optimisers and learning-rate schedules of rows; their names stand in :mod:`.registry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from ..core.errors import InputError, first_line
from .registry import LOSSES, OPTIMIZERS, SCHEDULERS, WARMUP

if TYPE_CHECKING:
    from .hparams import RowHparams

WARMUP_START = 0.01
"""Share of the learning rate with which a warm-up begins."""

FUSED, OWN_WAY = ("Adam", "AdamW", "SGD"), {"fused", "foreach", "capturable", "differentiable"}
"""Optimisers that change all weights of a GPU in one kernel, and keywords by which a row says itself how it is done."""

MATRIX_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
MUON: dict[str, Any] = {"weight_decay": 0.1, "nesterov": True, "ns_coefficients": "original"}
"""Muon's keywords unless a row says otherwise: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. The library's step
size, that of J. Liu et al. 2025, arXiv 2502.16982, lets one learning rate suit the matrices and what AdamW takes."""
BESIDE_MUON: dict[str, Any] = {"weight_decay": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}
"""Keywords of AdamW for what isn't a matrix, unless a row says otherwise."""


def build_loss(hparams: RowHparams) -> nn.Module:
    """The loss of a row; takes (logits, targets) of one shape, targets 0 or 1, and gives a scalar."""
    loss: nn.Module = LOSSES[hparams.chosen_name("LS")].make(**hparams.keywords_of("LS"))
    return loss


def build_optimizer(hparams: RowHparams, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a row over the trainable parameters of a module."""
    keywords = _tuples(hparams.keywords_of("OPT"))
    if hparams.optimizer == "Muon":
        return _muon(module, hparams.lr, MUON | keywords, _tuples(hparams.keywords_of("OPT", "AdamW")))
    parameters = [p for p in module.parameters() if p.requires_grad]
    if is_fused(hparams, parameters) and not OWN_WAY & keywords.keys():
        keywords["fused"] = True
    optimizer: torch.optim.Optimizer = OPTIMIZERS[hparams.optimizer].make(parameters, lr=hparams.lr, **keywords)
    return optimizer


def is_fused(hparams: RowHparams, parameters: list[Any]) -> bool:
    """Whether one kernel is to change all weights. Elsewhere than on GPUs nothing is gained; and gradients that are clipped must not be
    scaled back by the optimiser, as this kind does in 16 bits."""
    clipped = getattr(hparams, "gradient_clip", None) is not None
    return hparams.optimizer in FUSED and not clipped and bool(parameters) and all(one.is_cuda for one in parameters)


def _muon(module: nn.Module, lr: float, keywords: dict[str, Any], adamw: dict[str, Any]) -> torch.optim.Optimizer:
    """Muon for the weights of convolutions and linear layers, AdamW for all else, in one optimiser."""
    if unknown := set(adamw) - set(BESIDE_MUON):
        raise InputError(f"beside Muon, AdamW can't take {', '.join(sorted(unknown))}", valid=", ".join(BESIDE_MUON))
    muon = OPTIMIZERS["Muon"].load()
    _try_muon(muon, keywords)
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    matrices = [p for name, p in parameters.items() if is_matrix_weight(module, name)]
    others = [p for name, p in parameters.items() if not is_matrix_weight(module, name)]
    # Without nesterov: with it the library's fallback is NAdamW.
    groups = [{"params": matrices, "use_muon": True}, {"params": others, "use_muon": False, "nesterov": False, **BESIDE_MUON, **adamw}]
    optimizer: torch.optim.Optimizer = muon([group for group in groups if group["params"]], lr=lr, **keywords)
    return optimizer


def _try_muon(muon: Any, keywords: dict[str, Any]) -> None:
    """One step on a small matrix: the library looks at most of its keywords only then."""
    weight = nn.Parameter(torch.eye(2))
    weight.grad = torch.eye(2)
    try:
        muon([{"params": [weight], "use_muon": True}], **keywords).step()
    except (AssertionError, ValueError, TypeError) as error:
        valid = "for adjust_lr_fn: original, match_rms_adamw or rms_to_rms (with algo adamuon the latter two or rsqrt_in)"
        raise InputError(f"the OPT_Muon_ columns can't be used: {first_line(error)}", valid=valid) from error


def is_matrix_weight(module: nn.Module, name: str) -> bool:
    """Whether a named parameter is the weight of a convolution or linear layer (not a bias, norm or position embedding)."""
    owner, _, leaf = name.rpartition(".")
    parameter = module.get_parameter(name)
    return leaf == "weight" and parameter.ndim >= 2 and isinstance(module.get_submodule(owner), MATRIX_LAYERS)


def build_scheduler(hparams: RowHparams, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler | None:
    """The schedule of a row, to be stepped once per epoch; None for a constant learning rate, or one that the family makes itself."""
    name = hparams.chosen("LR")
    if name is None or hparams.scheduler is None:
        return None
    schedule: lr_scheduler.LRScheduler = SCHEDULERS[name].make(optimizer, **hparams.keywords_of("LR"))
    epochs = hparams.LR_Warmup_milestone
    if not hparams.scheduler.endswith(WARMUP) or epochs is None:
        return schedule
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=WARMUP_START, end_factor=1.0, total_iters=epochs)
    return lr_scheduler.SequentialLR(optimizer, [warmup, schedule], milestones=[epochs])


def _tuples(keywords: dict[str, Any]) -> dict[str, Any]:
    """Lists (JSON knows no tuples) as the tuples that optimisers ask for."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in keywords.items()}
