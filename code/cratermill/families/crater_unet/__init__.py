"""The Symmetric U-Net of DeLatte et al., and any other segmenter, that draws craters; then lists of craters, and their scores."""

from __future__ import annotations

from pathlib import Path

from ...core.paths import cell_tag
from ...training.cell import FIRST, CellParams, Datasets, Round
from ..base import Family


class CraterUnet(Family):
    name, short = "crater_unet", "crater_unet"
    maps = True
    metrics = (
        "F1_strict",
        "Precision_strict",
        "Recall_strict",
        "F1_lax",
        "F1_box",
        "AP_strict",
        "AUC",
        "calibration_error",
        "F1_Score",
        "IoU",
        "Accuracy",
    )
    lower_is_better = frozenset({"calibration_error"})

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def data_model(self):
        from ..craters_common.options import CraterData

        return CraterData

    def map_model(self):
        from ..craters_common.options import MapOptions

        return MapOptions

    def make_data(self, config, rows, work) -> dict:
        from ..craters_common.prepare import make_data

        return make_data(config, self.name, rows, work)

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, self.hparams_model().from_plan(params.hparams))

    def task(self, params: CellParams, norm):
        from ...training.task import binary_task

        row = self.hparams_model().from_plan(params.hparams)
        return binary_task(row, row.build_network(1), norm)

    def upstream(self, hparams, split: int) -> list[tuple[str, int, int]]:
        return [(self.name, version, split) for version in hparams.get("union_of") or []]

    def require_evaluated(self, config, version: int, split: int) -> None:
        from .evaluate import members

        members(config, version, split)

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def data_fingerprint(self, config, row):
        from ...samples.store import Store
        from ..craters_common.prepare import folder_of

        return Store(folder_of(config, self.name, row.data)).digest()

    def log_names(self, stage: str, params: CellParams) -> dict[str, str]:
        names = super().log_names(stage, params)
        if stage == "evaluate":
            tag = cell_tag(params.split, params.iteration)
            names |= {f"tests/craters_{tag}.csv": "craters.csv", f"tests/scores_{tag}.csv": "scores.csv"}
        return names

    def gather(self, config, version: int, cells, into: Path) -> list[dict]:
        from ..craters_common.judging import gather

        return gather(cells, into)

    def map_name(self, config, trainings=None) -> str:
        from ..craters_common.maps import map_name

        return map_name(config, self.name)

    def map_cells(self, config, trainings=None) -> list[dict]:
        from .mapping import map_cells

        return map_cells(config, trainings)

    def compose_mark(self, config, trainings):
        from ..craters_common.maps import map_run

        run = map_run(config, self.name)
        versions = trainings.versions(self.name, run.versions[self.name])
        return [trainings.row(self.name, version, run.split).model_dump(mode="json") for version in versions]

    def map_warnings(self, config) -> list[str]:
        from .mapping import map_warnings

        return map_warnings(config)

    def map(self, config, params, workspace) -> dict:
        from .mapping import map_block

        return map_block(config, params, workspace)

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
