"""A detector of craters over all sizes: circles with a calibrated confidence, found at several resolutions of the same ground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...training.cell import FIRST, CellParams, Datasets, Round
from ..craters_common.family import CraterFamily

if TYPE_CHECKING:
    from ...config import Config
    from ..members import Trainings
    from ..pictures import Picture


class CraterDetector(CraterFamily):
    name, short = "crater_detector", "crater_detector"
    by_band = True

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def map_model(self):
        from .options import MapOptions

        return MapOptions

    def datasets(self, config: Config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams)

    def task(self, params: CellParams, norm: Any):
        from .task import build_task

        return build_task(params.hparams, norm)

    def evaluate(self, config: Config, params: CellParams, workspace: Any) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def map_cells(self, config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
        from .planned import map_cells

        return map_cells(config, trainings)

    def compose_mark(self, config: Config, trainings: Trainings) -> Any:
        """The evaluations besides: they say how sure a crater is, and from where on it is listed."""
        from ..craters_common.maps import map_run

        run = map_run(config, self.name)
        versions = trainings.versions(self.name, run.versions[self.name])
        return [super().compose_mark(config, trainings), [trainings.evaluations(self.name, version, run.split) for version in versions]]

    def map_warnings(self, config: Config) -> list[str]:
        from .planned import map_warnings

        return map_warnings(config)

    def map(self, config: Config, params: dict[str, Any], workspace: Any) -> dict:
        from .mapping import map_blocks

        return map_blocks(config, params, workspace)

    def composite(self, config: Config, products: list[Path], workspace: Any) -> dict:
        from ..craters_common.composite import composite
        from .mapping import composed

        return composite(config, self.name, *composed(config, products), products, workspace)

    def predict(self, config: Config, pictures: Sequence[Picture], workspace: Any) -> dict[str, Any]:
        from .mapping import predict_pictures

        return predict_pictures(config, pictures, workspace)
