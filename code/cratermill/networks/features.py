"""Any network as a list of feature maps, and such lists as encoders for the decoders of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import InputError

Read = Callable[[nn.Module, Tensor], Sequence[Tensor]]
LEVEL_CHANNELS = (32, 64, 128, 256, 512)
"""Channels at most of the levels (strides 2 to 32) that a pyramid makes itself."""


def call(net: nn.Module, image: Tensor) -> Sequence[Tensor]:
    return net(image)


class FeatureMaps(nn.Module):
    """A network whose ``forward`` gives feature maps (N, C, h, w), shallow to deep, whatever it gives itself.

    Maps with channels last and token sequences (N, L, C), with or without a class token, are recognised in one trial pass over an image
    of the size that the network is made for. Of a plain transformer's blocks, all of one size, four are kept.
    """

    def __init__(self, net: nn.Module, name: str, in_chans: int, image_size: tuple[int, int], read: Read = call):
        super().__init__()
        self.net, self.read = net, read
        self.keep: list[int] | None = None
        found = self._try(torch.zeros(1, in_chans, *image_size), name)
        self.keep = _spread([(map_.shape[-2], map_.shape[-1]) for map_ in found])
        found = [found[index] for index in self.keep]
        self.channels = [map_.shape[1] for map_ in found]
        self.strides = [image_size[0] / map_.shape[2] for map_ in found]

    @property
    def out_channels(self) -> list[int]:
        """Asked by terratorch's factory."""
        return list(self.channels)

    def _try(self, image: Tensor, name: str) -> list[Tensor]:
        training = self.training
        try:
            with torch.no_grad():
                return self.eval()(image)
        except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
            size = f"{image.shape[2]}×{image.shape[3]} pixels with {image.shape[1]} channels"
            raise InputError(f"{name} can't take images of {size}: {error}", next_step="choose another tile_size_px or network") from error
        finally:
            self.train(training)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FeatureMaps:
        """Moves and conversions, called by ``to``. Weights of 3-D convolutions go flat, since ``channels_last`` knows four axes only."""
        return super()._apply(lambda tensor: fn(tensor.flatten(1)).view(tensor.shape) if tensor.ndim == 5 else fn(tensor), recurse)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [_as_map(feature, (image.shape[-2], image.shape[-1])) for feature in self.read(self.net, image)]
        maps = maps if self.keep is None else [maps[index] for index in self.keep]
        return maps


def _spread(sizes: list[tuple[int, int]]) -> list[int]:
    """Which maps to keep, largest first: the last of each size, or four of the blocks of a plain transformer."""
    if len(set(sizes)) == 1:
        count = min(4, len(sizes))
        return [round((i + 1) * len(sizes) / count) - 1 for i in range(count)]
    last = {size: index for index, size in enumerate(sizes)}
    return [last[size] for size in sorted(last, key=lambda size: -size[0] * size[1])]


def _as_map(feature: Tensor, image_size: tuple[int, int]) -> Tensor:
    if feature.ndim == 3:
        return _tokens_as_map(feature, image_size)
    if feature.ndim != 4:
        raise ValueError(f"a feature of shape {tuple(feature.shape)} is no map")
    if _same_ratio(feature.shape[2:], image_size) or not _same_ratio(feature.shape[1:3], image_size):
        return feature
    return feature.permute(0, 3, 1, 2).contiguous()


def _same_ratio(size: Sequence[int], image_size: tuple[int, int]) -> bool:
    """Whether a map could be the image shrunk by one factor (rounded up at odd sizes)."""
    factor = image_size[0] / size[0]
    return factor >= 1 and abs(image_size[1] / factor - size[1]) < 1


def _tokens_as_map(tokens: Tensor, image_size: tuple[int, int]) -> Tensor:
    for extra in (0, 1, 5):  # none, a class token, a class token and four registers
        count = tokens.shape[1] - extra
        patch = (image_size[0] * image_size[1] / count) ** 0.5 if count > 0 else 0.5
        if patch.is_integer() and image_size[0] % patch == 0 and image_size[1] % patch == 0:
            rows, columns = (int(side / patch) for side in image_size)
            return tokens[:, extra:].transpose(1, 2).reshape(len(tokens), -1, rows, columns)
    raise ValueError(f"{tokens.shape[1]} tokens do not tile an image of {image_size[0]}×{image_size[1]}")


class Pyramid(nn.Module):
    """An encoder as smp's decoders want it: the image, then one map per level i of stride 2^i, not above ``output_stride``.

    A level that the network itself has is passed on. The others are made from the network's map of the nearest size by a 1×1
    convolution and bilinear resizing; a plain transformer's four maps make levels 2 to 5, the first also level 1.
    """

    def __init__(self, features: FeatureMaps, in_chans: int, depth: int = 5, output_stride: int = 32):
        super().__init__()
        self.features, self.output_stride = features, min(output_stride, 2**depth)
        self.strides = [min(2**level, output_stride) for level in range(1, depth + 1)]
        self.sources = [_source(features.strides, stride, level) for level, stride in enumerate(self.strides)]
        self.out_channels, self.project = [in_chans], nn.ModuleList()
        for level, (stride, source) in enumerate(zip(self.strides, self.sources, strict=True)):
            channels = features.channels[source]
            own = features.strides[source] == stride
            self.out_channels.append(channels if own else min(channels, LEVEL_CHANNELS[level]))
            self.project.append(nn.Identity() if own else nn.Conv2d(channels, self.out_channels[-1], 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.features(image)
        levels = [image]
        for stride, source, project in zip(self.strides, self.sources, self.project, strict=True):
            size = [-(-side // stride) for side in image.shape[-2:]]
            level = project(maps[source])
            levels.append(level if list(level.shape[-2:]) == size else F.interpolate(level, size, mode="bilinear", align_corners=False))
        return levels

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Asked by smp after construction; the channels are set already."""

    def make_dilated(self, output_stride: int) -> None:
        """Asked by smp for strides of 8 or 16; the levels are resized to them already."""


def _source(strides: list[float], wanted: int, level: int) -> int:
    """Index of the map from which a level is made."""
    if len(set(strides)) == 1:
        return min(max(level - 1, 0), len(strides) - 1)
    return min(range(len(strides)), key=lambda index: (abs(torch.tensor(strides[index] / wanted).log2().item()), index))
