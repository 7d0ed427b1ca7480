"""From a mask or probability map to circles: edges vote for centres in scale space, circles are fitted to their edges, votes are checked.

One design for discs, outlines and rings, on CPU and GPU (torch). The iso-contour of the map gives edge points with normals; every point
votes, for each of a row of radii, for the centre that lies along its normal (an outer edge has its light side inwards, an inner edge
outwards). Peaks of the votes are refined by robust least squares on edges found along rays, to a fraction of a pixel: the strongest first,
the others from the points that clear rims leave unexplained. What share of the rim the map supports is the confidence. Cost follows the
number of edge points, not pixels times radii.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree
from torch.nn import functional

from ..core.errors import InputError
from .options import Options
from .planes import places, smoothed
from .refine import HALF_PX, Sheet, fit
from .shapes import Shape
from .suppression import distinct, explained

COLUMNS = ("x", "y", "radius_px", "confidence", "arc")
SMOOTHING_PX = 1.0
RADIUS_STEP = 1.1
BIN_SHARE = 1 / 8
"""Side of a bin of the votes, as a share of the radius: directions are known to a few degrees."""
WITHIN = 0.25
"""How far values of pixels whose next contour is theirs are from its level at most: half a step along a diagonal of the steepest edge that
``SMOOTHING_PX`` leaves of a step from 0 to 1."""
BLUR_BINS = 0.9
NEAR, NEAR_STEPS = 0.25, 2
"""Candidates within this share of the smaller radius, and so many steps of radii, of one with more votes are not fitted."""
STRONG = 0.3
"""Votes from which on candidates are fitted before all others."""
CERTAIN, OWN_PX, ALONG = 0.85, 2.0, 0.8
"""A rim seen on this share explains the points of the contour that lie so near to its edges, normal to them (cosine)."""
BLOCK_PX = 1920
OUTSIDE_PX = 0.5
Core = tuple[int, int, int, int]
"""A block of a map: its first row and column, and those after its last."""


def extract(probability: np.ndarray, shape: Shape, options: Options | None = None, device: str = "cpu") -> np.ndarray:
    """Circles (N, 5) of a map (h, w) of probabilities in 0…1 or of a mask: x, y, radius in pixels, confidence and arc in 0…1.

    Worked through in blocks, so that memory doesn't grow with the map. NaN is no data: neither for nor against a crater.
    Raises ``InputError`` for maps of other shapes or values.
    """
    return extract_each([probability], shape, options, device)[0]


def extract_each(maps: Sequence[np.ndarray], shape: Shape, options: Options | None = None, device: str = "cpu") -> list[np.ndarray]:
    """The same of several maps; circles of small ones are fitted together, in less time."""
    options = options or Options()
    found, edges = [np.zeros((0, len(COLUMNS) + 1)) for _ in maps], [np.zeros((0, 3)) for _ in maps]
    for one, low, high in shape.parts():
        # Of all sizes, so that no edge of a crater of another kind is taken for a part of one of these.
        for number, circles in enumerate(_of_one_kind(maps, one, options, device, edges)):
            circles = circles[(circles[:, 2] >= low - HALF_PX) & (circles[:, 2] <= high + HALF_PX)]
            found[number] = np.concatenate([found[number], circles])
            edges[number] = np.concatenate([circles[:, :3] * [1, 1, factor] + [0, 0, shift] for factor, shift in one.sides])
    return [distinct(circles)[:, : len(COLUMNS)] for circles in found]


def _of_one_kind(maps: Sequence[np.ndarray], shape: Shape, options: Options, device: str, taken: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Circles (N, 6) of each map whose craters are drawn alike, some of them twice. ``taken``: of each map the edges (M, 3: x, y, radius)
    of craters of other kinds, which are part of none of these."""
    blocks = []
    for number, probability in enumerate(maps):
        _check(probability, options)
        height, width = probability.shape
        for top in range(0, height, BLOCK_PX):
            for left in range(0, width, BLOCK_PX):
                blocks.append((number, (top, left, min(top + BLOCK_PX, height), min(left + BLOCK_PX, width))))
    found: list[list[np.ndarray]] = [[] for _ in maps]
    for together in _batches(blocks):
        circles = _of_blocks([(maps[number], core, taken[number]) for number, core in together], shape, options, device)
        for (number, _), one in zip(together, circles, strict=True):
            found[number].append(one)
    return [np.concatenate(one) for one in found]


