"""Latents of craters: crops, an autoencoder, clusters, and pictures on the latent plane and on the mosaic."""

from __future__ import annotations

from pathlib import Path

from ...training.cell import FIRST, CellParams, Datasets, Round
from ..base import OF_DRAWN_TILES, Family


class Autoencoder(Family):
    files_marked = True
    name = short = "autoencoder"
    metrics = ("test_loss", "silhouette", "seed_ARI", "ARI", "NMI", "V_measure")
    lower_is_better = frozenset({"test_loss"})
    maps = maps_a_list = True
    ignored_keys = OF_DRAWN_TILES | {"splits.hold_out"}

    def captions(self):
        from .mapping import CAPTIONS

        return CAPTIONS

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def data_model(self):
        from .options import CropData

        return CropData

    def first_data(self, name, catalogue):
        return {"catalogue": catalogue}

    def map_model(self):
        from .options import MapOptions

        return MapOptions

    def make_data(self, config, rows, work) -> dict:
        from .prepare import make_data

        return make_data(config, rows, work)

    def require_prepared(self, config, rows) -> None:
        from .weights_files import file_of

        super().require_prepared(config, rows)
        for row in rows:
            if row.weights:
                file_of(Path(row.weights))

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams)

    def task(self, params: CellParams, norm):
        from .task import LatentTask

        row = params.hparams
        return LatentTask(row.build_network(), row)

    def data_fingerprint(self, config, row):
        from .prepare import stack_of

        digest = stack_of(config, row).digest()
        if not row.weights:
            return digest
        from ...core.files import content_digest
        from .weights_files import file_of

        return [digest, content_digest(file_of(Path(row.weights)))]

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def gather(self, config, version: int, cells, into: Path) -> list[dict]:
        from .gather import gather

        return gather(config, version, cells, into)

    def map_name(self, config, trainings=None) -> str:
        from .mapping import map_name

        return map_name(config)

    def map_cells(self, config, trainings=None) -> list[dict]:
        from .mapping import map_cells

        return map_cells(config, trainings)

    def compose_mark(self, config, trainings):
        from .mapping import planned_row

        return planned_row(config, trainings).model_dump(mode="json")

    def map_warnings(self, config) -> list[str]:
        from .mapping import map_warnings

        return map_warnings(config)

    def map(self, config, params, workspace) -> dict:
        from .mapping import make_chunk

        return make_chunk(config, params, workspace)

    def composite(self, config, products, workspace) -> dict:
        from .mapping import join

        return join(config, products, workspace)

    def predict(self, config, pictures, workspace) -> dict:
        from .mapping import predict_pictures

        return predict_pictures(config, pictures, workspace)
