"""Scores of classifiers of K classes, from a table of counts that streams and adds up over batches and processes."""

from __future__ import annotations

import numpy as np
import torch

SCORES = ("Macro_F1", "Balanced_Accuracy", "Accuracy", "Precision", "Recall")


def class_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities (B, K) from logits (B, K); from (B, 1), those of two classes."""
    if logits.shape[1] == 1:
        positive = torch.sigmoid(logits)
        return torch.cat([1 - positive, positive], dim=1)
    return torch.softmax(logits, dim=1)


def decided(probabilities: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """Class numbers (B,): of two classes the second from ``threshold`` on, else the likeliest."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).long()
    return probabilities.argmax(dim=1)


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (K, K), rows the truth."""
    return np.bincount(np.asarray(true) * classes + np.asarray(predicted), minlength=classes**2).reshape(classes, classes)


def class_scores(counts_KK: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy (mean recall of the classes), macro F1; precision and recall of the second of two classes, else means.

    A ratio without a denominator counts as 0, as in scikit-learn with ``zero_division=0``; classes without members don't count.
    """
    counts = np.asarray(counts_KK, float)
    hits, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there = (true + predicted) > 0
    precision, recall = _ratio(hits, predicted), _ratio(hits, true)
    f1 = _ratio(2 * hits, true + predicted)
    which = slice(1, 2) if len(counts) == 2 else there
    return {
        "Accuracy": float(_ratio(hits.sum(), counts.sum())),
        "Balanced_Accuracy": float(recall[true > 0].mean()) if (true > 0).any() else 0.0,
        "Macro_F1": float(f1[there].mean()) if there.any() else 0.0,
        "Precision": float(precision[which].mean()),
        "Recall": float(recall[which].mean()),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