def _batches(blocks: list[tuple[int, Core]]) -> Iterator[list[tuple[int, Core]]]:
    """Blocks that have no more pixels together than the largest."""
    batch, room = list[tuple[int, Core]](), 0
    for number, core in blocks:
        top, left, bottom, right = core
        size = (bottom - top) * (right - left)
        if batch and size > room:
            yield batch
            batch = []
        room = (room if batch else BLOCK_PX**2) - size
        batch.append((number, core))
    if batch:
        yield batch


def _check(probability: np.ndarray, options: Options) -> None:
    if probability.ndim != 2:
        raise InputError(f"a map of shape {probability.shape}", valid="one band: (rows, columns)")
    if not np.isfinite(probability).any():
        raise InputError(
            "the map holds no number but NaN", valid="probabilities from 0 to 1", next_step="check the data that it is made from"
        )
    low, high = np.nanmin(probability), np.nanmax(probability)
    if low < 0 or high > 1:
        given = f"the map's values run from {low:g} to {high:g}"
        raise InputError(given, valid="probabilities from 0 to 1, or a mask of False and True")
    if low > options.level:
        given = f"the map is above {options.level:g} everywhere (from {low:g} on), so it shows no rim"
        raise InputError(given, valid="dark ground between craters", next_step="check the mask, or raise the level")
    if options.min_radius_px > max(probability.shape):
        given = f"radii from {options.min_radius_px:g} px on in a map of {probability.shape[0]} × {probability.shape[1]} pixels"
        raise InputError(given, valid="craters that are smaller than the map", next_step="lower the smallest radius, or take larger tiles")


@dataclass
class _Piece:
    """What is seen of a block and its margin: the map from ``place`` (column, row) on, smoothed, where it has data, its contour, and edges
    (M, 3) of other craters."""

    core: Core
    place: tuple[int, int]
    image: torch.Tensor
    known: torch.Tensor
    points: torch.Tensor
    normals: torch.Tensor
    taken: np.ndarray


@torch.inference_mode()
def _of_blocks(blocks: list[tuple[np.ndarray, Core, np.ndarray]], shape: Shape, options: Options, device: str) -> list[np.ndarray]:
    """The circles (N, 6) whose centres lie in each block of its map."""
    pieces = [_piece(*block, options, device) for block in blocks]
    circles = iter(_circles([one for one in pieces if one], shape, options))
    return [_within(next(circles), one) if one else np.zeros((0, len(COLUMNS) + 1)) for one in pieces]


def _piece(probability: np.ndarray, core: Core, taken: np.ndarray, options: Options, device: str) -> _Piece | None:
    """A block seen with a margin around it; None where it has no contour."""
    top, left, bottom, right = core
    margin = options.margin_px
    first_row, first_col = max(top - margin, 0), max(left - margin, 0)
    piece = np.asarray(probability[first_row : bottom + margin, first_col : right + margin], np.float32)
    if not (piece > options.level).any():
        return None
    image = torch.from_numpy(np.ascontiguousarray(piece)).to(device)
    known = ~torch.isnan(image)
    image = smoothed(torch.nan_to_num(image, 0.0), SMOOTHING_PX)
    points, normals = contour(image, known, options.level)
    place = first_col, first_row
    return _Piece(core, place, image, known, points, normals, taken - [*place, 0]) if len(points) else None


def _within(circles: np.ndarray, piece: _Piece) -> np.ndarray:
    """Circles of a piece whose centres lie in its block, in pixels of the map."""
    circles[:, :2] += piece.place
    # Centres on the border of two blocks belong to one of them; at the map's own border half a pixel is left to both sides.
    top, left, bottom, right = (side - OUTSIDE_PX for side in piece.core)
    inside = (circles[:, 0] >= left) & (circles[:, 0] < right) & (circles[:, 1] >= top) & (circles[:, 1] < bottom)
    return circles[inside]


