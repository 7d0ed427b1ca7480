"""What the families of labelled chips have in common; methods import what they need when called."""

from __future__ import annotations

from ..base import Family


class ChipFamily(Family):
    def data_model(self):
        from .options import ChipData

        return ChipData

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
