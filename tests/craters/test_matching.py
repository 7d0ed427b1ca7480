"""Matching: the same answer in any order and from either side, and the published rules beside ours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.core.errors import InputError
from cratermill.craters import matching
from cratermill.craters.matching import BOX, LAX, RULES, STRICT, match
from cratermill.craters.score_tables import size_table
from cratermill.craters.scores import all_rules, average_precision, precision_recall, rates, score, tally, with_intervals
from cratermill.geo.bodies import get_body

MARS = get_body("mars")
NONE = np.zeros((0, 4))


def some(seed: int, count: int = 40, spread: float = 100.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(0, spread, (count, 2)), rng.uniform(3, 30, count), rng.uniform(0, 1, count)])


def on_mars(seed: int, count: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(178, 182, count), rng.uniform(86, 90, count)
    return np.column_stack([lon, lat, rng.uniform(5e3, 60e3, count), rng.uniform(0, 1, count)])


def as_set(pairs: np.ndarray, found: np.ndarray, truth: np.ndarray) -> set:
    return {(*found[i, :3], *truth[j, :3]) for i, j in pairs}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_of_the_lists_does_not_matter(rule, seed):
    found, truth = some(seed), some(seed + 1)
    rng = np.random.default_rng(seed)
    one, other = rng.permutation(len(found)), rng.permutation(len(truth))
    before, after = match(found, truth, rule), match(found[one], truth[other], rule)
    assert as_set(before.pairs, found, truth) == as_set(after.pairs, found[one], truth[other])


@pytest.mark.parametrize("rule", [STRICT, BOX], ids=lambda rule: rule.name)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), grid=st.booleans())
def test_swapping_the_lists_swaps_precision_and_recall(rule, seed, grid):
    found, truth = some(seed), some(seed + 1)
    if grid:  # many ties
        found, truth = np.round(found / 10) * 10 + [0, 0, 10, 0], np.round(truth / 10) * 10 + [0, 0, 10, 0]
    there, back = match(found, truth, rule), match(truth, found, rule)
    assert as_set(there.pairs, found, truth) == {(*pair[3:], *pair[:3]) for pair in as_set(back.pairs, truth, found)}


@pytest.mark.parametrize("body", [None, MARS], ids=["plane", "sphere"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_list_matches_itself(rule, body):
    craters = on_mars(3, 12) if body else some(3)[::4] * [10, 10, 1, 1]
    counts = tally(craters, craters, rule, (0, np.inf), body).counts()
    if rule is not LAX:  # the published loop uses up neighbours that fit as well
        assert counts == (len(craters),) * 4
        assert score(tally(craters, craters, rule, (0, np.inf), body), "x")["F1_x"] == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_blocks_change_nothing(rule, monkeypatch):
    """Long lists are looked at in blocks; against every pair tried by itself."""
    found, truth = on_mars(3, 80), on_mars(4, 90)
    truth[:60] = found[:60] * (1, 1, 1.05, 1)
    whole = match(found, truth, rule, MARS)
    monkeypatch.setattr("cratermill.craters.matching.BLOCK", 7)
    assert np.array_equal(match(found, truth, rule, MARS).pairs, whole.pairs)
    grid = np.stack(np.meshgrid(np.arange(80), np.arange(90), indexing="ij"), -1).reshape(-1, 2)
    offset, growth = matching._deviations(found[grid[:, 0]], truth[grid[:, 1]], MARS)
    fits = (offset < rule.position) & (np.abs(growth) < rule.size)
    if rule.box_iou is None:
        assert np.array_equal(matching._candidates(found, truth, rule, MARS)[0], grid[fits])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_empty_lists(rule):
    craters = some(1)
    for found, truth in ((NONE, NONE), (craters, NONE), (NONE, craters)):
        assert match(found, truth, rule).pairs.shape == (0, 2)
        one = tally(found, truth, rule, (0, np.inf))
        assert one.counts() == (0, len(found), 0, len(truth))
        assert score(one, "x")["F1_x"] == 0


def test_optimal_where_greedy_is_not():
    # The first found crater fits both; taking its best partner would leave the second one alone.
    found = np.array([[0.0, 0, 10, 0.9], [-4.5, 0, 10, 0.8]])
    truth = np.array([[-1.0, 0, 10], [4.0, 0, 10]])
    assert len(match(found, truth, STRICT).pairs) == 2


def test_one_crater_is_matched_once():
    found = np.array([[0.0, 0, 10, 0.9], [1.0, 0, 10, 0.8], [2.0, 0, 10, 0.7]])
    for rule in RULES:
        assert len(match(found, np.array([[1.0, 0, 10]]), rule).pairs) == 1


@pytest.mark.parametrize(
    ("rule", "offset", "growth", "expected"),
    [
        (STRICT, 0.49, 0, True),
        (STRICT, 0.51, 0, False),
        (STRICT, 0, 0.24, True),
        (STRICT, 0, 0.26, False),
        (LAX, 1.34, 0, True),
        (LAX, 1.35, 0, False),
        (LAX, 0, 0.99, True),
        (LAX, 0, 1.01, False),
        (BOX, 0.66, 0, True),  # boxes of side 2 shifted by 2/3 share half of their union
        (BOX, 0.68, 0, False),
        (BOX, 0, 0.41, True),  # (1/1.41)² > ½
        (BOX, 0, 0.42, False),
    ],
)
def test_limits_of_the_rules(rule, offset, growth, expected):
    matched = match(np.array([[offset * 8, 0, 8 * (1 + growth), 1]]), np.array([[0.0, 0, 8]]), rule)
    assert bool(len(matched.pairs)) is expected


def test_distances_run_over_the_pole_and_the_seam():
    found = np.array([[0.0, 89.9, 20e3, 1], [180.0, 0, 20e3, 1]])
    truth = np.array([[180.0, 89.98, 20e3], [-179.9, 0, 20e3]])
    matched = match(found, truth, STRICT, MARS)
    assert as_set(matched.pairs, found, truth) == {(*found[0, :3], *truth[0]), (*found[1, :3], *truth[1])}
    degree = np.pi / 180 * MARS.semi_major_m
    assert np.allclose(sorted(matched.offset * 20e3), sorted([0.12 * degree, 0.1 * degree]), rtol=0.02)


def test_size_beyond_the_limit_costs_nothing_where_the_partner_counts():
    one = tally(np.array([[0, 0, 9.8, 1], [50, 0, 9.8, 1]]), np.array([[0.0, 0, 10], [90, 0, 5]]), STRICT, (10, 20))
    assert one.counts() == (1, 1, 1, 1)


def test_intervals_hold_the_score_and_bins_add_up():
    rng = np.random.default_rng(0)
    truth = [some(seed, 20, 1000) for seed in range(12)]
    found = [one[rng.random(20) < 0.7] + rng.normal(0, 0.3, (1, 4)) for one in truth]
    tallies = all_rules(found, truth, (0, np.inf))
    row = score(tallies["strict"], "strict")
    assert row["Recall_strict_low"] < row["Recall_strict"] < row["Recall_strict_high"]
    assert 0.5 < row["Recall_strict"] < 0.9
    table = size_table(tallies["strict"], "strict")
    assert table["known"].sum() == 240
    assert table["found"].sum() == sum(map(len, found))


def test_intervals_are_those_of_blocks_drawn_one_by_one():
    rng = np.random.default_rng(1)
    truth = [some(seed, 6, 1000) for seed in range(9)]
    one = all_rules([part[rng.random(6) < 0.7] for part in truth], truth, (0, np.inf))["strict"]
    blocks = one.by_block()
    drawn = [blocks[numbers].sum(0) for numbers in np.random.default_rng(5).integers(0, len(blocks), (1000, len(blocks)))]
    low, high = np.percentile([hit / known for _, _, hit, known in drawn], (2.5, 97.5))
    row = with_intervals(one, seed=5)
    assert (row["Recall_low"], row["Recall_high"]) == (low, high)


def test_rates_of_nothing_are_zero():
    assert rates(np.array([0, 0, 0, 0])).tolist() == [0, 0, 0]


def test_lists_with_nan_are_refused():
    with pytest.raises(InputError, match="the catalogue"):
        match(some(1), np.array([[0, np.nan, 3.0]]))


def test_average_precision_is_that_of_scikit_learn_where_every_crater_is_found():
    """Lists on two tiles: right craters at some confidences, wrong ones at others."""
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    truth = [np.column_stack([rng.uniform(0, 2000, (12, 2)), np.full(12, 5.0)]) for _ in range(2)]
    wrong = [np.column_stack([rng.uniform(3000, 4000, (15, 2)), np.full(15, 5.0)]) for _ in range(2)]
    sure = rng.permutation(54) / 54
    found = [np.vstack([one, other]) for one, other in zip(truth, wrong, strict=True)]
    found = [np.column_stack([one, values]) for one, values in zip(found, np.split(sure, 2), strict=True)]
    curve = precision_recall(found, truth, STRICT, (0, np.inf))
    right = np.concatenate([np.arange(27) < 12] * 2)
    interpolated = average_precision_score(right, sure)
    assert curve["Recall"].iloc[-1] == 1 and curve["Precision"].iloc[-1] == pytest.approx(24 / 54)
    # Interpolated from the right it is a little larger than the plain sum.
    assert interpolated <= average_precision(curve) < interpolated + 0.05
    # Nor do many that are hardly craters take its places from the others.
    hardly = np.column_stack([rng.uniform(5000, 90000, (1500, 2)), np.full(1500, 5.0), rng.uniform(0, 1e-4, 1500)])
    surer = [np.column_stack([one[:, :3], 0.5 + 0.5 * one[:, 3]]) for one in found]
    crowded = precision_recall([np.vstack([surer[0], hardly]), surer[1]], truth, STRICT, (0, np.inf))
    assert average_precision(crowded) == pytest.approx(average_precision(curve), abs=0.02)


def test_blocks_that_are_matched_at_once_count_as_each_alone():
    rng = np.random.default_rng(1)
    truth = [np.column_stack([rng.uniform(0, 100, (20, 2)), rng.uniform(3, 20, 20)]) for _ in range(4)]
    found = [one + rng.normal(0, 1, one.shape) * (1, 1, 0.5) for one in truth]
    for rule, one in all_rules(found, truth, (4, 18)).items():
        alone = [tally(f, t, next(r for r in RULES if r.name == rule), (4, 18)).counts() for f, t in zip(found, truth, strict=True)]
        assert one.by_block().tolist() == [list(counts) for counts in alone]
