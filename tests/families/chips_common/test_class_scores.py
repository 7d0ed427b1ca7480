"""Scores against scikit-learn's, probabilities and the formula of D(x)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from cratermill.families.chips_common.class_scores import class_probabilities, class_scores, confusion, decided
from cratermill.families.chips_common.predict import probabilities, temperature
from cratermill.families.chips_common.task import classification_loss
from cratermill.networks.small_classifiers import ChipCNN, Discriminator, Generator, PlainCNN, real_logit


def parameters(network) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_the_networks_have_the_published_sizes():
    assert parameters(ChipCNN(48)) == 14_033
    assert parameters(PlainCNN(32)) == 121_409
    assert Discriminator(2, 32, 128).head.in_features == 2048 and Generator(32, 128).dense.out_features == 8192


@pytest.mark.parametrize("network", [ChipCNN(24), PlainCNN(32), Discriminator(3, 24, 4)])
def test_networks_take_other_sizes(network):
    size = 32 if isinstance(network, PlainCNN) else 24
    assert network(torch.zeros(2, 1, size, size)).shape == (2, 3 if isinstance(network, Discriminator) else 1)


def test_the_generator_makes_chips_of_the_size_asked_for_within_the_range():
    made = Generator(24, 4)(torch.randn(3, 100))
    assert made.shape == (3, 1, 24, 24) and made.abs().max() <= 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6))
def test_d_is_the_papers_formula(logits):
    z = np.exp(np.array(logits)).sum()
    assert float(torch.sigmoid(real_logit(torch.tensor([logits], dtype=torch.float64)))) == pytest.approx(z / (1 + z), abs=1e-6)


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_d_and_its_losses_stay_finite_for_huge_logits(value):
    from cratermill.families.sgan.task import believed, doubted

    logits = torch.tensor([[value, -value], [value, value]], requires_grad=True)
    assert torch.isfinite(torch.sigmoid(real_logit(logits))).all()
    loss = (believed(logits) + doubted(logits)).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_scores_of_two_classes_are_scikit_learns(pairs):
    true, predicted = map(np.array, zip(*pairs, strict=True))
    found = class_scores(confusion(true, predicted, 2))
    assert found["Accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted))
    assert found["Macro_F1"] == pytest.approx(metrics.f1_score(true, predicted, average="macro", zero_division=0))
    assert found["Precision"] == pytest.approx(metrics.precision_score(true, predicted, zero_division=0))
    assert found["Recall"] == pytest.approx(metrics.recall_score(true, predicted, zero_division=0))
    recalls = [np.mean(predicted[true == label] == label) for label in np.unique(true)]
    assert found["Balanced_Accuracy"] == pytest.approx(np.mean(recalls))


def test_scores_of_many_classes_are_scikit_learns():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    found = class_scores(confusion(true, predicted, 5))
    assert found["Balanced_Accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, predicted))
    assert found["Macro_F1"] == pytest.approx(metrics.f1_score(true, predicted, average="macro"))


def test_one_logit_and_two_mean_the_same():
    one = torch.randn(6, 1, dtype=torch.float64)
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    target = torch.softmax(torch.randn(6, 2, dtype=torch.float64), dim=1)
    assert torch.allclose(class_probabilities(one), class_probabilities(two))
    assert torch.allclose(classification_loss(one, target.float()), classification_loss(two, target.float()))


def test_the_threshold_decides_for_the_second_class():
    assert decided(torch.tensor([[0.7, 0.3], [0.4, 0.6]]), 0.3).tolist() == [1, 1]
    assert decided(torch.tensor([[0.7, 0.3], [0.4, 0.6]]), 0.61).tolist() == [0, 0]


def test_the_temperature_undoes_an_overconfident_factor():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (4000, 1))
    labels = (rng.random(4000) < probabilities(logits)[:, 1]).astype(int)
    assert temperature(logits * 3, labels) == pytest.approx(3, rel=0.15)
