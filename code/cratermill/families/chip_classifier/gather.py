"""The results folder of one version."""

from __future__ import annotations

from pathlib import Path

from ..chips_common.few_labels import draw_few_labels
from ..chips_common.gather import gather_chips


def gather(config, version: int, cells, into: Path) -> list[dict]:
    gather_chips(config, "chip_classifier", version, cells, into)
    draw_few_labels(config.project)
    return []
