"""Pixel and tile scores of 55 million pixels: streamed counts against five scikit-learn calls on flat arrays.

python benchmarks/scores.py [--megapixels 55]
"""

from __future__ import annotations

import argparse

import numpy as np
from measure import Row, measure, show
from sklearn import metrics

from cratermill.families.ejecta_common.scoring import TileScores

TILE = (112, 224)
CALLS = {
    "Accuracy": metrics.accuracy_score,
    "F1_Score": metrics.f1_score,
    "IoU": metrics.jaccard_score,
    "Precision": metrics.precision_score,
    "Recall": metrics.recall_score,
}


def tiles(count: int):
    """Pairs of masks (112, 224), predicted and drawn: sixteen pairs over and over, so that making them costs next to nothing."""
    rng = np.random.default_rng(0)
    drawn = rng.random((16, *TILE)) < 0.25
    predicted = drawn ^ (rng.random((16, *TILE)) < 0.12)
    for number in range(count):
        yield predicted[number % 16], drawn[number % 16]


def streamed(count: int) -> dict[str, float]:
    scores = TileScores()
    for predicted, drawn in tiles(count):
        scores.add(predicted, drawn, is_test=False)
    return scores.scores()


def flat(count: int) -> dict[str, float]:
    pairs = list(tiles(count))
    predicted, drawn = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return {name: call(drawn, predicted) for name, call in CALLS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=55)
    count = round(parser.parse_args().megapixels * 1e6 / (TILE[0] * TILE[1]))
    ours, theirs = measure(streamed, count, runs=15), measure(flat, count, runs=1)
    few = measure(streamed, max(1, count // 10), runs=1)
    error = max(abs(ours.value[name] - theirs.value[name]) for name in CALLS)
    row = Row(f"scores of {count} tiles", "five scikit-learn calls", ours, theirs, wanted_ratio=100)
    show([row], {"largest difference": error, "memory for a tenth of the tiles": f"{few.peak_mb:.0f} MB"})


if __name__ == "__main__":
    main()
