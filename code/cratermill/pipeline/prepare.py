"""Make the data that the wanted rows train on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.locks import held
from ..core.progress import Progress
from ..families import get_family

if TYPE_CHECKING:
    from ..config import Config
    from .planning import Rows


def prepare(config: Config, rows: Rows, progress: Progress, workers: int = 1) -> dict[str, dict]:
    """Prepare every family's data in turn; what is there and up to date is left alone. Returns what was made, by family.

    Whoever else prepares the same data folder is waited for, and named while that lasts.
    """
    from ..samples.steps import Steps

    doing = f"prepares {config.data.root}"
    with held(config.data.lock, doing, math.inf, lambda holder: progress(f"waiting: {holder.words} {doing}", 0, 1)):
        check_body(config)
        earlier = Steps(config).of_earlier_version
        made = {name: get_family(name).prepare(config, found, progress, workers) for name, found in rows.items()}
    if earlier and made:
        first = next(iter(made.values()))
        note = f"{config.data.root} was prepared by an earlier version of cratermill, which noted less: what is needed was made again"
        first["warnings"] = [*first.get("warnings", []), note]
    return made


def check_body(config: Config) -> None:
    """Raise ``InputError`` where the config names another body than the mosaic's, whichever family uses it."""
    from ..geo.mosaic import Mosaic, require_body

    if config.run.body and config.mosaic.exists():
        with Mosaic.open(config.mosaic) as mosaic:
            require_body(mosaic, config.run.body)
