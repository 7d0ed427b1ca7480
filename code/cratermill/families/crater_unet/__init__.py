"""The Symmetric U-Net of DeLatte et al., and any other segmenter, that draws craters; then lists of craters, and their scores."""

from __future__ import annotations

from pathlib import Path

from ...training.cell import FIRST, CellParams, Datasets, Round
from ..craters_common.family import CraterFamily


class CraterUnet(CraterFamily):
    name, short = "crater_unet", "crater_unet"
    metrics = (*CraterFamily.metrics, "F1_Score", "IoU", "Accuracy")

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def map_model(self):
        from ..craters_common.options import MapOptions

        return MapOptions

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams)

    def task(self, params: CellParams, norm):
        from ...training.task import binary_task

        row = params.hparams
        return binary_task(row, row.build_network(1), norm)

    def upstream(self, hparams, split: int) -> list[tuple[str, int, int]]:
        return [(self.name, version, split) for version in hparams.union_of or []]

    def require_evaluated(self, config, version: int, split: int) -> None:
        from .evaluate import members

        members(config, version, split)

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def map_cells(self, config, trainings=None) -> list[dict]:
        from .planned import map_cells

        return map_cells(config, trainings)

    def map_warnings(self, config) -> list[str]:
        from .planned import map_warnings

        return map_warnings(config)

    def map(self, config, params, workspace) -> dict:
        from .mapping import map_blocks

        return map_blocks(config, params, workspace)

    def composite(self, config, products: list[Path], workspace) -> dict:
        from ..craters_common.composite import composite
        from .mapping import composed_row, joined

        return composite(config, self.name, composed_row(config, products), joined, products, workspace)

    def predict(self, config, pictures, workspace) -> dict:
        from .mapping import predict_pictures

        return predict_pictures(config, pictures, workspace)

    def read_masks(self, config, row, pictures, workspace) -> dict:
        from .mapping import read_masks

        return read_masks(row, pictures, workspace)
