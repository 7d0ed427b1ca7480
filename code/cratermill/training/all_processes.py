"""Losses and batch normalisation over the samples of all processes, so that a distributed training is the run of one process.

torch's own SyncBatchNorm needs GPUs; the one here runs where the processes do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed
import torch.distributed.nn.functional
from torch import nn

Network = TypeVar("Network", bound=nn.Module)
Norm = nn.modules.batchnorm._BatchNorm


def several() -> bool:
    """Whether this process is one of several that train together."""
    return torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1


def loss_of_all(loss: Callable[..., torch.Tensor], *own: torch.Tensor) -> torch.Tensor:
    """A loss of the samples of all processes, whose tensors (B, …) are of one shape in each: its value and its gradients are those of one
    process with the whole batch, also where the loss is no mean over samples (focal, Dice). For the steps of a training.

    DDP takes the mean over processes, each of which holds the gradients of its own samples: hence times their number.
    """
    if not several():
        return loss(*own)
    whole = loss(*map(_of_all, own))
    return whole + (torch.distributed.get_world_size() - 1) * (whole - whole.detach())


def _of_all(own: torch.Tensor) -> torch.Tensor:
    """(processes · B, …) in the order of their ranks; only this process's own samples have gradients."""
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, own.detach().contiguous())
    parts[torch.distributed.get_rank()] = own
    return torch.cat(parts)


def share_batch_norm(network: Network, device: torch.device) -> Network:
    """The network with its batch normalisations taken over all processes; weights, buffers and their names stay."""
    if device.type == "cuda":
        from timm.layers import convert_sync_batchnorm

        converted: Network = convert_sync_batchnorm(network)
        return converted
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Norm) and not isinstance(child, SharedBatchNorm):
                setattr(module, name, SharedBatchNorm.of(child))
    return network


class SharedBatchNorm(Norm):
    """Statistics of a batch (N, C, …) per channel over all processes; timm's activations that sit in its normalisations go on."""

    drop: nn.Module
    act: nn.Module

    @classmethod
    def of(cls, norm: Norm) -> SharedBatchNorm:
        """The same weights and buffers, shared."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        for name in ("weight", "bias"):
            setattr(made, name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(made, name, getattr(norm, name))
        made.drop, made.act = getattr(norm, "drop", nn.Identity()), getattr(norm, "act", nn.Identity())
        made.train(norm.training)
        return made

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of axes after the channels."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        normal = self._normalise(input) if self.training and several() else super().forward(input)
        out: torch.Tensor = self.act(self.drop(normal))
        return out

    def _normalise(self, batch: torch.Tensor) -> torch.Tensor:
        axes, shape = [0, *range(2, batch.dim())], [1, -1, *[1] * (batch.dim() - 2)]
        values = batch.float()
        count = values.new_tensor(values.numel() / values.shape[1])
        total = _sum(torch.cat([values.sum(axes), count[None]]))
        mean, number = total[:-1] / total[-1], float(total[-1])
        centred = values - mean.view(shape)
        variance = _sum(centred.square().sum(axes)) / number
        self._follow(mean.detach(), variance.detach() * number / max(1.0, number - 1))
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(batch.dtype)

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """The running statistics, as torch keeps them."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Over all processes; gradients are summed likewise."""
    summed: torch.Tensor = torch.distributed.nn.functional.all_reduce(values)
    return summed
