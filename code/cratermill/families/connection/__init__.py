"""EJCONN: which tiles hold the ejecta of a given crater."""

from __future__ import annotations

from pathlib import Path

from ...training.cell import FIRST, CellParams, Datasets, Round
from ..ejecta_common.family import EjectaFamily


class Connection(EjectaFamily):
    name, short = "connection", "conn"

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def make_data(self, config, rows, work) -> dict:
        from ..ejecta_common.prepare import Preparation

        with Preparation.within(work) as data:
            data.positions()
            data.evaluation_tiles()
            data.norm()
            for layout, size_px, radii in sorted({(row.pair_layout, row.tile_size_px, row.pair_crater_radii) for row in rows}):
                data.connection_stack(layout, size_px, radii)
            return {"made": data.made, "warnings": [] if work.check else data.warnings()}

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams)

    def task(self, params: CellParams, norm):
        from ...training.task import binary_task

        row = params.hparams
        return binary_task(row, row.build_network(norm.shape[1] - 1), norm)

    def require_evaluated(self, config, version: int, split: int) -> None:
        from .evaluate import votes

        votes(config, version, split)

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def data_fingerprint(self, config, row):
        from ...samples.store import Store
        from ..ejecta_common.prepare import pair_view

        return Store(config.data.stack("conn_data", pair_view(row.pair_layout, row.tile_size_px, row.pair_crater_radii))).digest()

    own_log_names = {"evaluate": {"positions/eval-pos_{}.csv": "eval-pos.csv"}}

    def gather(self, config, version: int, cells, into: Path) -> list[dict]:
        from .evaluate import gather

        return gather(config, version, cells, into)

    def map(self, config, params, workspace) -> dict:
        from .mapping import map_crater

        return map_crater(config, params, workspace)

    def composite(self, config, products, workspace) -> dict:
        from .mapping import composite

        return composite(config, products, workspace)
