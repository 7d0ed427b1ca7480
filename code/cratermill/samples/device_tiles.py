"""Tiles sampled where networks compute: a mosaic's pixels go there once, as they are, and each tile says where it lies on them.

It is what geo/sampling.py gives, to rounding: positions are the same polynomials, evaluated in double precision on the device; pixels are
interpolated in single precision, and averaged over as many subpixels. What can't be sampled so (see :func:`on_device`) the sampler does.
PyTorch's ``grid_sample`` is not used: it takes floats only, four bytes for a pixel's one, and counts positions in shares of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..geo.grid import Grid
from ..geo.pixel_maps import node_weights
from ..geo.placing import Piece, blocks_of, placed
from ..geo.sampling import Way, sample_many_masked, way_of
from .sending import sent

if TYPE_CHECKING:
    from ..geo.mosaic import Mosaic

KINDS = ("uint8", "uint16", "int16", "float32")
"""Of pixels that single precision holds."""
POINTS = 2**22
"""Points sampled at a time: bounds the memory, some 60 bytes for each and 20 more per band; changes no result."""

Tiles = tuple[torch.Tensor, torch.Tensor | None]


def on_device(mosaic: Mosaic, grids: Sequence[Grid], device: torch.device) -> Tiles:
    """Tiles of one shape on a device, (N, C, h, w) float32 with what a mosaic of whole numbers has in whole numbers, and a mask of the same
    shape of where the mosaic has nothing; None if it has data everywhere.

    The sampler makes what has no :class:`Piece`, is of another type than ``KINDS``, or is shrunk so far that the mosaic's pixels are
    averaged before they are sampled.
    """
    tiles = torch.empty((len(grids), mosaic.count, *grids[0].shape), device=device)
    left, gone = set(range(len(grids))), dict[int, torch.Tensor]()
    for way, numbers in _ways(mosaic, grids).items():
        pieces, _ = placed(mosaic, [grids[number] for number in numbers], way.factor)
        if pieces:
            here = [numbers[number] for piece in pieces for number in piece.tiles]
            tiles[here], missing = _Ground(mosaic, pieces, device).sampled(grids[0].shape, way.factor)
            gone |= {} if missing is None else dict(zip(here, missing, strict=True))
            left -= set(here)
    if left:
        rest = sorted(left)
        values, lacking = sample_many_masked(mosaic, [grids[number] for number in rest])
        tiles[rest] = torch.from_numpy(values.astype(np.float32)).to(device)
        gone |= {} if lacking is None else dict(zip(rest, torch.from_numpy(lacking).to(device), strict=True))
    if not gone:
        return tiles, None
    mask = torch.zeros(tiles.shape, dtype=torch.bool, device=device)
    for number, missing in gone.items():
        mask[number] = missing
    return tiles, mask


def _ways(mosaic: Mosaic, grids: Sequence[Grid]) -> dict[Way, list[int]]:
    """The ways of sampling that a device knows, and the tiles to be sampled so."""
    found: dict[Way, list[int]] = {}
    for number, grid in enumerate(grids if mosaic.dtype.name in KINDS else []):
        way = way_of(mosaic, grid, "auto", "mask")
        if way.thin == 1:
            found.setdefault(way, []).append(number)
    return found


class _Ground:
    """The pixels of some pieces on a device, those of each band in one line, and how the pieces' tiles lie on them."""

    def __init__(self, mosaic: Mosaic, pieces: Sequence[Piece], device: torch.device):
        self.device, self.fill, self.whole = device, mosaic.fill, mosaic.dtype.kind != "f"
        pixels = np.concatenate([one.pixels.reshape(mosaic.count, -1) for one in pieces], axis=1)
        missing = _missing(pieces)
        if missing is not None:
            # Zero first: a NaN times a weight of zero would still be NaN.
            np.copyto(pixels, 0, where=missing)
        self.there = None if missing is None else sent((~missing).view(np.uint8), device)
        # PyTorch picks no uint16; as int16 they are negative from 32 768 on, see `_picked`.
        self.unsigned = mosaic.dtype == np.uint16
        self.pixels = sent(pixels.view(np.int16) if self.unsigned else pixels, device)
        self.nodes = sent(np.concatenate([one.nodes for one in pieces]), device)
        starts = np.cumsum([0, *(one.pixels[0].size for one in pieces[:-1])])
        counts = [len(one.tiles) for one in pieces]
        self.start = sent(np.repeat(starts, counts)[:, None, None], device)
        self.width = sent(np.repeat([one.pixels.shape[2] for one in pieces], counts)[:, None, None], device)

    def sampled(self, shape: tuple[int, int], factor: int) -> Tiles:
        """The pieces' tiles one after another, and where they are missing (n, 1 or C, h, w); None: nowhere."""
        count = len(self.nodes)
        values = torch.empty((count, len(self.pixels), *shape), device=self.device)
        gone = None if self.there is None else torch.empty((count, len(self.there), *shape), dtype=torch.bool, device=self.device)
        for number, block in enumerate(blocks_of(shape, factor)):
            weights = [sent(node_weights(length * factor), self.device) for length in (block.height, block.width)]
            together = max(1, POINTS // (block.height * block.width * factor**2))
            for part in (slice(first, first + together) for first in range(0, count, together)):
                mean, lacking = self._block(part, number, weights, factor)
                values[part, :, *block.slices] = mean
                if gone is not None and lacking is not None:
                    gone[part, :, *block.slices] = lacking
        return values, gone

    def _block(self, part: slice, number: int, weights: list[torch.Tensor], factor: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One block of some tiles (n, C, h, w), and where it is missing."""
        rows, cols = (weights[0] @ self.nodes[part, number, axis] @ weights[1].T for axis in (0, 1))
        top, left = rows.floor(), cols.floor()
        # In double precision still: window by window a line of pixels is longer than single precision can count.
        at = (top * self.width[part] + left).long() + self.start[part]
        places = at, self.width[part], (rows - top).float(), (cols - left).float()
        total = _averaged(self._picked(self.pixels, *places), factor)
        if self.there is None:
            return total.round() if self.whole else total, None
        weight = _averaged(self._picked(self.there, *places), factor)
        mean, gone = total / weight, weight < 0.5 - 1e-6
        return torch.where(gone, float(self.fill), mean.round() if self.whole else mean), gone

    def _picked(self, line: torch.Tensor, at: torch.Tensor, width: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Lines of pixels (B, P), interpolated between four neighbours: (n, B, h, w) float32."""

        def along(at: torch.Tensor) -> torch.Tensor:
            return torch.lerp(self._numbers(line[:, at]), self._numbers(line[:, at + 1]), right)

        return torch.lerp(along(at), along(at + width), down).transpose(0, 1)

    def _numbers(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.int() & 0xFFFF).float() if self.unsigned and pixels.dtype == torch.int16 else pixels.float()


def _missing(pieces: Sequence[Piece]) -> np.ndarray | None:
    """Which of all pieces' pixels are missing, (1 or C, P); None if none is."""
    bands = max((len(one.missing) for one in pieces if one.missing is not None), default=0)
    if not bands:
        return None
    lines = [
        np.zeros((bands, one.pixels[0].size), bool)
        if one.missing is None
        else np.broadcast_to(one.missing.reshape(len(one.missing), -1), (bands, one.pixels[0].size))
        for one in pieces
    ]
    return np.concatenate(lines, axis=1)


def _averaged(values: torch.Tensor, factor: int) -> torch.Tensor:
    return values if factor == 1 else torch.nn.functional.avg_pool2d(values, factor)
