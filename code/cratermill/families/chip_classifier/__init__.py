"""The pseudo-label CNN: a first network labels the unlabelled chips it is sure of, a second one trains on both."""

from __future__ import annotations

from pathlib import Path

from ...training.cell import FIRST, CellParams, Datasets, Round
from ..chips_common.family import ChipFamily


class ChipClassifier(ChipFamily):
    name, short = "chip_classifier", "chip_classifier"
    metrics = ("Macro_F1", "Balanced_Accuracy", "Accuracy", "Precision", "Recall", "pseudo_labels")

    def captions(self):
        from ..chips_common.pictures import CAPTIONS

        return CAPTIONS

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def rounds(self, hparams) -> int:
        return hparams.rounds

    def round_hparams(self, hparams, number: int):
        return hparams.of_round(number)

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams, round)

    def task(self, params: CellParams, norm):
        from ..chips_common.task import ClassifierTask

        row = params.hparams
        return ClassifierTask(row, row.build_network(), norm, classes=2, threshold=row.threshold)

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def result_warnings(self, metrics: list[dict]) -> list[str]:
        labelled = [one["pseudo_labels"] for one in metrics if "pseudo_labels" in one]
        none = sum(number == 0 for number in labelled)
        if not none:
            return []
        text = f"in {none} of {len(labelled)} trainings no chip got a pseudo-label, so the last round learned from the labelled chips alone"
        return [text + "; raise pseudo_below or lower pseudo_above"]

    own_log_names = {"evaluate": {"tests/predictions_{}.csv": "predictions.csv", "tests/pseudo-labels_{}.csv": "pseudo-labels.csv"}}

    def gather(self, config, version: int, cells, into: Path) -> list[dict]:
        from ..chips_common.few_labels import draw_few_labels
        from ..chips_common.gather import gather_chips

        gather_chips(config, self.name, version, cells, into)
        draw_few_labels(config.project)
        return []
