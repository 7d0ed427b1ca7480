"""The Symmetric U-Net of DeLatte et al. (2019, arXiv 1903.xxxx): seven poolings, and skips that add instead of joining."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

FILTERS = (16, 24, 32, 48, 64, 96, 128)
"""Filters of the convolutions on the way down; the way up has the same in reverse, the bottom the last of them."""

DROPOUTS = (0.0, 0.0, 0.2, 0.2, 0.3, 0.4, 0.5)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
}
"""The paper has the first; the others leave negative sums a slope."""
POOLINGS = len(FILTERS)
DIVISOR = 2**POOLINGS


class SymmetricUNet(nn.Module):
    """Logits (N, 1, H, W) of images (N, C, H, W); H and W divisible by 128.

    ``filter_multiple`` scales all filters (the paper tries ½, 1, 2), ``kernel_size`` is that of all convolutions but the last, whose is
    ``final_kernel_size``: 1 in the paper (731 473 parameters), that of the others in the authors' code (731 601 at 3 × 3).
    Dropout comes before a pooling, but what a skip adds is the convolution before its dropout; ``dropout`` scales the paper's shares.
    ``activation`` follows every convolution but the last. Weights start as Keras starts them.
    """

    def __init__(
        self,
        in_chans: int = 1,
        kernel_size: int = 3,
        filter_multiple: float = 1.0,
        final_kernel_size: int | None = None,
        dropout: float = 1.0,
        activation: str = "relu",
    ):
        super().__init__()
        self.dropouts = [dropout * share for share in DROPOUTS]
        self.activation = ACTIVATIONS[activation]()
        widths = [max(1, round(filters * filter_multiple)) for filters in FILTERS]

        def convolution(before: int, after: int, kernel: int = kernel_size) -> nn.Conv2d:
            return nn.Conv2d(before, after, kernel, padding="same")

        self.down = nn.ModuleList(convolution(*pair) for pair in zip([in_chans, *widths], widths, strict=False))
        self.bottom = convolution(widths[-1], widths[-1])
        upwards = widths[::-1]
        self.up = nn.ModuleList(convolution(*pair) for pair in zip([upwards[0], *upwards], upwards, strict=False))
        self.final = convolution(widths[0], 1, final_kernel_size or kernel_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.to(memory_format=torch.channels_last)  # steps are two thirds faster, on CPUs, too

    def forward(self, image: Tensor) -> Tensor:
        skips, features = [], image
        for layer, dropout in zip(self.down, self.dropouts, strict=True):
            skips.append(self.activation(convolved(layer, features)))
            features = functional.avg_pool2d(functional.dropout(skips[-1], dropout, self.training), 2)
        features = functional.dropout(self.activation(convolved(self.bottom, features)), self.dropouts[-1], self.training)
        for layer, dropout, skip in zip(self.up, self.dropouts[::-1], skips[::-1], strict=True):
            features = self.activation(convolved(layer, functional.interpolate(features, scale_factor=2, mode="nearest")))
            features = functional.dropout(features, dropout, self.training) + skip
        return self.final(features)


def convolved(layer: nn.Module, features: Tensor) -> Tensor:
    """``layer`` (a convolution, padding "same") of ``features``, without the taps that see only padding where these are small.

    They add nothing, but oneDNN leaves their gradients unset in bfloat16, so that their weights became NaN.
    """
    assert isinstance(layer, nn.Conv2d)
    kernel = layer.weight
    for axis in (2, 3):
        reach = kernel.shape[axis] // 2
        seen = min(reach, features.shape[axis] - 1)
        kernel = kernel.narrow(axis, reach - seen, 2 * seen + 1)
    if kernel.shape == layer.weight.shape:
        return layer(features)
    return functional.conv2d(features, kernel, layer.bias, padding="same")