def _circles(pieces: list[_Piece], shape: Shape, options: Options) -> list[np.ndarray]:
    """Circles (N, 6) of each piece: first those that much of a rim votes for, then those that points vote for which no nearly whole rim of
    these explains. Ghosts beside clear rims are thus never fitted."""
    if not pieces:
        return []
    sheet = Sheet.of([one.image for one in pieces], [one.known for one in pieces])
    found: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for least, every in ((max(STRONG, options.votes), 2), (options.votes, 1)):
        candidates = []
        for number, one in enumerate(pieces):
            points, normals = one.points, one.normals
            if found:
                free = unexplained(points, normals, found[0][number][0], one.image.shape, shape)
                points, normals = points[free], normals[free]
            own = vote(points, normals, one.image.shape, shape, radii(options)[::every], least)
            candidates.append(functional.pad(own, (0, 1), value=float(number)))
        found.append(fit(sheet, torch.cat(candidates), shape, options).passing(options, len(pieces)))
    together = [[np.concatenate(values) for values in zip(*both, strict=True)] for both in zip(*found, strict=True)]
    return [explained(circles, edges, shape, options.arc, one.taken) for (circles, edges), one in zip(together, pieces, strict=True)]


def contour(image: torch.Tensor, known: torch.Tensor, level: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (N, 2) x, y on the iso-contour of a smoothed image and unit normals (N, 2) towards the light side: the pixels that are nearest
    to it, moved onto it along the gradient. Neither the map's own border nor that of missing data is an edge."""
    width, inner = image.shape[1], image[1:-1, 1:-1]
    near = places((inner - level).abs() <= WITHIN)
    rows, cols = near // (width - 2), near % (width - 2)
    at, flat = (rows + 1) * width + cols + 1, image.reshape(-1)

    def gradient(side: int, across: int) -> torch.Tensor:
        def step(along: int) -> torch.Tensor:
            return flat[at + along + across] - flat[at + along - across]

        # Sobel's weights: their direction errs by a few degrees at most even for steps of one pixel.
        return (step(-side) + 2 * step(0) + step(side)) / 8

    gx, gy = gradient(width, 1), gradient(1, width)
    square = gx**2 + gy**2
    offset = (level - flat[at]) / square.clamp(min=1e-12)
    # Within half a pixel of the contour, along the gradient's longer side.
    near = (offset.abs() * torch.maximum(gx.abs(), gy.abs()) <= 0.5) & (square > 1e-4)
    if not known.all():
        near &= functional.max_pool2d((~known).float()[None, None], 7, 1, 3)[0, 0, rows + 1, cols + 1] == 0
    rows, cols, gx, gy, offset = rows[near], cols[near], gx[near], gy[near], offset[near]
    points = torch.stack([cols + 1 + offset * gx, rows + 1 + offset * gy], 1)
    return points, torch.stack([gx, gy], 1) / torch.hypot(gx, gy)[:, None]


def unexplained(points: torch.Tensor, normals: torch.Tensor, circles: np.ndarray, size: Sequence[int], shape: Shape) -> torch.Tensor:
    """Which points (N,) of the contour aren't on the rim of a circle (M, 6) that is seen nearly whole."""
    circles = circles[(circles[:, 3] >= CERTAIN) & (circles[:, 4] >= CERTAIN)]
    circles = circles[circles[:, 2].argsort()[::-1], :3].astype(np.float32)
    sides = [(1.0, shape.outer_px, -1.0), (*shape.inner, 1.0)][: 1 + shape.has_inner]
    number = np.full(size, -1, np.int32)
    for index, (x, y, radius) in enumerate(circles):
        for factor, shift, _ in sides:
            place = [round(float(value) * 16) for value in (x, y, max(factor * radius + shift, 0))]
            cv2.circle(number, place[:2], place[2], index, round(2 * OWN_PX) + 2, shift=4)
    at, along = points.cpu().numpy(), normals.cpu().numpy()
    rim = number[np.rint(at[:, 1]).astype(np.intp), np.rint(at[:, 0]).astype(np.intp)]
    near = np.flatnonzero(rim >= 0)
    circle = circles[rim[near]]
    outwards = at[near] - circle[:, :2]
    apart = np.hypot(*outwards.T)
    away = (outwards * along[near]).sum(1) / np.maximum(apart, 1e-6)
    own = [(np.abs(apart - factor * circle[:, 2] - shift) <= OWN_PX) & (sign * away >= ALONG) for factor, shift, sign in sides]
    left = np.ones(len(at), bool)
    left[near[np.any(own, axis=0)]] = False
    return torch.from_numpy(left).to(points.device)


def radii(options: Options) -> np.ndarray:
    steps = int(np.ceil(np.log(options.max_radius_px / options.min_radius_px) / np.log(RADIUS_STEP)))
    return options.min_radius_px * (options.max_radius_px / options.min_radius_px) ** (np.arange(steps + 1) / max(steps, 1))


def vote(points: torch.Tensor, normals: torch.Tensor, size: Sequence[int], shape: Shape, tried: np.ndarray, least: float) -> torch.Tensor:
    """Candidates (N, 3) x, y, radius: peaks above ``least`` of the votes over place and the radii ``tried``. A whole rim, all of it seen,
    has about one vote."""
    found, strength = [], []
    points, normals = points.T.contiguous(), normals.T.contiguous()
    for radius in tried:
        votes, bin_px = accumulate(points, normals, size, shape, float(radius))
        place, height = peaks(votes, least)
        place = place * bin_px + (bin_px - 1) / 2
        found.append(torch.cat([place, torch.full_like(place[:, :1], radius)], 1))
        strength.append(height)
    return strongest(torch.cat(found), torch.cat(strength))


def strongest(candidates: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """Candidates (N, 3) without those near which, in place and radius, another has more votes: one rim is a peak at several radii, and
    each would be fitted. Rims of craters in craters are farther apart in size, those of overlapping ones in place."""
    circles, strength = candidates.cpu().numpy().astype(float), votes.cpu().numpy()
    kept, levels = np.ones(len(circles), bool), np.unique(circles[:, 2])
    rows_of = [np.flatnonzero(circles[:, 2] == level) for level in levels]
    trees = [cKDTree(circles[rows, :2]) for rows in rows_of]
    for one, rows in enumerate(rows_of):
        for other in range(one, min(len(levels), one + NEAR_STEPS + 1)):
            pairs = trees[one].sparse_distance_matrix(trees[other], NEAR * levels[one], output_type="ndarray")
            here, there = rows[pairs["i"]], rows_of[other][pairs["j"]]
            kept[here[strength[here] < strength[there]]] = False
            kept[there[strength[there] < strength[here]]] = False
    return candidates[torch.from_numpy(kept).to(candidates.device)]


def peaks(votes: torch.Tensor, least: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns and rows (N, 2) of the values above ``least`` that none of their eight neighbours exceeds, and the values (N,)."""
    found, (height, width), flat = places(votes > least), votes.shape, votes.flatten()
    rows, cols = found // width, found % width
    step = torch.arange(-1, 2, device=votes.device)
    down, across = (rows[:, None] + step).clamp_(0, height - 1), (cols[:, None] + step).clamp_(0, width - 1)
    around = flat[down[:, :, None] * width + across[:, None]].flatten(1)
    highest = flat[found] == around.amax(1)
    return torch.stack([cols, rows], 1)[highest], flat[found][highest]


def accumulate(points: torch.Tensor, normals: torch.Tensor, size: Sequence[int], shape: Shape, radius: float):
    """Votes (rows, cols) of edge points (2, N) for centres of craters of one radius, blurred, and the side of a bin in pixels."""
    bin_px = max(2.0, radius * BIN_SHARE)
    rows, cols = int(np.ceil(size[0] / bin_px)), int(np.ceil(size[1] / bin_px))
    factor, shift = shape.inner
    edges = [radius + shape.outer_px]
    if shape.has_inner and factor * radius + shift >= 1:
        edges.append(-(factor * radius + shift))
    # What falls outside goes into bins around the others.
    places, bins, weights = points.div(bin_px).add_(0.5 / bin_px + 1), [], []
    for reach in edges:
        x, y = torch.add(places, normals, alpha=reach / bin_px)
        bins.append(y.clamp_(0, rows + 1).long().mul_(cols + 2).add_(x.clamp_(0, cols + 1).long()))
        # The blur gathers what the directions' errors spread; a circle's contour has about 2πr · 0.9 points that are nearest to it.
        weights.append(torch.full_like(x, BLUR_BINS**2 / len(edges) / abs(reach)))
    votes = torch.bincount(torch.cat(bins), torch.cat(weights), (rows + 2) * (cols + 2)).float().view(rows + 2, cols + 2)
    return smoothed(votes[1:-1, 1:-1], BLUR_BINS), bin_px
