"""How good a list of craters is: precision, recall and F1 by several rules, by size, with intervals over blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from ..geo.bodies import Body
from .matching import RULES, Matched, Rule, match

RESAMPLES = 1000
TITLES = ("Precision", "Recall", "F1")
CURVE = 100
BLOCKS_APART_PX = 1e6
SECTOR_DEGREES = 10.0
"""Blocks of a bootstrap over a globe: squares of about this side."""


@dataclass
class Tally:
    """Counts of one rule. Per found crater: whether it has a partner and whether it counts; the same per crater of the catalogue.

    ``found_block`` and ``truth_block`` say to which block (tile, map cell, sector) each belongs; ``offset`` and ``growth`` (in smaller
    radii) are those of the pairs that count.
    """

    found_hit: np.ndarray
    found_counts: np.ndarray
    found_radius: np.ndarray
    found_block: np.ndarray
    truth_hit: np.ndarray
    truth_counts: np.ndarray
    truth_radius: np.ndarray
    truth_block: np.ndarray
    offset: np.ndarray
    growth: np.ndarray

    def counts(self) -> tuple[int, int, int, int]:
        """(found that are right, found, catalogue's that were found, catalogue's), of those that count."""
        right, found, known, all_known = (int(values.sum()) for values in self._masks())
        return right, found, known, all_known

    def _masks(self) -> tuple[np.ndarray, ...]:
        return self.found_hit & self.found_counts, self.found_counts, self.truth_hit & self.truth_counts, self.truth_counts

    def diameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the found craters and of the catalogue's, of those that count."""
        return 2 * self.found_radius[self.found_counts], 2 * self.truth_radius[self.truth_counts]

    def part(self, found: np.ndarray, truth: np.ndarray) -> Tally:
        """The same with only some of the found craters and some of the catalogue's, (N,) bool each, counting."""
        return replace(self, found_counts=self.found_counts & found, truth_counts=self.truth_counts & truth)

    def by_block(self) -> np.ndarray:
        """The four counts of every block (B, 4)."""
        blocks = np.unique(np.concatenate([self.found_block, self.truth_block]))
        groups = (self.found_block, self.found_block, self.truth_block, self.truth_block)
        at = [np.searchsorted(blocks, group[mask]) for group, mask in zip(groups, self._masks(), strict=True)]
        return np.column_stack([np.bincount(places, minlength=len(blocks)) for places in at])


def tally(
    found: np.ndarray,
    truth: np.ndarray,
    rule: Rule,
    radii: tuple[float, float],
    body: Body | None = None,
    block: int = 0,
    found_block: np.ndarray | None = None,
    truth_block: np.ndarray | None = None,
) -> Tally:
    """Match lists (N, ≥3) of all sizes, then count those within ``radii``.

    A found crater that is right counts if the catalogue's crater does, so that a measured radius just beyond a limit costs nothing.
    """
    matched: Matched = match(found, truth, rule, body)
    rows, columns = matched.pairs.T if len(matched.pairs) else (np.zeros(0, int), np.zeros(0, int))
    found_radius, truth_radius = found[:, 2], truth[:, 2]
    truth_counts = (truth_radius >= radii[0]) & (truth_radius <= radii[1])
    found_counts = (found_radius >= radii[0]) & (found_radius <= radii[1])
    found_counts[rows] = truth_counts[columns]
    counting = truth_counts[columns]
    hits = np.zeros(len(found), bool), np.zeros(len(truth), bool)
    hits[0][rows], hits[1][columns] = True, True
    return Tally(
        hits[0],
        found_counts,
        found_radius.astype(float),
        np.full(len(found), block) if found_block is None else found_block,
        hits[1],
        truth_counts,
        truth_radius.astype(float),
        np.full(len(truth), block) if truth_block is None else truth_block,
        matched.offset[counting],
        matched.growth[counting],
    )


