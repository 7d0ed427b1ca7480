"""Circles fitted to the edges that rays from their centres meet: robust least squares, many circles at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from .planes import medians, places, sampled

if TYPE_CHECKING:
    from .options import Options
    from .shapes import Shape

MOST_SAMPLES, LEAST_SAMPLES = 19, 7
ROUNDS = ((24, 0.25, 2.5, 1.0), (24, 0.1, 2.0, 1.0), (24, 0.06, 1.6, 0.5), (36, 0.06, 1.6, 0.5), (72, 0.06, 1.6, 0.5))
"""Of each round: rays; how far from the expected edge it is searched, as a share of the radius, and in pixels at least; and pixels between
samples of the map on a ray, about: between them it is taken as linear, and it is smooth over a pixel. After each, candidates that came to
lie on one another are one, so that few are left where there are many rays."""
TURNS = 4
"""How often a round weighs the edges that it met by how far they lie off the circle that they make."""
TOLERANCE = (0.05, 1.25)
"""An edge this near to where it should be (share of the radius, pixels at least) supports the circle."""
HALF_PX = 0.5
"""Radii are drawn and read to half a pixel."""
TOGETHER = 512
"""Circles of about one size whose rays are sampled alike, and fit into a core's cache."""


@dataclass
class Sheet:
    """Smoothed maps side by side in one ``image`` (H, W), so that circles of many small maps are fitted together. ``unknown`` (H, W): where
    there are no data; None where there are everywhere. ``first`` and ``last`` (maps, 2): column and row on the sheet at which each begins,
    and its last column and row counted from there."""

    image: torch.Tensor
    unknown: torch.Tensor | None
    first: torch.Tensor
    last: torch.Tensor

    @classmethod
    def of(cls, images: Sequence[torch.Tensor], known: Sequence[torch.Tensor]) -> Sheet:
        """Of maps (h, w), and where they have data."""
        device, whole = images[0].device, all(bool(one.all()) for one in known)
        last = torch.tensor([[one.shape[1] - 1, one.shape[0] - 1] for one in images], device=device).float()
        if len(images) == 1:
            return cls(images[0], None if whole else ~known[0], torch.zeros_like(last), last)
        across = math.ceil(math.sqrt(len(images)))
        width, height = (last.amax(0).long() + 1).tolist()
        first = torch.tensor([[number % across * width, number // across * height] for number in range(len(images))], device=device)
        image = torch.zeros((math.ceil(len(images) / across) * height, across * width), device=device)
        unknown = None if whole else torch.zeros(image.shape, dtype=torch.bool, device=device)
        for (left, top), one, seen in zip(first.tolist(), images, known, strict=True):
            place = np.s_[top : top + one.shape[0], left : left + one.shape[1]]
            image[place] = one
            if unknown is not None:
                unknown[place] = ~seen
        return cls(image, unknown, first.float(), last)


@dataclass
class Fitted:
    """Circles (N, 4: x, y, radius, number of their map), the mean distance of their edges from where they should be, in pixels, and what
    each of their rays found: an edge (N, sides, rays), light on the rim, anything at all."""

    circle: torch.Tensor
    error: torch.Tensor
    edges: torch.Tensor
    light: torch.Tensor
    seen: torch.Tensor

    def passing(self, options: Options, maps: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each map circles (N, 6) x, y, radius, confidence, arc, error that are good enough, and their edges (N, sides, rays)."""
        support = (self.seen & self.light & self.edges.any(1)).float().mean(1)
        against = (self.seen & ~self.light).float().mean(1)
        confidence = support / (support + against).clamp(min=1e-6)
        radius = self.circle[:, 2]
        good = (radius >= options.min_radius_px - HALF_PX) & (radius <= options.max_radius_px + HALF_PX)
        good &= (confidence >= options.confidence) & (support >= options.arc)
        circles = torch.cat([self.circle[:, :3], confidence[:, None], support[:, None], self.error[:, None]], 1)[good]
        table, edges = circles.cpu().numpy().astype(float), (self.edges & self.seen[:, None])[good].cpu().numpy()
        own = self.circle[good, 3].cpu().numpy()
        return [(table[own == number], edges[own == number]) for number in range(maps)]


def fit(sheet: Sheet, candidates: torch.Tensor, shape: Shape, options: Options) -> Fitted:
    """Refine candidates (N, 4: x, y, radius, number of their map), all of them together."""
    fits = {rays: _Fit(sheet, shape, options, rays) for rays in {rays for rays, *_ in ROUNDS}}
    circles = candidates[candidates[:, 2].argsort(stable=True)]
    for rays, *search in ROUNDS:
        settled = [fits[rays].settle(part, search, options.arc / 2) for part in circles.split(TOGETHER)]
        circles = _unlike(*(torch.cat(values) for values in zip(*settled, strict=True)))
    parts = [(part, *fits[ROUNDS[-1][0]].judge(part)) for part in circles.split(TOGETHER)]
    return Fitted(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _unlike(circles: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
    """Circles (N, 4) without those that fall on another of their map to a pixel or two; of each such group the one that met most edges
    (N,)."""
    circles = circles[met.argsort(descending=True, stable=True)]
    size = (circles[:, 2:3] / 16).clamp(min=1.0)
    keys = torch.cat([(circles[:, :3] / size).round(), size.log2().round(), circles[:, 3:]], 1)
    _, group = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(circles), device=circles.device)
    first = first.scatter_reduce(0, group, torch.arange(len(circles), device=circles.device), "amin")
    circles = circles[first]
    return circles[circles[:, 2].argsort()]  # rays of circles of one size are sampled alike


class _Fit:
    def __init__(self, sheet: Sheet, shape: Shape, options: Options, rays: int):
        self.sheet, self.shape, self.options = sheet, shape, options
        angles = torch.arange(rays, device=sheet.image.device) * (2 * np.pi / rays)
        self.directions = torch.stack([torch.cos(angles), torch.sin(angles)], 1)
        # Edges lie at factor · r + shift, the light side inwards (1) or outwards.
        sides = [(1.0, shape.outer_px, 1.0), (*shape.inner, -1.0)][: 1 + shape.has_inner]
        self.factors, self.shifts, self.signs = torch.tensor(sides, device=sheet.image.device).T
        self.design = torch.cat([functional.pad(self.directions, (0, 1), value=factor) for factor, *_ in sides])
        self.squares = (self.design[:, :, None] * self.design[:, None]).flatten(1)
        self.little = 1e-3 * torch.eye(3, device=sheet.image.device)

    def settle(self, circle: torch.Tensor, search: Sequence[float], arc: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Circles moved onto their edges, and the share of these that they met; such that meet edges on less than a share ``arc`` of their
        rays are dropped."""
        share, least_px, sample_px = search
        residual, found = self._edges(circle, (share * circle[:, 2]).clamp(min=least_px), sample_px)
        enough = found.any(1).float().mean(1) >= arc
        circle, residual, found = circle[enough], residual[enough], found[enough]
        circle = circle + functional.pad(self._step(residual.flatten(1), found.flatten(1)), (0, 1))
        sound = torch.isfinite(circle).all(1) & (circle[:, 2] > 0.5 * self.options.min_radius_px)
        return circle[sound], found.float().mean((1, 2))[sound]

    def judge(self, circle: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Error (N,), edges (N, sides, rays), light and seen (N, rays) of :class:`Fitted`."""
        residual, found = self._edges(circle, (TOLERANCE[0] * circle[:, 2]).clamp(min=TOLERANCE[1]), ROUNDS[-1][-1])
        error = residual.abs().sum((1, 2)) / found.sum((1, 2)).clamp(min=1)
        return error, found, self._rim(circle) >= self.options.level, self._seen(circle)

    def _edges(self, circle: torch.Tensor, reach: torch.Tensor, sample_px: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(residual, found): how far (N, sides, rays) beyond its place the nearest edge of the right direction is met."""
        rays, widest = len(self.directions), 2 * float(reach.max()) if len(reach) else 0.0
        samples = min(max(math.ceil(widest / sample_px) + 1, LEAST_SAMPLES), MOST_SAMPLES)
        steps = self.signs[:, None] * torch.linspace(-1, 1, samples, device=circle.device)
        place = (circle[:, 2:3] * self.factors + self.shifts).clamp(min=0.5)
        values = self._values(circle, (place[:, :, None] + reach[:, None, None] * steps).clamp_(min=0)).flatten()
        light = values >= self.options.level
        # From light to dark. Few pairs of neighbours are edges, and only those are looked at; such from one ray to the next are none.
        first = places(light[:-1] & ~light[1:])
        ray, at = first // samples, first % samples
        within = at != samples - 1
        first, ray, at = first[within], ray[within], at[within]
        before, after = values[first] - self.options.level, values[first + 1] - self.options.level
        side, one = ray // rays % len(self.signs), ray // (rays * len(self.signs))
        met = (2 / (samples - 1) * (at + before / (before - after).clamp_(min=1e-6)) - 1) * reach[one] * self.signs[side]
        nearest = torch.full((len(circle) * len(self.signs) * rays,), torch.inf, device=circle.device)
        nearest.scatter_reduce_(0, ray, met.abs(), "amin")
        residual, chosen = torch.zeros_like(nearest), met.abs() == nearest[ray]
        residual[ray[chosen]] = met[chosen]
        shape = len(circle), len(self.signs), rays
        return residual.view(shape), torch.isfinite(nearest).view(shape)

    def _step(self, residual: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """The change (N, 3) of x, y and radius that brings circles onto their edges (N, sides · rays): iterated, with Tukey's weights."""
        change = torch.zeros_like(residual[:, :3])
        for _ in range(TURNS):
            left = (residual - change @ self.design.T).abs_()
            spread = (1.4826 * medians(left, found)).clamp_(min=0.3)
            weight = found * (1 - (left / (4 * spread[:, None])) ** 2).clamp_(min=0) ** 2
            normal = (weight @ self.squares).view(-1, 3, 3) + self.little
            change = torch.linalg.solve(normal, (weight * residual) @ self.design)
        return change

    def _rim(self, circle: torch.Tensor) -> torch.Tensor:
        """The map (N, rays) in the middle of the drawn rim; of a disc just inside its edge."""
        inner, shift = self.shape.inner
        middle = circle[:, 2] if self.shape.kind == "ring" else circle[:, 2] - 1.5
        if self.shape.kind == "outline":
            middle = ((inner + 1) * circle[:, 2] + shift + self.shape.outer_px) / 2
        return self._values(circle, middle[:, None, None].clamp(min=0))[:, 0, :, 0]

    def _values(self, circle: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """The circles' maps, their borders repeated, along all rays at distances (N, sides, M): (N, sides, rays, M)."""
        own = circle[:, 3].long()
        x, y = (
            torch.minimum(
                (middle[:, None, None, None] + distance[:, :, None] * along[:, None]).clamp_(min=0), last[own, None, None, None]
            ).add_(first[own, None, None, None])
            for middle, along, first, last in zip(circle[:, :2].T, self.directions.T, self.sheet.first.T, self.sheet.last.T, strict=True)
        )
        return sampled(self.sheet.image, x.flatten(1), y.flatten(1)).view(x.shape)

    def _seen(self, circle: torch.Tensor) -> torch.Tensor:
        own = circle[:, 3].long()
        at, last = circle[:, None, :2] + (circle[:, 2] + self.shape.outer_px)[:, None, None] * self.directions, self.sheet.last[own, None]
        seen = ((at >= 0) & (at <= last)).all(-1)
        if self.sheet.unknown is not None:
            cols, rows = (torch.minimum(at.round().clamp(min=0), last) + self.sheet.first[own, None]).long().unbind(-1)
            seen &= ~self.sheet.unknown[rows, cols]
        return seen
