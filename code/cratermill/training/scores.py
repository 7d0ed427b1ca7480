"""Binary scores from four counts."""

from __future__ import annotations

SCORES = ("Accuracy", "F1_Score", "IoU", "Precision", "Recall")


def binary_scores(tp: float, fp: float, fn: float, tn: float) -> dict[str, float]:
    """Accuracy, F1, IoU, precision and recall; 0 where a ratio has no denominator, as scikit-learn's ``zero_division=0``."""

    def ratio(part: float, whole: float) -> float:
        return float(part) / float(whole) if whole else 0.0

    return {
        "Accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "F1_Score": ratio(2 * tp, 2 * tp + fp + fn),
        "IoU": ratio(tp, tp + fp + fn),
        "Precision": ratio(tp, tp + fp),
        "Recall": ratio(tp, tp + fn),
    }
