"""Circles fitted to the edges that rays from their centres meet: robust least squares, many circles at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from .options import Options
    from .shapes import Shape

RAYS = 72
SAMPLES = 19
ROUGH = ((0.25, 2.5), (0.12, 2.0))
FINE = ((0.08, 2.0), (0.06, 1.6), (0.06, 1.6), (0.06, 1.6))
"""Of each round: how far from the expected edge it is searched, as a share of the radius, and in pixels at least. Rough rounds use every
other ray; after them, candidates that came to lie on one another are one."""
TOLERANCE = (0.05, 1.25)
"""An edge this near to where it should be (share of the radius, pixels at least) supports the circle."""
TOGETHER = 1024


@dataclass
class Fitted:
    """Circles (N, 3), the mean distance of their edges from where they should be, in pixels, and what each of their rays found: an edge
    (N, sides, rays), light on the rim, anything at all."""

    circle: torch.Tensor
    error: torch.Tensor
    edges: torch.Tensor
    light: torch.Tensor
    seen: torch.Tensor

    def passing(self, options: Options) -> tuple[np.ndarray, np.ndarray]:
        """Circles (N, 6) x, y, radius, confidence, arc, error that are good enough, and their edges (N, sides, rays)."""
        support = (self.seen & self.light & self.edges.any(1)).float().mean(1)
        against = (self.seen & ~self.light).float().mean(1)
        confidence = support / (support + against).clamp(min=1e-6)
        radius = self.circle[:, 2]
        # Radii are drawn and read to half a pixel.
        good = (radius >= options.min_radius_px - 0.5) & (radius <= options.max_radius_px + 0.5)
        good &= (confidence >= options.confidence) & (support >= options.arc)
        circles = torch.cat([self.circle, confidence[:, None], support[:, None], self.error[:, None]], 1)[good]
        return circles.cpu().numpy().astype(float), (self.edges & self.seen[:, None])[good].cpu().numpy()


def fit(image: torch.Tensor, known: torch.Tensor, candidates: torch.Tensor, shape: Shape, options: Options) -> Fitted:
    """Refine candidates (N, 3) on a smoothed map (h, w); ``known`` is False where there are no data."""
    rough, fine = (_Fit(image, known, shape, options, rays) for rays in (RAYS // 2, RAYS))
    settled = torch.cat([rough.settle(part, ROUGH, options.arc / 2) for part in candidates.split(TOGETHER)])
    parts = []
    for part in _unlike(settled).split(TOGETHER):
        circle = fine.settle(part, FINE, options.arc / 2)
        parts.append((circle, *fine.judge(circle)))
    return Fitted(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _unlike(circles: torch.Tensor) -> torch.Tensor:
    """Circles without those that fall on another to a pixel or two."""
    size = (circles[:, 2:] / 16).clamp(min=1.0)
    keys = torch.cat([(circles[:, :2] / size).round(), (circles[:, 2:] / size).round(), size.log2().round()], 1)
    _, group = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(circles), device=circles.device)
    first = first.scatter_reduce(0, group, torch.arange(len(circles), device=circles.device), "amin")
    return circles[first.sort().values]


class _Fit:
    def __init__(self, image: torch.Tensor, known: torch.Tensor, shape: Shape, options: Options, rays: int):
        self.image, self.shape, self.options = image, shape, options
        self.unknown = None if bool(known.all()) else ~known
        angles = torch.arange(rays, device=image.device) * (2 * np.pi / rays)
        self.cos, self.sin = torch.cos(angles), torch.sin(angles)

    def settle(self, circle: torch.Tensor, rounds: tuple[tuple[float, float], ...], arc: float) -> torch.Tensor:
        """Circles moved onto their edges; those that meet edges on less than a share ``arc`` of their rays are dropped."""
        for share, least in rounds:
            reach = (share * circle[:, 2]).clamp(min=least)
            rows = [self._edges(circle, reach, *side) for side in self._sides()]
            enough = torch.stack([found for _, found, _ in rows]).any(0).float().mean(1) >= arc
            rows = [(residual[enough], found[enough], factor) for residual, found, factor in rows]
            circle = circle[enough] + self._step(rows, circle[enough])
            circle = circle[torch.isfinite(circle).all(1) & (circle[:, 2] > 0.5 * self.options.min_radius_px)]
        return circle

    def judge(self, circle: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Error (N,), edges (N, sides, rays), light and seen (N, rays) of :class:`Fitted`."""
        reach = (TOLERANCE[0] * circle[:, 2]).clamp(min=TOLERANCE[1])
        rays = [self._edges(circle, reach, *side) for side in self._sides()]
        residual, edges = torch.stack([ray[0] for ray in rays], 1), torch.stack([ray[1] for ray in rays], 1)
        error = residual.abs().sum((1, 2)) / edges.sum((1, 2)).clamp(min=1)
        return error, edges, self._rim(circle) >= self.options.level, self._seen(circle)

    def _sides(self) -> list[tuple[float, float, int]]:
        """(factor, shift, sign) of each edge at factor·r + shift; sign 1 where the light side is inwards."""
        sides = [(1.0, self.shape.outer_px, 1)]
        return [*sides, (*self.shape.inner, -1)] if self.shape.has_inner else sides

    def _edges(self, circle: torch.Tensor, reach: torch.Tensor, factor: float, shift: float, sign: int):
        """(residual, found, factor): how far (N, rays) beyond its place the nearest edge of the right direction is met."""
        place = (factor * circle[:, 2] + shift).clamp(min=0.5)
        steps = torch.linspace(-1, 1, SAMPLES, device=circle.device)
        offset = reach[:, None] * steps
        distance = (place[:, None] + offset).clamp(min=0)
        values = sign * (self._values(circle, distance) - self.options.level)
        before, after = values[..., :-1], values[..., 1:]
        crossing = (before >= 0) & (after < 0)
        at = offset[:, None, :-1] + before / (before - after).clamp(min=1e-6) * (offset[:, 1:2] - offset[:, :1])[:, None]
        at = torch.where(crossing, at, torch.inf)
        index = at.abs().argmin(-1, keepdim=True)
        residual = at.gather(-1, index)[..., 0]
        found = torch.isfinite(residual)
        return torch.where(found, residual, 0.0), found, factor

    def _step(self, rows: list, circle: torch.Tensor) -> torch.Tensor:
        """The change (N, 3) of x, y and radius that brings the circle onto its edges: iterated, with Tukey's weights."""
        residual = torch.cat([row[0] for row in rows], 1)
        found = torch.cat([row[1] for row in rows], 1).float()
        cos, sin = self.cos.repeat(len(rows)), self.sin.repeat(len(rows))
        factor = torch.cat([torch.full_like(self.cos, row[2]) for row in rows])
        design = torch.stack([cos, sin, factor], 1)
        weight, change = found, torch.zeros_like(circle)
        for _ in range(4):
            left = residual - change @ design.T
            spread = (1.4826 * _median(left.abs(), found)).clamp(min=0.3)
            weight = found * (1 - (left / (4 * spread[:, None])) ** 2).clamp(min=0) ** 2
            normal = torch.einsum("nk,ki,kj->nij", weight, design, design) + 1e-3 * torch.eye(3, device=circle.device)
            change = torch.linalg.solve(normal, torch.einsum("nk,nk,ki->ni", weight, residual, design))
        return change

    def _rim(self, circle: torch.Tensor) -> torch.Tensor:
        """The map (N, rays) in the middle of the drawn rim; of a disc just inside its edge."""
        inner, shift = self.shape.inner
        middle = circle[:, 2] if self.shape.kind == "ring" else circle[:, 2] - 1.5
        if self.shape.kind == "outline":
            middle = ((inner + 1) * circle[:, 2] + shift + self.shape.outer_px) / 2
        return self._values(circle, middle[:, None].clamp(min=0))[..., 0]

    def _values(self, circle: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """The map (N, rays, distances), bilinear."""
        x, y = self._places(circle, distance)
        height, width = self.image.shape
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1).flatten(1, 2)
        return functional.grid_sample(self.image[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0].view_as(x)

    def _places(self, circle: torch.Tensor, distance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = circle[:, 0, None, None] + self.cos[None, :, None] * distance[:, None]
        y = circle[:, 1, None, None] + self.sin[None, :, None] * distance[:, None]
        return x, y

    def _seen(self, circle: torch.Tensor) -> torch.Tensor:
        x, y = (values[..., 0] for values in self._places(circle, circle[:, 2:] + self.shape.outer_px))
        height, width = self.image.shape
        seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        if self.unknown is not None:
            rows, cols = y.round().long().clamp(0, height - 1), x.round().long().clamp(0, width - 1)
            seen &= ~self.unknown[rows, cols]
        return seen


def _median(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Median (N,) of the valid values of each row; 0 where there are none."""
    filled = torch.where(valid > 0, values, torch.inf).sort(1).values
    middle = ((valid.sum(1) - 1) / 2).clamp(min=0).long()[:, None]
    found = filled.gather(1, middle)[:, 0]
    return torch.where(torch.isfinite(found), found, 0.0)
