"""Arrays on their way to a device."""

from __future__ import annotations

import numpy as np
import torch


def sent(value: torch.Tensor | np.ndarray, device: torch.device) -> torch.Tensor:
    """The values on a device. Nobody waits for the copy to a GPU: it is made from pinned memory, before what the GPU is asked for next."""
    tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if device.type == "cuda" and not tensor.is_cuda and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
