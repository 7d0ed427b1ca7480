"""EJSEG: where on a tile the ejecta of its crater lie; and the map made of it."""

from __future__ import annotations

from ...core.paths import cell_tag
from ...training.cell import FIRST, CellParams, Datasets, Round
from ..ejecta_common.family import EjectaFamily


class Ejecta(EjectaFamily):
    name, short = "ejecta", "ejc"

    def hparams_model(self):
        from .hparams import Hparams

        return Hparams

    def make_data(self, config, rows, work) -> dict:
        from ..ejecta_common.prepare import Preparation

        with Preparation.within(work) as data:
            data.positions()
            data.evaluation_tiles()
            data.norm()
            data.annuli([tuple(row.buffer_bounds) for row in rows if row.accept_midinput])
            for size_px in sorted({row.tile_size_px for row in rows}):
                data.ejecta_stack(size_px)
            return {"made": data.made, "warnings": [] if work.check else data.warnings()}

    def datasets(self, config, params: CellParams, round: Round = FIRST) -> Datasets:
        from .data import datasets

        return datasets(config, params, params.hparams)

    def task(self, params: CellParams, norm):
        from ...training.task import binary_task

        row = params.hparams
        bands = norm.shape[1] - 1
        size = row.midinput_size(bands)
        return binary_task(row, row.build_network(bands), norm, list(range(size)) if size else None)

    def upstream(self, hparams, split) -> list[tuple[str, int, int]]:
        version = hparams.eval_conn_version
        return [] if version is None else [("connection", version, split)]

    def evaluate(self, config, params: CellParams, workspace) -> dict:
        from .evaluate import evaluate

        return evaluate(config, params, workspace)

    def data_fingerprint(self, config, row):
        from ...samples.store import Store
        from ..ejecta_common.prepare import square_view

        return Store(config.data.stack("ejc_data", square_view(row.tile_size_px))).digest()

    def log_names(self, stage: str, params: CellParams) -> dict[str, str]:
        if stage != "evaluate":
            return super().log_names(stage, params)
        conn = params.hparams.eval_conn_version
        return {f"tests/eval_conn-version-{'none' if conn is None else conn}_{cell_tag(params.split, params.iteration)}.json": "eval.json"}

    joining_room = 2.5  # 2.3 for rasters of which no two share ground (docs/planet-scale.md); parts that do make less of it
    maps_with = ("connection",)
    map_keys = EjectaFamily.map_keys | {"show", "colours", "overlap_alpha", "threshold", "smallest_cluster_px"}

    def map_model(self):
        from .options import MapOptions

        return MapOptions

    def map_cells(self, config, trainings=None):
        from .. import map_options

        # Only where it is asked for: maps of before stay as they are.
        asked = map_options(config, self.name).model_dump(exclude_defaults=True)
        return [cell | asked for cell in super().map_cells(config, trainings)]

    def map(self, config, params, workspace) -> dict:
        from .mapping import map_crater

        return map_crater(config, params, workspace)

    def composite(self, config, products, workspace) -> dict:
        from .composite import composite

        return composite(config, products, workspace)
