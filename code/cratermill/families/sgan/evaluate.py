"""The tested classifier on chips it has not seen, and the results folder of one version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import link_or_copy, write_json
from ...core.work import Workspace
from .. import family_data
from ..chips_common.data import parts_of
from ..chips_common.evaluate import cell_folder, test_and_final, write_answers
from ..chips_common.few_labels import draw_few_labels
from ..chips_common.gather import gather_chips
from .hparams import Hparams

if TYPE_CHECKING:
    from ...config import Config
    from ...training.cell import CellParams


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """``predictions.csv``, ``y_pred_final.npy`` where there are chips to predict, and scores on the test chips."""
    hparams: Hparams = params.hparams
    folder, images, chips = parts_of(config, params, hparams)
    labels = folder.rows["label"].to_numpy()
    test, final = test_and_final(cell_folder(config, params) / "best.ckpt", hparams, folder, images, chips)
    write_answers(workspace.folder, folder, family_data(config, params.family).classes, test, final)
    metrics = {"test-set": params.split, "iteration": params.iteration, **test.scores(labels)}
    metrics |= {"labelled_chips": len(chips.labelled), "unlabelled_chips": len(chips.unlabelled), "test_chips": len(chips.test)}
    write_json(workspace.folder / "eval.json", metrics)
    return metrics


def gather(config: Config, version: int, cells, into: Path) -> list[dict]:
    """Pictures and predictions of the version, the first cell's sheets of samples, and the curve over numbers of labels."""
    gather_chips(config, "sgan", version, cells, into)
    for cell in cells[cells["stage"] == "train"].itertuples():
        sheet = cell.product / "samples" / "last.png"
        if sheet.exists():
            link_or_copy(sheet, into / "samples" / f"samples_test-set-{cell.split}_iteration-{cell.iteration}.png")
    draw_few_labels(config.project)
    return []
