"""What users look at after a run: the pictures and tables of one version, from all of its evaluated cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.files import atomic_path, write_table
from ...core.frames import rows_of
from .class_scores import confusion
from .evaluate import FINAL, PREDICTIONS
from .pictures import confusion_picture, curves_picture, mistakes_picture, pr_picture
from .prepare import ChipFolder

if TYPE_CHECKING:
    from ...config import Config

MOST_MISTAKES = 48


def gather_chips(config: Config, family: str, version: int, cells: pd.DataFrame, into: Path) -> None:
    """PR curve, confusion matrix, learning curves, mean predictions, the most confident mistakes, and ``y_pred_final.npy`` by majority."""
    write_learning_curves(cells, into)
    evaluated = cells[cells["stage"] == "evaluate"]
    tables = [pd.read_csv(cell.product / PREDICTIONS) for cell in rows_of(evaluated) if (cell.product / PREDICTIONS).exists()]
    if not tables:
        return
    classes = [name.removeprefix("p_") for name in tables[0].columns if name.startswith("p_")]
    tests = [table[table["kind"] == "test"] for table in tables]
    counts = np.sum([confusion(one["label"].to_numpy(), one["predicted"].to_numpy(), len(classes)) for one in tests], axis=0)
    confusion_picture(into / "confusion_matrix.png", counts, classes)
    if len(classes) == 2:
        pr_picture(into / "pr_curve.png", [(one["label"].to_numpy(), one[f"p_{classes[1]}"].to_numpy()) for one in tests], classes[1])
    mean = mean_predictions(pd.concat(tables, ignore_index=True), classes)
    write_table(into / PREDICTIONS, mean)
    write_mistakes(config, family, int(cells.iloc[0]["hparams"]["chip_size_px"]), mean, classes, into)
    final = mean[mean["kind"] == "predict"].sort_values("row")
    if len(final):
        with atomic_path(into / FINAL) as temporary:
            np.save(temporary, final["predicted"].to_numpy(np.int64))


def mean_predictions(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row per chip: the mean probability over the cells, the class that most decide on (of a tie the likelier one)."""
    probability = [f"p_{name}" for name in classes]
    keys = ["row", "name", "kind", "label"]
    grouped = predictions.groupby(keys, sort=True)
    mean = grouped[probability].mean().reset_index()
    deciding = [(predictions["predicted"] == number).groupby([predictions[key] for key in keys]).sum() for number in range(len(classes))]
    votes = np.stack(deciding, axis=1)
    # The probability is below 1 and so decides among equal votes only.
    mean["predicted"] = (votes + mean[probability].to_numpy() * 0.5).argmax(axis=1)
    return mean.assign(cells=votes.sum(axis=1))


def write_mistakes(config: Config, family: str, size_px: int, mean: pd.DataFrame, classes: list[str], into: Path) -> None:
    """``mistakes.png`` and ``mistakes.csv``: wrong test chips, those first of which the network is surest."""
    wrong = mean[(mean["kind"] == "test") & (mean["label"] != mean["predicted"])].copy()
    wrong["confidence"] = [row[f"p_{classes[int(row['predicted'])]}"] for _, row in wrong.iterrows()]
    wrong = wrong.sort_values(["confidence", "row"], ascending=[False, True])
    write_table(into / "mistakes.csv", wrong)
    folder, shown = ChipFolder(config.data.family(family)), wrong.head(MOST_MISTAKES)
    # Chips prepared anew since then are no longer those of these predictions.
    shown = shown[folder.rows["name"].reindex(shown["row"]).to_numpy() == shown["name"].to_numpy()]
    images = folder.images(size_px)[shown["row"].to_numpy(int)]
    captions = [
        f"{classes[number]}? {sure:.2f}\n{Path(name).stem[-18:]}"
        for name, number, sure in zip(shown["name"], shown["predicted"], shown["confidence"], strict=True)
    ]
    mistakes_picture(into / "mistakes.png", images, captions)


def write_learning_curves(cells: pd.DataFrame, into: Path) -> None:
    """``learning_curve.png``: every cell's losses, round by round."""
    trained = cells[cells["stage"] == "train"]
    paths = [sorted(cell.product.glob("round-*/curve.csv")) + [cell.product / "curve.csv"] for cell in rows_of(trained)]
    most = max((len(one) for one in paths), default=0)
    rounds = [[pd.read_csv(one[number]) for one in paths if number < len(one) and one[number].exists()] for number in range(most)]
    curves_picture(into / "learning_curve.png", rounds)
