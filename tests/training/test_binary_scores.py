"""Scores from counts, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from cratermill.training.binary_scores import Counts, binary_scores

BITS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


@settings(deadline=None)
@given(BITS)
def test_scores_equal_scikit_learn(pairs):
    predicted, target = (np.array(part) for part in zip(*pairs, strict=True))
    counts = Counts.zeros(torch.device("cpu"))
    for start in range(0, len(pairs), 7):
        part = slice(start, start + 7)
        counts.add(torch.from_numpy(predicted[part]), torch.from_numpy(target[part]), torch.tensor(2.0))
    found = counts.summed(lambda values: values).scores()
    expected = {
        "Accuracy": metrics.accuracy_score(target, predicted),
        "F1_Score": metrics.f1_score(target, predicted, zero_division=0),
        "IoU": metrics.jaccard_score(target, predicted, zero_division=0),
        "Precision": metrics.precision_score(target, predicted, zero_division=0),
        "Recall": metrics.recall_score(target, predicted, zero_division=0),
        "loss": 2.0,
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_no_denominator_is_zero_not_an_error():
    assert binary_scores(0, 0, 0, 9) == {"Accuracy": 1.0, "F1_Score": 0.0, "IoU": 0.0, "Precision": 0.0, "Recall": 0.0}
