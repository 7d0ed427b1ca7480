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
CORE, CORE_CELLS = 0.16, (1.1, 3.0)
"""How far from a centre cells are asked for the crater itself, likewise: one cell of hundreds would teach little in a step."""
LEARNT_ABOVE, UNASKED_ABOVE = 0.3, 0.1
CENTRE = 0.99
DRAWN = ("heat", "asked", "size", "weight", "count", "list_end")
"""What :func:`loss` takes of a batch."""


def drawn(circles: np.ndarray, side: int, radii: tuple[float, float] = RADII_PX) -> dict[str, torch.Tensor]:
    """Targets of a piece with these circles (N, 3), small ones over large ones.

    ``heat`` (h, w) is 1 in the cells near a centre, ``asked`` (h, w) 0 where nothing is asked, ``size`` (3, h, w) holds the logarithm
    of the radius and the way to the centre along x and y, with weights ``weight`` (h, w); ``count`` cells are near a centre.
    """
    cells = side // STRIDE
    heat, asked, weight = np.zeros((cells, cells), np.float32), np.ones((cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    size, nearest = np.zeros((3, cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    for x, y, radius in circles[np.argsort(-circles[:, 2], kind="stable")]:
        if not radii[0] / NEARLY <= radius <= radii[1] * NEARLY:
            continue
        place = (np.array([x, y]) - (STRIDE - 1) / 2) / STRIDE
        spread, core = (np.clip(share * radius / STRIDE, *limits) for share, limits in ((SPREAD, SPREAD_CELLS), (CORE, CORE_CELLS)))
        window, rows, cols = _window(place, 3 * spread + core, cells)
        away = np.hypot(cols - place[0], rows - place[1])
        hot, near = (np.exp(-(np.maximum(0, away - begin) ** 2) / (2 * spread**2)) for begin in (core, 0.0))
        if not radii[0] <= radius <= radii[1]:
            asked[window][hot > UNASKED_ABOVE] = 0
            continue
        heat[window] = np.maximum(heat[window], hot)
        closest = (hot > LEARNT_ABOVE) & (hot + near > nearest[window])
        weight[window][closest], nearest[window][closest] = hot[closest], (hot + near)[closest]
        for channel, values in enumerate((np.full(near.shape, np.log(radius)), (place[0] - cols) * STRIDE, (place[1] - rows) * STRIDE)):
            size[channel][window][closest] = values[closest]
    asked[heat > CENTRE] = 1
    arrays = {"heat": heat, "asked": asked, "size": size, "weight": weight, "count": np.float32((heat > CENTRE).sum())}
    return {name: torch.as_tensor(array) for name, array in arrays.items()}


def _window(place: np.ndarray, reach: float, cells: int) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The cells within a reach of a place (x, y): the window of the map, and their rows and columns."""
    low, high = (np.floor(place - reach).astype(int).clip(0, cells), np.ceil(place + reach).astype(int).clip(-1, cells - 1) + 1)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    rows, cols = np.mgrid[window]
    return window, rows, cols


def loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """``batch``: what :func:`drawn` gives, and ``list_end`` (N,): the radius in pixels of each piece at which its list ends, or 0.

    Penalty-reduced focal loss of the heat ÷ number of cells near a centre, and twice the losses of size and of offset ÷ radius.
    """
    heat, weight = batch["heat"], batch["weight"]
    # A network that takes something for a crater too small for the list is neither right nor wrong.
    unlisted = (outputs[:, 1].detach() < batch["list_end"].log()[:, None, None]) & (heat < UNASKED_ABOVE)
    probability = outputs[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
    centre = (heat > CENTRE).float()
    right = -((1 - probability) ** 2) * probability.log() * centre
    wrong = -((1 - heat) ** 4) * probability**2 * (1 - probability).log() * (1 - centre)
    focal = ((right + wrong) * batch["asked"] * ~unlisted).sum() / batch["count"].sum().clamp(min=1)
    log_radius, offset = batch["size"][:, 0], batch["size"][:, 1:]
    size = functional.smooth_l1_loss(outputs[:, 1], log_radius, beta=0.05, reduction="none")
    place = (outputs[:, 2:] - offset).abs().sum(1) / log_radius.exp()
    return focal + 2 * ((size + place) * weight).sum() / weight.sum().clamp(min=1)
