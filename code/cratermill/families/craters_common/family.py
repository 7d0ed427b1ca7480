"""What the families of craters have in common; methods import what they need when called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import CHANGE, OF_DRAWN_TILES, Family

if TYPE_CHECKING:
    import pandas as pd

    from ...config import Config
    from ...samples.steps import Steps
    from ..members import Trainings


CRATERS, SCORES, CURVE = "craters.csv", "scores.csv", "precision_recall.csv"
COMPLETENESS, NEW, MISSED = "completeness.png", "new.png", "missed.png"
LEFT = (CRATERS, SCORES, CURVE, COMPLETENESS, NEW, MISSED)
"""What a cell's evaluation leaves."""


class CraterFamily(Family):
    files_marked = True
    maps = True
    obeys_precision = True
    by_band = False
    """Whether bands of several rasters are channels of their own; else pictures are grey."""
    ignored_keys = OF_DRAWN_TILES
    metrics: tuple[str, ...] = (
        "F1_strict",
        "Precision_strict",
        "Recall_strict",
        "F1_lax",
        "F1_box",
        "AP_strict",
        "AUC",
        "calibration_error",
    )
    lower_is_better = frozenset({"calibration_error"})

    def data_model(self):
        from .options import CraterData

        return CraterData

    def first_data(self, name, catalogue):
        tile = f"256   {CHANGE}: several times the largest crater that the row looks for"
        return {"kind": "mosaic", "catalogue": catalogue, "tile_px": tile}

    def make_data(self, config: Config, rows: list[Any], work: Steps) -> dict[str, Any]:
        from .prepare import make_data

        return make_data(config, self.name, rows, work, self.by_band)

    def data_fingerprint(self, config: Config, row: Any) -> Any:
        from ...samples.store import Store
        from .prepare import folder_of

        return Store(folder_of(config, self.name, row.data)).digest()

    own_log_names = {"evaluate": {"tests/craters_{}.csv": "craters.csv", "tests/scores_{}.csv": "scores.csv"}}

    def gather(self, config: Config, version: int, cells: pd.DataFrame, into: Path) -> list[dict]:
        """Crater lists, scores and completeness by size, and sheets of new and missed craters of all evaluated cells, side by side in
        ``results/``."""
        from ...core.files import copy_file
        from ...core.frames import rows_of

        for cell in rows_of(cells[cells["stage"] == "evaluate"]):
            tag = f"test-set-{cell.split}_iteration-{cell.iteration}"
            for name in (name for name in LEFT if (cell.product / name).exists()):  # earlier versions made fewer
                copy_file(cell.product / name, into / "craters" / f"{Path(name).stem}_{tag}{Path(name).suffix}")
        return []

    def map_name(self, config: Config, trainings: Trainings | None = None) -> str:
        from .maps import map_name

        return map_name(config, self.name)

    def compose_mark(self, config: Config, trainings: Trainings) -> Any:
        """The rows, by which a list is made of what the blocks saw, and the list that it is scored against."""
        from ...samples.inputs import digest
        from .maps import map_run

        run = map_run(config, self.name)
        versions = trainings.versions(self.name, run.versions[self.name])
        known = [digest(config.data.require(config.path(run.catalogue), "the crater list"))] if run.catalogue else []
        return [*(trainings.row(self.name, version, run.split).model_dump(mode="json") for version in versions), *known]
