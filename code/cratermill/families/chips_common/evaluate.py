"""One trained cell on the chips it has not seen: scores, every prediction, and the chips that were to be predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.files import atomic_path, write_table
from ...training.checkpoint import load
from .class_scores import class_scores, confusion, decided
from .data import to_predict
from .predict import logits_of, probabilities

if TYPE_CHECKING:
    from ...config import Config
    from ...training.cell import CellParams
    from .data import CellChips
    from .prepare import ChipFolder

PREDICTIONS, FINAL = "predictions.csv", "y_pred_final.npy"


@dataclass(frozen=True)
class Answers:
    """Probabilities (N, K) of the classes for rows (N,) of the chips' table, and the classes decided on."""

    rows: np.ndarray
    probability: np.ndarray
    predicted: np.ndarray

    def scores(self, labels: np.ndarray) -> dict[str, float]:
        """Scores against the labels of these rows; for two classes also the average precision (area below the PR curve)."""
        true, classes = labels[self.rows], self.probability.shape[1]
        found = class_scores(confusion(true, self.predicted, classes))
        if classes == 2:
            from sklearn.metrics import average_precision_score

            found["Average_Precision"] = float(average_precision_score(true, self.probability[:, 1]))
        return found


def cell_folder(config: Config, params: CellParams) -> Path:
    return config.project.cell_product(params.family, params.version, "train", params.split, params.iteration)


def answers(path: Path, hparams: Any, images: np.ndarray, rows: np.ndarray, threshold: float = 0.5) -> Answers:
    """What the checkpoint at ``path`` says about rows of the chips (N, s, s)."""
    import torch

    found = probabilities(logits_of(load(path), hparams, images[rows])) if len(rows) else np.zeros((0, 2))
    return Answers(rows, found, decided(torch.from_numpy(found), threshold).numpy())


def test_and_final(
    path: Path, hparams: Any, folder: ChipFolder, images: np.ndarray, chips: CellChips, threshold: float = 0.5
) -> tuple[Answers, Answers]:
    """Answers for the test chips and for those that were to be predicted."""
    test, final = (answers(path, hparams, images, rows, threshold) for rows in (chips.test, to_predict(folder.rows)))
    return test, final


def write_answers(into: Path, folder: ChipFolder, classes: list[str], test: Answers, final: Answers) -> None:
    """``predictions.csv`` of both kinds of chips and, where there were chips to predict, ``y_pred_final.npy`` in their order."""
    tables = []
    for kind, found in (("test", test), ("predict", final)):
        rows = folder.rows.iloc[found.rows]
        table = pd.DataFrame({"row": found.rows, "name": rows["name"].to_numpy(), "kind": kind, "label": rows["label"].to_numpy()})
        for number, name in enumerate(classes):
            table[f"p_{name}"] = found.probability[:, number] if len(rows) else []
        tables.append(table.assign(predicted=found.predicted))
    write_table(into / PREDICTIONS, pd.concat([table for table in tables if len(table)], ignore_index=True))
    if len(final.rows):
        with atomic_path(into / FINAL) as temporary:
            np.save(temporary, final.predicted.astype(np.int64))
