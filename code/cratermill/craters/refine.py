"""Circles fitted to the edges that rays from their centres meet: robust least squares, many circles at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from .options import Options
    from .shapes import Shape

RAYS = 72
MOST_SAMPLES, LEAST_SAMPLES, SAMPLE_PX = 19, 7, 0.5
"""Samples of the map on each ray, about ``SAMPLE_PX`` apart: between them the map is taken as linear, and it is smooth over a pixel."""
ROUGH = ((0.25, 2.5), (0.12, 2.0))
FINE = ((0.08, 2.0), (0.06, 1.6), (0.06, 1.6), (0.06, 1.6))
"""Of each round: how far from the expected edge it is searched, as a share of the radius, and in pixels at least. Rough rounds use every
other ray; after each, candidates that came to lie on one another are one."""
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
    circles = candidates
    for rays, search in [*((rough, one) for one in ROUGH), *((fine, one) for one in FINE)]:
        settled = [rays.settle(part, search, options.arc / 2) for part in circles.split(TOGETHER)]
        circles = _unlike(*(torch.cat(values) for values in zip(*settled, strict=True)))
    parts = [(part, *fine.judge(part)) for part in circles.split(TOGETHER)]
    return Fitted(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _unlike(circles: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
    """Circles (N, 3) without those that fall on another to a pixel or two; of each such group the one that met most edges (N,)."""
    circles = circles[met.argsort(descending=True, stable=True)]
    size = (circles[:, 2:] / 16).clamp(min=1.0)
    keys = torch.cat([(circles[:, :2] / size).round(), (circles[:, 2:] / size).round(), size.log2().round()], 1)
    _, group = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(circles), device=circles.device)
    first = first.scatter_reduce(0, group, torch.arange(len(circles), device=circles.device), "amin")
    circles = circles[first]
    return circles[circles[:, 2].argsort()]  # rays of circles of one size are sampled alike


class _Fit:
    def __init__(self, image: torch.Tensor, known: torch.Tensor, shape: Shape, options: Options, rays: int):
        self.image, self.shape, self.options = image, shape, options
        self.unknown = None if bool(known.all()) else ~known
        angles = torch.arange(rays, device=image.device) * (2 * np.pi / rays)
        self.directions = torch.stack([torch.cos(angles), torch.sin(angles)], 1)

    def settle(self, circle: torch.Tensor, search: tuple[float, float], arc: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Circles moved onto their edges, and the share of these that they met; such that meet edges on less than a share ``arc`` of their
        rays are dropped."""
        reach = (search[0] * circle[:, 2]).clamp(min=search[1])
        rows = [self._edges(circle, reach, *side) for side in self._sides()]
        edges = torch.stack([found for _, found, _ in rows])
        enough = edges.any(0).float().mean(1) >= arc
        rows = [(residual[enough], found[enough], factor) for residual, found, factor in rows]
        circle = circle[enough] + self._step(rows, circle[enough])
        sound = torch.isfinite(circle).all(1) & (circle[:, 2] > 0.5 * self.options.min_radius_px)
        return circle[sound], edges.float().mean((0, 2))[enough][sound]

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
        widest = 2 * float(reach.max()) if len(reach) else 0.0
        samples = min(max(math.ceil(widest / SAMPLE_PX) + 1, LEAST_SAMPLES), MOST_SAMPLES)
        steps = torch.linspace(-1, 1, samples, device=circle.device)
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
        design = torch.cat([torch.cat([self.directions, torch.full_like(self.directions[:, :1], row[2])], 1) for row in rows])
        squares = (design[:, :, None] * design[:, None]).flatten(1)
        weight, change = found, torch.zeros_like(circle)
        for _ in range(4):
            left = residual - change @ design.T
            spread = (1.4826 * _median(left.abs(), found)).clamp(min=0.3)
            weight = found * (1 - (left / (4 * spread[:, None])) ** 2).clamp(min=0) ** 2
            normal = (weight @ squares).view(-1, 3, 3) + 1e-3 * torch.eye(3, device=circle.device)
            change = torch.linalg.solve(normal, (weight * residual) @ design)
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
        size = torch.tensor(self.image.shape[::-1], dtype=circle.dtype, device=circle.device)
        middle, directions = (2 * circle[:, None, None, :2] + 1) / size - 1, 2 * self.directions / size
        grid = torch.addcmul(middle, distance[:, None, :, None], directions[None, :, None])
        values = functional.grid_sample(self.image[None, None], grid.flatten(1, 2)[None], padding_mode="border", align_corners=False)
        return values.view(grid.shape[:-1])

    def _seen(self, circle: torch.Tensor) -> torch.Tensor:
        x, y = (circle[:, None, :2] + (circle[:, 2] + self.shape.outer_px)[:, None, None] * self.directions).unbind(-1)
        height, width = self.image.shape
        seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        if self.unknown is not None:
            rows, cols = y.round().long().clamp(0, height - 1), x.round().long().clamp(0, width - 1)
            seen &= ~self.unknown[rows, cols]
        return seen


def _median(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Median (N,) of the valid values of each row, of two in the middle the lower; 0 where there are none."""
    return torch.where(valid > 0, values, torch.nan).nanmedian(1).values.nan_to_num(0.0)
