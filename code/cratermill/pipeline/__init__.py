"""The stages of a run, each one function from a cell or plan to files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..core.work import Workspace


def run_cell(plan: Plan, cell: Cell, workspace: Workspace) -> dict | None:
    """Execute one cell of a frozen plan; the one entry that every executor calls."""
    import importlib

    from ..core.machine import steady_threads
    from .load_config import parse_config

    config = parse_config(plan.config, plan.root)
    name = f"{__name__}.{STAGES[cell.stage]}"
    if name not in sys.modules:  # else an earlier cell of the process, or its parent, has loaded them
        workspace.report(doing="loading libraries")
    stage = importlib.import_module(name)
    steady_threads()
    workspace.report(doing=LOADS.get(cell.stage, "reading what was made"))
    return stage.run(config, plan, cell, workspace)


def preload(stages: Collection[str]) -> None:
    """Load what cells of these stages load before their first step, for the parent of a launch's workers."""
    import importlib

    for name in dict.fromkeys(name for stage, names in LIBRARIES.items() if stage in stages for name in names):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


SAME = ("train", "evaluate", "summarise", "composite")
STAGES = {**{name: name for name in SAME}, "map": "mapping", **dict.fromkeys(("analyse", "compare"), "map_analysis")}
"""Stage names of a plan and the modules that do them."""

LOADS = {"train": "loading network and data", "evaluate": "loading network and data", "map": "loading networks"}
"""What a stage does before its first step, for people who wait."""

_NETWORKS = (
    *("torch", "torch._dynamo", "timm", "segmentation_models_pytorch", "cratermill.networks.segmenter"),
    *("cv2", "pandas", "geopandas", "rasterio"),
)
LIBRARIES = {
    "train": (
        *_NETWORKS,
        *("cratermill.pipeline.train", "cratermill.samples.sampler", "sklearn.model_selection"),
        *("pyogrio", "tensorboard.summary.writer.event_file_writer", "pyarrow.parquet", "pyarrow.dataset"),
        *("imageio", "skimage.draw", "skimage.exposure", "skimage.measure", "skimage.segmentation"),  # most of what imgaug loads
    ),
    **dict.fromkeys(("evaluate", "map"), _NETWORKS),
    **dict.fromkeys(("summarise", "composite", "analyse", "compare"), ("matplotlib.pyplot", "pandas", "geopandas", "rasterio")),
}
"""What stages load, one after another."""
