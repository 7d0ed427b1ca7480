"""What the families of labelled chips have in common; methods import what they need when called."""

from __future__ import annotations

from ..base import Family


class ChipFamily(Family):
    def data_model(self):
        from .options import ChipData

        return ChipData

    def prepare(self, config, rows, progress, workers=1) -> dict:
        from .prepare import prepare

        return prepare(config, self.name, rows, progress, workers)

    def require_prepared(self, config, rows) -> None:
        from .data import require_drawable
        from .prepare import require_prepared

        require_prepared(config, self.name, rows)
        require_drawable(config, self.name, rows)

    def data_fingerprint(self, config, row):
        from .prepare import ChipFolder

        return ChipFolder(config.data.family(self.name)).digest(row.chip_size_px)
