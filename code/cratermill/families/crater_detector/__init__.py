"""A detector of craters over all sizes: circles with a calibrated confidence, found at several resolutions of the same ground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.paths import cell_tag
from ...training.cell import FIRST, CellParams, Datasets, Round
from ..base import Family

if TYPE_CHECKING:
    import pandas as pd

    from ...config import Config
    from ...samples.steps import Steps
    from ..members import Trainings
    from ..pictures import Picture


class CraterDetector(Family):
    name, short = "crater_detector", "crater_detector"
    maps = True
    metrics = ("F1_strict", "Precision_strict", "Recall_strict", "F1_lax", "F1_box", "AP_strict", "AUC", "calibration_error")
    lower_is_better = frozenset({"calibration_error"})

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def data_model(self):
        from ..craters_common.options import CraterData

        return CraterData

    def map_model(self):
        from .options import MapOptions

        return MapOptions

    def make_data(self, config: Config, rows: list[Any], work: Steps) -> dict[str, Any]:
        from ..craters_common.prepare import make_data

        return make_data(config, self.name, rows, work)

    def datasets(self, config: Config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, self.hparams_model().from_plan(params.hparams))

    def task(self, params: CellParams, norm: Any):
        from .task import build_task

        return build_task(self.hparams_model().from_plan(params.hparams), norm)

    def evaluate(self, config: Config, params: CellParams, workspace: Any) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def data_fingerprint(self, config: Config, row: Any) -> Any:
        from ...samples.store import Store
        from ..craters_common.prepare import folder_of

        return Store(folder_of(config, self.name, row.data)).digest()

    def log_names(self, stage: str, params: CellParams) -> dict[str, str]:
        names = super().log_names(stage, params)
        if stage == "evaluate":
            tag = cell_tag(params.split, params.iteration)
            names |= {f"tests/craters_{tag}.csv": "craters.csv", f"tests/scores_{tag}.csv": "scores.csv"}
        return names

    def gather(self, config: Config, version: int, cells: pd.DataFrame, into: Path) -> list[dict]:
        from ..craters_common.judging import gather

        return gather(cells, into)

    def map_name(self, config: Config, trainings: Trainings | None = None) -> str:
        from ..craters_common.maps import map_name

        return map_name(config, self.name)

    def map_cells(self, config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
        from .mapping import map_cells

        return map_cells(config, trainings)

    def compose_mark(self, config: Config, trainings: Trainings) -> Any:
        from .mapping import compose_mark

        return compose_mark(config, trainings)

    def map_warnings(self, config: Config) -> list[str]:
        from .mapping import map_warnings

        return map_warnings(config)

    def map(self, config: Config, params: dict[str, Any], workspace: Any) -> dict:
        from .mapping import map_block

        return map_block(config, params, workspace)

    def composite(self, config: Config, products: list[Path], workspace: Any) -> dict:
        from ..craters_common.composite import composite
        from .mapping import composed

        return composite(config, self.name, *composed(config, products), products, workspace)

    def predict(self, config: Config, pictures: Sequence[Picture], workspace: Any) -> dict[str, Any]:
        from .mapping import predict_pictures

        return predict_pictures(config, pictures, workspace)
