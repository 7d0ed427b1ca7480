"""Muon for networks with convolutions: orthogonalised momentum for weight matrices, AdamW for everything else.

K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. ``torch.optim.Muon`` refuses all that is not 2-D; here the
weight (O, I, h, w) of a convolution is taken as the matrix (O, I·h·w), and one optimiser holds both kinds of
parameters, so that one scheduler and one checkpoint entry serve them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
ADJUSTMENTS: dict[str, Callable[[int, int], float]] = {
    # How the step scales with a matrix of a rows and b columns; names as in torch.optim.Muon.
    "original": lambda a, b: math.sqrt(max(1.0, a / b)),
    "match_rms_adamw": lambda a, b: 0.2 * math.sqrt(max(a, b)),
    "spectral_unclamped": lambda a, b: math.sqrt(a / b),
}


class MuonAdamW(torch.optim.Optimizer):
    """Two parameter groups, ``matrices`` by Muon and ``others`` by AdamW.

    The default ``match_rms_adamw`` gives Muon's steps the size of AdamW's (J. Liu et al. 2025, arXiv 2502.16982), so
    that one learning rate suits both groups.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        eps: float = 1e-7,
        adjust_lr_fn: str = "match_rms_adamw",
        *,
        adamw: dict[str, Any] | None = None,
    ):
        if adjust_lr_fn not in ADJUSTMENTS:
            raise ValueError(f"adjust_lr_fn {adjust_lr_fn!r} is none of {', '.join(ADJUSTMENTS)}")
        unknown = set(adamw or {}) - {"weight_decay", "betas", "eps"}
        if unknown:
            raise ValueError(f"beside Muon, AdamW takes weight_decay, betas and eps, not {', '.join(sorted(unknown))}")
        muon = {"weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "eps": eps}
        rest = {"weight_decay": 0.01, "betas": (0.9, 0.999), "eps": 1e-8} | (adamw or {})
        groups = [
            {"params": list(matrices), "kind": "muon", "adjust_lr_fn": adjust_lr_fn, **muon},
            {"params": list(others), "kind": "adamw", **rest},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = _muon if group["kind"] == "muon" else _adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, self.state[parameter], group)
        return loss


def _muon(parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    grad, momentum = parameter.grad, group["momentum"]
    if not state:
        state["momentum_buffer"] = torch.zeros_like(grad)
    smooth = state["momentum_buffer"].lerp_(grad, 1 - momentum)
    direction = grad.lerp(smooth, momentum) if group["nesterov"] else smooth
    matrix = orthogonalised(direction.reshape(len(direction), -1), group["ns_steps"], group["eps"])
    scale = ADJUSTMENTS[group["adjust_lr_fn"]](*matrix.shape)
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(matrix.reshape(parameter.shape).to(parameter.dtype), alpha=-group["lr"] * scale)


def orthogonalised(matrix: Tensor, steps: int, eps: float) -> Tensor:
    """The nearest half-orthogonal matrix, roughly: singular values between about 0.7 and 1.2, by a quintic Newton–Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(torch.bfloat16 if matrix.is_cuda else torch.float32)
    x = x / (x.norm() + eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def _adamw(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2."""
    beta1, beta2 = group["betas"]
    if not state:
        state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
    state["step"] += 1
    mean = state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
    root = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.addcdiv_(mean, root, value=-group["lr"] / (1 - beta1 ** state["step"]))


def is_matrix_weight(module: nn.Module, name: str) -> bool:
    """Whether a named parameter is the weight of a convolution or linear layer (not a bias, norm or position embedding)."""
    owner, _, leaf = name.rpartition(".")
    parameter = module.get_parameter(name)
    return leaf == "weight" and parameter.ndim >= 2 and isinstance(module.get_submodule(owner), LAYERS)
