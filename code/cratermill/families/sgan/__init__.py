"""Semi-supervised GAN (Salimans et al. 2016): a classifier of K classes that also learns from unlabelled and from generated chips."""

from __future__ import annotations

from pathlib import Path

from ...training.cell import FIRST, CellParams, Datasets, Round
from ..chips_common.family import ChipFamily


class Sgan(ChipFamily):
    name, short = "sgan", "sgan"
    metrics = ("Balanced_Accuracy", "Macro_F1", "Accuracy", "Precision", "Recall")

    def captions(self):
        from ..chips_common.pictures import CAPTIONS

        return CAPTIONS

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams)

    def task(self, params: CellParams, norm):
        from .task import build_task

        return build_task(params.hparams, norm)

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    own_log_names = {"train": {"samples/samples_{}.png": "samples/last.png"}, "evaluate": {"tests/predictions_{}.csv": "predictions.csv"}}

    def gather(self, config, version: int, cells, into: Path) -> list[dict]:
        from .evaluate import gather

        return gather(config, version, cells, into)
