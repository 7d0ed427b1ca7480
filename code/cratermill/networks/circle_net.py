"""A heat map of circles: where a crater's centre is, how large it is and where in its cell, from any encoder.

Centres as peaks of a heat map with sizes beside them: X. Zhou, D. Wang and P. Krähenbühl, Objects as Points, 2019.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbone import Backbone
from .features import Pyramid
from .segmenter import encoder_features

STRIDE = 2
"""Pixels of the image per cell of the heat map, each way."""
OUTPUTS = 4
"""Channels: logit of the heat, logarithm of the radius, and what leads from the cell to the centre along x and y, all in pixels."""
WIDTHS = (96, 64, 48, 32)
"""Channels of the decoder at strides 16, 8, 4 and 2."""
HEAD_WIDTH = 48
FIRST_HEAT, FIRST_RADIUS_PX = -4.0, 5.0


class CircleNet(nn.Module):
    """(N, C, H, W), H and W divisible by 32 → (N, 4, H / 2, W / 2), see ``OUTPUTS``. Of ``widths`` the last ones count where the encoder
    has fewer levels."""

    divisor = 32

    def __init__(self, encoder: Pyramid, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        self.encoder = encoder
        skips = encoder.out_channels[-2:0:-1]
        widths = widths[-len(skips) :]
        deeper = (encoder.out_channels[-1], *widths)
        self.steps = nn.ModuleList(Step(*one) for one in zip(deeper, skips, widths, strict=False))
        self.middle = nn.Conv2d(widths[-1], HEAD_WIDTH, 3, padding=1)
        self.head = nn.Conv2d(HEAD_WIDTH, OUTPUTS, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        self.head.bias = nn.Parameter(torch.tensor([FIRST_HEAT, math.log(FIRST_RADIUS_PX), 0.0, 0.0]))

    def forward(self, image: Tensor) -> Tensor:
        levels = self.encoder(image)
        deep = levels[-1]
        for step, skip in zip(self.steps, levels[-2:0:-1], strict=True):
            deep = step(deep, skip)
        last = self.middle(deep).relu()
        with torch.autocast(image.device.type, enabled=False):  # 16 bits hold the logarithm of a radius to a hundredth of it
            return pointwise(last.float(), self.head)


def pointwise(maps: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A 1 × 1 convolution as one product of matrices: with few outputs a CPU takes a sixth of the time for it and its gradients."""
    count, channels, height, width = maps.shape
    cells = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    outputs = convolution.weight[:, :, 0, 0] @ cells.T + cast(Tensor, convolution.bias)[:, None]
    return outputs.reshape(-1, count, height, width).transpose(0, 1)


class Step(nn.Module):
    """Twice as fine: the deeper map and the encoder's map of this level added, then one convolution."""

    def __init__(self, deep: int, skip: int, width: int):
        super().__init__()
        self.deep, self.skip = nn.Conv2d(deep, width, 1, bias=False), nn.Conv2d(skip, width, 1, bias=False)
        self.join = nn.BatchNorm2d(width)
        self.convolution, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        both = functional.interpolate(self.deep(deep), size=skip.shape[-2:], mode="nearest") + self.skip(skip)
        return self.norm(self.convolution(self.join(both).relu())).relu()


def build_circle_net(backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int], depth: int = 5) -> CircleNet:
    """The network on an encoder's first ``depth`` levels. Raises ``InputError`` for encoders that can't take such images, or lack their
    weights."""
    features = encoder_features(backbone, in_chans, pretrained, image_size, 2**depth)
    return CircleNet(Pyramid(features, in_chans, depth))


def peaks(outputs: Tensor, least: float) -> list[Tensor]:
    """Circles (M, 4) x, y, radius in pixels and heat of each image from the network's outputs (N, 4, h, w).

    A peak is a cell above ``least`` and its eight neighbours. Place and size are the means of what the nine cells say, weighted with
    their heat squared, which is steadier than the peak's own answer.
    """
    heat = outputs[:, 0].sigmoid()
    is_peak = (heat == functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]) & (heat > least)
    weight = (heat**2)[:, None]
    rows, cols = (torch.arange(side, device=heat.device, dtype=heat.dtype) * STRIDE + (STRIDE - 1) / 2 for side in heat.shape[1:])
    x, y = outputs[:, 2] + cols[None, None], outputs[:, 3] + rows[None, :, None]
    said = torch.stack([x, y, outputs[:, 1].clamp(-1, 8)], 1) * weight
    near = functional.avg_pool2d(torch.cat([said, weight], 1), 3, 1, 1, divisor_override=1)
    found = []
    for image in range(len(outputs)):
        row, col = torch.nonzero(is_peak[image], as_tuple=True)
        x_y_size = near[image, :3, row, col] / near[image, 3:, row, col].clamp_min(1e-12)
        found.append(torch.stack([x_y_size[0], x_y_size[1], x_y_size[2].exp(), heat[image, row, col]], 1))
    return found
