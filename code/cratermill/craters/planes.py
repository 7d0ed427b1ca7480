"""What circles are read from a map by, on any device: by OpenCV and NumPy on a CPU, several times faster there, by torch elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional

from ..geo.resampling import bilinear


def places(mask: torch.Tensor) -> torch.Tensor:
    """Numbers (N,) of the true values of a mask, counted row by row."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return torch.nonzero(mask.flatten())[:, 0]


def smoothed(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of (h, w), edges repeated."""
    reach = int(np.ceil(3 * sigma))
    if image.device.type == "cpu":
        sides = (2 * reach + 1, 2 * reach + 1)
        return torch.from_numpy(cv2.GaussianBlur(image.numpy(), sides, sigma, borderType=cv2.BORDER_REPLICATE))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in (0, 1):
        length = image.shape[axis]
        padding = (reach, reach, 0, 0) if axis else (0, 0, reach, reach)
        padded = functional.pad(image[None, None], padding, mode="replicate")[0, 0]
        image = torch.zeros_like(image)
        for at, weight in enumerate((kernel / kernel.sum()).tolist()):
            image.add_(padded.narrow(axis, at, length), alpha=weight)
    return image


def sampled(image: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The image (h, w) at positions (N, M) within it, bilinear."""
    if not x.numel():
        return x
    if image.device.type == "cpu":
        return torch.from_numpy(bilinear(image.numpy()[None], y.numpy(), x.numpy(), None, 0.0)[0])
    height, width = image.shape
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return functional.grid_sample(image[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0]


def medians(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Median (N,) of the valid values of each row, of two in the middle the lower; 0 where there are none."""
    ranked = torch.where(valid, values, torch.inf)
    ranked = torch.from_numpy(np.sort(ranked.numpy())) if ranked.device.type == "cpu" else ranked.sort(1).values
    count = valid.sum(1, keepdim=True)
    return torch.where(count > 0, ranked.gather(1, (count - 1).clamp_(min=0) // 2), 0.0)[:, 0]
