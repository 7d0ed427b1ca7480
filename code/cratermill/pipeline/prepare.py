"""Make the data that the wanted rows train on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.progress import Progress
from ..families import get_family
from .planning import note_preparation

if TYPE_CHECKING:
    from ..config import Config
    from .planning import Rows


def prepare(config: Config, rows: Rows, progress: Progress, workers: int = 1) -> dict[str, dict]:
    """Prepare every family's data in turn; what is there and up to date is left alone. Returns what was made, by family."""
    check_body(config)
    made = {name: get_family(name).prepare(config, found, progress, workers) for name, found in rows.items()}
    note_preparation(config, rows)
    return made


def check_body(config: Config) -> None:
    """Raise ``InputError`` where the config names another body than the mosaic's, whichever family uses it."""
    from ..geo.mosaic import Mosaic, require_body

    if config.run.body and config.mosaic.exists():
        with Mosaic.open(config.mosaic) as mosaic:
            require_body(mosaic, config.run.body)
