"""Scores inside drawn tiles, against scikit-learn on a case made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from cratermill.families.ejecta_common.scoring import TileScores, cut, score_crater
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from tests.tiny import SHAPE, write_raster

NAMES = {
    "Accuracy": metrics.accuracy_score,
    "F1_Score": metrics.f1_score,
    "IoU": metrics.jaccard_score,
    "Precision": metrics.precision_score,
    "Recall": metrics.recall_score,
}


def test_scores_equal_scikit_learn(tmp_path):
    rng = np.random.default_rng(1)
    truth, prediction = (rng.random(SHAPE) < share for share in (0.3, 0.4))
    tiles = pd.DataFrame([{"x": x, "y": y, "height": 11, "width": 17, "is_test": x > 100} for y in (3, 60) for x in (0, 90, 200, 343)])
    truth[3:14, 200:217] = False
    prediction[60:71, 343:360] = False
    path = write_raster(tmp_path / "mask.tif", truth[None].astype(np.uint8))
    # In two pieces, one of them a turn to the west, as it comes from a crater near the seam.
    pieces = [(Window(0, 0, 180, 200), prediction[:, :200]), (Window(0, 200 - 360, 180, 160), prediction[:, 200:])]
    scores = TileScores()
    with Mosaic.open(path) as mask:
        score_crater(scores, pieces, tiles, mask, mask.grid)
    found = scores.scores()
    for group, chosen in (("", tiles), ("test_", tiles[tiles["is_test"]])):
        parts = [(slice(t.y, t.y + t.height), slice(t.x, t.x + t.width)) for t in chosen.itertuples()]
        pixels = [np.concatenate([array[part].ravel() for part in parts]) for array in (truth, prediction)]
        per_tile = [np.array([array[part].any() for part in parts]) for array in (truth, prediction)]
        for name, score in NAMES.items():
            assert found[f"{group}{name}"] == pytest.approx(score(*pixels), abs=1e-12)
            assert found[f"{group}conn_{name}"] == pytest.approx(score(*per_tile), abs=1e-12)


def test_a_mask_of_a_window_counts_as_zero_outside(tmp_path):
    with Mosaic.open(write_raster(tmp_path / "all.tif", np.zeros((1, *SHAPE), np.uint8))) as whole:
        grid = whole.grid
    part = grid.window(Window(50, 100, 20, 30))
    path = write_raster(tmp_path / "part.tif", np.ones((1, 20, 30), np.uint8), affine=part.affine)
    tiles = pd.DataFrame([{"x": 90, "y": 45, "height": 20, "width": 20, "is_test": True}])
    scores = TileScores()
    with Mosaic.open(path) as mask:
        score_crater(scores, [(Window(45, 90, 20, 20), np.ones((20, 20), bool))], tiles, mask, grid)
    assert scores.scores()["Precision"] == pytest.approx(15 * 10 / 400)


@pytest.mark.parametrize("turn", [-360, 0])
def test_pieces_a_turn_away_are_found(turn):
    piece = (Window(10, 355 + turn, 4, 10), np.ones((4, 10), bool))
    assert cut([piece], Window(10, 0, 4, 5), 360).all()
    assert not cut([piece], Window(10, 0, 4, 5), None).any() or turn == -360
