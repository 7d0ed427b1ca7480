"""What the families of labelled chips have in common; methods import what they need when called."""

from __future__ import annotations

from ..base import CHANGE, OF_DRAWN_TILES, Family


class ChipFamily(Family):
    files_marked = True

    def data_model(self):
        from .options import ChipData

        return ChipData

    def first_data(self, name, catalogue):
        return {"chips": f"data/{name}/chips.zip   {CHANGE}: a folder or zip with a folder per class; more keys: docs/few-labels.md"}

    def make_data(self, config, rows, work) -> dict:
        from .prepare import make_data

        return make_data(config, self.name, rows, work)

    def require_prepared(self, config, rows) -> None:
        from .data import require_drawable

        super().require_prepared(config, rows)
        require_drawable(config, self.name, rows)

    def data_fingerprint(self, config, row):
        from .prepare import ChipFolder

        return ChipFolder(config.data.family(self.name)).digest(row.chip_size_px)

    def predict(self, config, pictures, workspace) -> dict:
        from .mapping import predict_pictures

        return predict_pictures(config, self.name, pictures, workspace)

    maps = True
    ignored_keys = OF_DRAWN_TILES

    def map_model(self):
        from .options import MapOptions

        return MapOptions

    def map_name(self, config, trainings=None) -> str:
        from .mapping import map_name

        return map_name(config, self.name)

    def map_cells(self, config, trainings=None) -> list[dict]:
        from .mapping import map_cells

        return map_cells(config, self.name, trainings)

    def map_warnings(self, config) -> list[str]:
        from .mapping import map_warnings

        return map_warnings(config, self.name)

    def map(self, config, params, workspace) -> dict:
        from .mapping import map_part

        return map_part(config, self.name, params, workspace)

    def composite(self, config, products, workspace) -> dict:
        from .mapping import composite

        return composite(config, self.name, products, workspace)
