"""Confidence: as often right as it says, rising with the score, plain values only."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from cratermill.craters.confidence import Calibration, area_under_curve, best_expected, best_threshold, expected_error, fit


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(3)
    score, size = rng.normal(size=4000), rng.normal(size=4000)
    truth = 1 / (1 + np.exp(-(2 * score + size**2 - 1)))
    return {"score": score, "size_squared": size**2}, rng.random(4000) < truth, truth


def test_a_calibration_is_right_as_often_as_it_says(scores):
    quantities, right, truth = scores
    half = {name: values[:2000] for name, values in quantities.items()}
    calibration = fit(half, right[:2000])
    held_out = {name: values[2000:] for name, values in quantities.items()}
    confidence = calibration.confidence(held_out)
    assert expected_error(confidence, right[2000:]) < 0.05
    assert area_under_curve(confidence, right[2000:]) == pytest.approx(area_under_curve(truth[2000:], right[2000:]), abs=0.01)


def test_confidence_rises_strictly_with_the_model_and_survives_json(scores):
    quantities, right, _ = scores
    calibration = fit(quantities, right)
    order = np.argsort(calibration.logit(quantities))
    confidence = calibration.confidence(quantities)[order]
    assert (np.diff(confidence) >= 0).all() and (np.diff(confidence) > 0).mean() > 0.99
    assert confidence.min() >= 0 and confidence.max() <= 1
    again = Calibration.of_plain(json.loads(json.dumps(calibration.plain())))
    np.testing.assert_array_equal(again.confidence(quantities), calibration.confidence(quantities))


def test_too_few_craters_give_no_calibration():
    assert fit({"score": np.arange(8.0)}, np.array([True] * 6 + [False] * 2)) is None


def test_measures_of_sureness_at_their_ends():
    assert area_under_curve(np.array([0.9, 0.8, 0.1]), np.array([True, True, False])) == 1
    assert np.isnan(area_under_curve(np.array([0.9]), np.array([True])))
    assert expected_error(np.array([1.0, 1.0, 0.0]), np.array([True, True, False])) == 0
    assert expected_error(np.full(4, 0.5), np.array([True] * 4)) == 0.5


def test_the_best_threshold_lies_within_its_grid():
    values = np.linspace(0, 1, 500)
    assert best_threshold(lambda value: -abs(value - 0.837), values) == pytest.approx(0.837, abs=0.005)
    assert best_threshold(lambda value: 0.0, np.zeros(0)) == 0.5


def test_the_expected_best_is_half_the_best_f1_and_doesnt_hang_on_luck():
    """Lipton, Elkan and Naryanaswamy (2014): of calibrated confidences the threshold with the best F1 is half of that F1."""
    rng = np.random.default_rng(0)
    confidence = rng.beta(0.4, 0.6, 4000)
    right = rng.random(4000) < confidence

    def f1(least, some=slice(None), missed=300):
        listed = confidence[some] >= least
        return 2 * (right[some] & listed).sum() / (listed.sum() + right[some].sum() + missed)

    found = best_expected(confidence, right.sum() + 300)
    assert found == pytest.approx(max(map(f1, np.linspace(0.05, 0.95, 91))) / 2, abs=0.01)
    few = [rng.choice(4000, 200) for _ in range(40)]
    expected = [best_expected(confidence[some], right[some].sum() + 15) for some in few]
    lucky = [best_threshold(partial(f1, some=some, missed=15), confidence[some]) for some in few]
    assert np.std(expected) < np.std(lucky) / 3
    assert best_expected(np.zeros(0), 3) == 0.5
