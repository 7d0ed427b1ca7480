"""Published weights into a network whose first layer sees another number of channels."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import WorkError
from ..core.notices import notice
from .hub import damaged


def adapted(weight: Tensor, in_chans: int, order: Sequence[int] = ()) -> Tensor:
    """First-layer weights (O, I, …) for another number of input channels, as timm and smp do it.

    The published channels are repeated in turn, or taken in the ``order`` that is known for them, and scaled by I / ``in_chans``, so that
    the layer's response keeps its size; for one channel they are summed.
    """
    given = weight.shape[1]
    if in_chans == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = list(order[:in_chans]) if len(order) >= in_chans else [channel % given for channel in range(in_chans)]
    return weight[:, turns] * (1.0 if in_chans == given else given / in_chans)


def say_adapted(what: str, given: int, in_chans: int, names: Sequence[str] = ()) -> None:
    """Say for what an image's channels are taken where published weights see others; ``names`` of the published ones in that order."""
    if in_chans == 1:
        how = "one channel gets the sum of them"
    elif len(names) >= in_chans:
        how = f"the image's are taken for {', '.join(names[:in_chans])}"
    else:
        how = f"the image's are taken for numbers {', '.join(str(channel % given + 1) for channel in range(in_chans))}"
    if in_chans != given or names:
        notice(f"{what}: its published weights see {given} channel(s), the image has {in_chans}: {how}")


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


def load_adapted(net: nn.Module, state: dict[str, Any], what: str, bands: Mapping[str, int] | None = None) -> None:
    """Load published weights into a network without its head; raises ``WorkError`` if much of it would stay random.

    ``bands``: the published channels that an image's are taken for, in this order: names and numbers.
    """
    order = list((bands or {}).values())
    own = net.state_dict()
    fitting = {}
    for key, value in state.items():
        if key not in own:
            continue
        first = value.ndim == own[key].ndim > 2 and value.shape[0] == own[key].shape[0]
        if first and (value.shape != own[key].shape or (order and key == _first_of(own))):
            say_adapted(what, value.shape[1], own[key].shape[1], list(bands or {}))
            value = adapted(value, own[key].shape[1], order)
        if value.shape == own[key].shape:
            fitting[key] = value
    left = [key for key in own if key not in fitting and not _may_be_new(key)]
    if left:
        raise WorkError(
            f"the weights of {what} don't fit the network: {len(left)} of {len(own)} tensors lack or differ in shape, first {left[0]}",
            next_step="fetch the weights again, or set pretrained to False",
        )
    net.load_state_dict(fitting, strict=False)


def _first_of(state: Mapping[str, Tensor]) -> str:
    """The first layer that looks at pixels."""
    return next((key for key, value in state.items() if value.ndim > 3), "")


def _may_be_new(key: str) -> bool:
    """Heads, and counters that older files lack."""
    return key.split(".")[0] in ("head", "fc", "fc_norm", "classifier", "norm") or key.endswith("num_batches_tracked")
