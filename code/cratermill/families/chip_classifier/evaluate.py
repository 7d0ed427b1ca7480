"""The last round's network and the first round's on the same test chips, and how right the pseudo-labels were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.files import write_json, write_table
from ...core.work import Workspace
from ...training.checkpoint import load
from .. import family_data
from ..chips_common.chipset import UNLABELLED
from ..chips_common.data import parts_of
from ..chips_common.evaluate import answers, cell_folder, test_and_final, write_answers
from .data import pseudo_labels
from .hparams import Hparams

if TYPE_CHECKING:
    from ...config import Config
    from ...training.cell import CellParams
    from .data import PseudoLabels


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """``predictions.csv``, ``y_pred_final.npy``, ``pseudo-labels.csv`` and scores; those of the first round begin with ``stage1_``."""
    hparams: Hparams = params.hparams
    folder, images, chips = parts_of(config, params, hparams)
    labels, trained = folder.rows["label"].to_numpy(), cell_folder(config, params)
    last = hparams.of_round(hparams.rounds - 1)
    test, final = test_and_final(trained / "best.ckpt", hparams, folder, images, chips, last.threshold)
    write_answers(workspace.folder, folder, family_data(config, params.family).classes, test, final)
    metrics = {"test-set": params.split, "iteration": params.iteration, **test.scores(labels)}
    if hparams.rounds > 1:
        first = answers(trained / "round-0" / "best.ckpt", hparams, images, chips.test, hparams.threshold_initial)
        metrics |= {f"stage1_{name}": value for name, value in first.scores(labels).items()}
        before = load(trained / f"round-{hparams.rounds - 2}" / "best.ckpt")
        pseudo = pseudo_labels(before, hparams.of_round(hparams.rounds - 2), images, labels, chips)
        names = folder.rows["name"].to_numpy()[pseudo.rows]
        table = pd.DataFrame({"name": names, "probability": pseudo.probability, "pseudo_label": pseudo.label, "label": labels[pseudo.rows]})
        write_table(workspace.folder / "pseudo-labels.csv", table)
        metrics |= pseudo_scores(pseudo, labels)
    metrics |= {"labelled_chips": len(chips.labelled), "unlabelled_chips": len(chips.unlabelled), "test_chips": len(chips.test)}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def pseudo_scores(pseudo: PseudoLabels, labels: np.ndarray) -> dict[str, float]:
    """How many pseudo-labels there were, and which share of those is right whose label exists but was hidden."""
    true = labels[pseudo.rows]
    known = true != UNLABELLED
    found = {"pseudo_labels": len(pseudo.rows), "temperature": pseudo.temperature}
    return found | ({"pseudo_accuracy": float((true == pseudo.label)[known].mean())} if known.any() else {})
