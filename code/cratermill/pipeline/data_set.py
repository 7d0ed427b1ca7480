"""What a version is trained and tested on, as part of its identity: scores on different data are never ranked together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError
from ..core.files import content_digest, fingerprint

if TYPE_CHECKING:
    from ..config import Config

NOT_RECORDED = "data not recorded"
"""Of results that were made, or imported, before this was noted."""


def data_set(config: Config, family: str) -> str:
    """``Mercury · cylindrical_mosaic.tif · data/demo · 3f2a91c0``: body, mosaic, data folder, and a hash of what they hold.

    The hash changes with the mosaic, the crater list, the drawn tiles, the TV-Test splits and the files that the family's data keys
    name. It doesn't change with a row, so that versions of one launch stand in one leaderboard.
    """
    run = config.run
    own = run.train[family].data if family in run.train else {}
    splits: Any = None if config.data.az_positions.exists() else [run.splits.model_dump(mode="json"), run.seed]
    digests = [_digest(path) for path in _sources(config, own)]
    mark = fingerprint([digests, own, splits])[:8]
    mosaic = config.mosaic.name if config.mosaic.exists() else ""
    return " · ".join(filter(None, (_body(config), mosaic, run.data, mark)))


def _sources(config: Config, own: dict[str, Any]) -> Iterator[Path]:
    data = config.data
    there = (config.mosaic, data.craters, data.az_positions, data.human_positions, data.drawing_log, data.mask(0).parent)
    yield from (path for path in there if path.exists())
    texts = [text for value in own.values() for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    yield from (path for text in texts if 0 < len(text) < 250 and (path := config.path(text)).exists())  # no formulas


def _digest(path: Path) -> str:
    """Of a folder by its files' names and sizes: it may hold as many chips as there are craters."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return fingerprint([[one.relative_to(path).as_posix(), one.stat().st_size] for one in files])
    return content_digest(path, whole_below=2**24, pieces=16)


def _body(config: Config) -> str:
    from ..geo.mosaic import Mosaic

    try:
        with Mosaic.open(config.mosaic) as mosaic:
            return mosaic.grid.body.name.capitalize()
    except (CratermillError, OSError):
        return (config.run.body or "").capitalize()
