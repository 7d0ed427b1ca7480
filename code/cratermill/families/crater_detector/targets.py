"""What a heat map of circles should say about a piece, and how far from it an answer is."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ...networks.circle_net import STRIDE

RADII_PX = (2.2, 30.0)
"""Radii that a network learns to see, in the pixels of its input."""
NEARLY = 1.2
"""Craters beyond the limits by up to this factor are neither craters nor ground: at their centres nothing is asked."""
SPREAD, SPREAD_CELLS = 0.16, (0.55, 3.0)
"""Deviation of the heat around a centre, in radii, and its limits in cells."""
LEARNT_ABOVE, UNASKED_ABOVE = 0.3, 0.1
CENTRE = 0.99


def drawn(circles: np.ndarray, side: int, radii: tuple[float, float] = RADII_PX) -> dict[str, torch.Tensor]:
    """Targets of a piece with these circles (N, 3), small ones over large ones.

    ``heat`` (h, w) is 1 in the cells of the centres, ``asked`` (h, w) 0 where nothing is asked, ``size`` (3, h, w) holds the logarithm
    of the radius and the way to the centre along x and y, with weights ``weight`` (h, w); ``count`` craters were drawn.
    """
    cells = side // STRIDE
    heat, asked, weight = np.zeros((cells, cells), np.float32), np.ones((cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    size, count = np.zeros((3, cells, cells), np.float32), 0
    for x, y, radius in circles[np.argsort(-circles[:, 2], kind="stable")]:
        place = (np.array([x, y]) - (STRIDE - 1) / 2) / STRIDE
        col, row = np.rint(place).astype(int).clip(0, cells - 1)
        if not radii[0] / NEARLY <= radius <= radii[1] * NEARLY:
            continue
        spread = float(np.clip(SPREAD * radius / STRIDE, *SPREAD_CELLS))
        window, near = _gauss(row, col, spread, cells)
        if not radii[0] <= radius <= radii[1]:
            asked[window][near > UNASKED_ABOVE] = 0
            continue
        count += 1
        heat[window] = np.maximum(heat[window], near)
        closest = (near > LEARNT_ABOVE) & (near > weight[window])
        weight[window][closest] = near[closest]
        rows, cols = np.mgrid[window]
        for channel, values in enumerate((np.full(near.shape, np.log(radius)), (place[0] - cols) * STRIDE, (place[1] - rows) * STRIDE)):
            size[channel][window][closest] = values[closest]
    asked[heat > CENTRE] = 1
    arrays = {"heat": heat, "asked": asked, "size": size, "weight": weight}
    return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"count": torch.tensor(float(count))}


def _gauss(row: int, col: int, spread: float, cells: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """A bell around a cell: the window of the map that it meets, and its values there."""
    reach = int(np.ceil(3 * spread))
    window = (slice(max(0, row - reach), min(cells, row + reach + 1)), slice(max(0, col - reach), min(cells, col + reach + 1)))
    rows, cols = np.mgrid[window]
    return window, np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * spread**2)).astype(np.float32)


def loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Penalty-reduced focal loss of the heat ÷ number of craters, and twice the losses of size and of offset ÷ radius."""
    heat, weight = batch["heat"], batch["weight"]
    probability = outputs[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
    centre = (heat > CENTRE).float()
    right = -((1 - probability) ** 2) * probability.log() * centre
    wrong = -((1 - heat) ** 4) * probability**2 * (1 - probability).log() * (1 - centre)
    focal = ((right + wrong) * batch["asked"]).sum() / batch["count"].sum().clamp(min=1)
    log_radius, offset = batch["size"][:, 0], batch["size"][:, 1:]
    size = functional.smooth_l1_loss(outputs[:, 1], log_radius, beta=0.05, reduction="none")
    place = (outputs[:, 2:] - offset).abs().sum(1) / log_radius.exp()
    return focal + 2 * ((size + place) * weight).sum() / weight.sum().clamp(min=1)
