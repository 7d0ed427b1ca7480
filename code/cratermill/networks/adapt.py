"""Published weights into a network whose first layer sees another number of channels."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import WorkError
from .hub import damaged


def adapted(weight: Tensor, in_chans: int) -> Tensor:
    """First-layer weights (O, I, …) for another number of input channels, as timm and smp do it.

    The published channels are repeated in turn and scaled by I / ``in_chans``, so that the layer's response keeps its size; for one
    channel they are summed.
    """
    given = weight.shape[1]
    if in_chans == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = torch.arange(in_chans) % given
    return weight[:, turns] * (given / in_chans)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or torch file; no other objects are unpickled."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise damaged(path, error) from error
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state.get(key), dict) else state
    return state


def load_adapted(net: nn.Module, state: dict[str, Any], what: str) -> None:
    """Load published weights into a network without its head; raises ``WorkError`` if much of it would stay random."""
    own = net.state_dict()
    fitting = {}
    for key, value in state.items():
        if key not in own:
            continue
        if value.shape != own[key].shape and value.ndim == own[key].ndim > 2 and value.shape[0] == own[key].shape[0]:
            value = adapted(value, own[key].shape[1])
        if value.shape == own[key].shape:
            fitting[key] = value
    left = [key for key in own if key not in fitting and not _may_be_new(key)]
    if left:
        raise WorkError(
            f"the weights of {what} don't fit the network: {len(left)} of {len(own)} tensors lack or differ in shape, first {left[0]}",
            next_step="fetch the weights again, or set pretrained to False",
        )
    net.load_state_dict(fitting, strict=False)


def _may_be_new(key: str) -> bool:
    """Heads, and counters that older files lack."""
    return key.split(".")[0] in ("head", "fc", "fc_norm", "classifier", "norm") or key.endswith("num_batches_tracked")