def rates(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 (…, 3) of counts (…, 4); 0 where nothing is found or known."""
    right, found, hit, known = np.moveaxis(np.asarray(counts, float), -1, 0)
    precision = np.divide(right, found, out=np.zeros_like(right), where=found > 0)
    recall = np.divide(hit, known, out=np.zeros_like(hit), where=known > 0)
    total = precision + recall
    return np.stack([precision, recall, np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)], -1)


def with_intervals(one: Tally, seed: int = 0) -> dict[str, float]:
    """Precision, recall and F1, each with ``_low`` and ``_high`` of 95 % (bootstrap over blocks) where craters lie in several blocks.

    Draws without a crater by which a score could be told are left out: they would be scores of 0.
    """
    blocks = one.by_block()
    row = {title: float(value) for title, value in zip(TITLES, rates(np.array(one.counts())), strict=True)}
    if np.any(blocks, axis=1).sum() > 1:
        counts = _draws(len(blocks), seed) @ blocks
        told = np.column_stack([counts[:, 1], counts[:, 3], counts[:, [1, 3]].any(axis=1)]) > 0
        for title, values, known in zip(TITLES, rates(counts).T, told.T, strict=True):
            low, high = np.percentile(values[known], (2.5, 97.5)) if known.any() else (np.nan, np.nan)
            row |= {f"{title}_low": float(low), f"{title}_high": float(high)}
    return row


@lru_cache(maxsize=2)
def _draws(blocks: int, seed: int) -> np.ndarray:
    """How often each block is in each draw of as many (RESAMPLES, blocks), in floats, whose products are fast, and exact of these."""
    drawn = np.random.default_rng(seed).integers(0, blocks, (RESAMPLES, blocks))
    places = drawn + np.arange(RESAMPLES)[:, None] * blocks
    return np.bincount(places.ravel(), minlength=places.size).reshape(places.shape).astype(np.float32)


def score(one: Tally, name: str, seed: int = 0) -> dict[str, float]:
    """Precision, recall, F1 with 95 % intervals (bootstrap over blocks), and median errors, of one rule."""
    row = {}
    for title, value in with_intervals(one, seed).items():
        what, _, end = title.partition("_")
        row["_".join(filter(None, (what, name, end)))] = value
    row[f"position_error_{name}"] = float(np.median(one.offset)) if len(one.offset) else float("nan")
    row[f"diameter_error_{name}"] = float(np.median(np.abs(one.growth))) if len(one.growth) else float("nan")
    return row


def tallies(found: list[np.ndarray], truth: list[np.ndarray], rule: Rule, radii: tuple[float, float], body: Body | None = None) -> Tally:
    """The tally of several blocks of lists in pixels, one block per pair; on a body, of one."""
    blocks = [np.repeat(np.arange(len(lists)), [len(one) for one in lists]) for lists in (found, truth)]
    return tally(_apart(found, blocks[0]), _apart(truth, blocks[1]), rule, radii, None, 0, *blocks)


def _apart(lists: list[np.ndarray], block: np.ndarray) -> np.ndarray:
    """Lists in pixels as one, each so far from the others that nothing of two is a pair: matched at once, many times faster."""
    columns = min((one.shape[1] for one in lists), default=3)
    together = np.concatenate([np.asarray(one, float)[:, :columns] for one in lists]) if lists else np.zeros((0, columns))
    together[:, 0] += BLOCKS_APART_PX * block
    return together


def precision_recall(
    found: list[np.ndarray], truth: list[np.ndarray], rule: Rule, radii: tuple[float, float], body: Body | None = None
) -> pd.DataFrame:
    """Precision, recall and F1 of blocks of lists (N, ≥4: place, radius, confidence) if they ended at each confidence of a grid of at
    most ``CURVE``, from the surest crater down: in equal steps of the sum of confidences, which is how many are right as far as is known.
    Of the many that are hardly craters, few places would be left for the others by number."""
    sure = np.sort(np.concatenate([one[:, 3] for one in found]))[::-1] if found else np.zeros(0)
    expected = np.cumsum(np.maximum(sure, 1e-9))
    steps = np.searchsorted(expected, np.linspace(0, 1, CURVE) * expected[-1]) if len(sure) else np.zeros(0, int)
    least = np.unique(sure[steps.clip(0, max(len(sure) - 1, 0))])[::-1]
    counts = [tallies([one[one[:, 3] >= value] for one in found], truth, rule, radii, body).counts() for value in least]
    values = rates(np.array(counts, float).reshape(-1, 4))
    return pd.DataFrame(values, columns=["Precision", "Recall", "F1"]).assign(confidence=least)[["confidence", "Precision", "Recall", "F1"]]


def average_precision(curve: pd.DataFrame) -> float:
    """Area under a curve of :func:`precision_recall`; at each recall the best precision from there on (as PASCAL VOC since 2010)."""
    recall = np.maximum.accumulate(np.r_[0.0, curve["Recall"]])
    precision = np.maximum.accumulate(curve["Precision"].to_numpy()[::-1])[::-1]
    return float((np.diff(recall) * precision).sum())


def all_rules(found: list[np.ndarray], truth: list[np.ndarray], radii: tuple[float, float]) -> dict[str, Tally]:
    """Tallies of every rule over blocks of lists, one block per pair."""
    return {rule.name: tallies(found, truth, rule, radii) for rule in RULES}


def sectors(craters: np.ndarray) -> np.ndarray:
    """Number of the square of about ten degrees that each crater lies in."""
    rows = np.floor((craters[:, 1] + 90) / SECTOR_DEGREES).astype(int).clip(0, int(180 / SECTOR_DEGREES) - 1)
    middle = np.radians((rows + 0.5) * SECTOR_DEGREES - 90)
    count = np.maximum(1, np.round(360 / SECTOR_DEGREES * np.cos(middle)))
    return rows * 1000 + np.floor(np.mod(craters[:, 0], 360) / 360 * count).astype(int)
