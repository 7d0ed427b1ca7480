"""EJMAP's hyper-parameter tables: what their rows ask of the data, and a run configuration that names them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.delimited import read_frame
from ..core.files import content_digest, write_text
from ..training.fields import bounds, integer
from .copying import bring_unless_edited
from .source import TABLES

if TYPE_CHECKING:
    from .run_configs import Wanted
    from .source import Source

DEFAULT_SIZE_PX = 224


def cells(path: Path | None, column: str) -> list[str]:
    """The filled cells of a column; none where table or column is missing."""
    if path is None:
        return []
    table = read_frame(path, texts=True)
    return [text.strip() for text in table.get(column, pd.Series(dtype=str)).dropna()]


def sizes_asked(path: Path | None) -> list[int]:
    """The input sizes (``tile_size_px``) that a table's rows ask for; EJMAP's tables have no such column, so that it is 224."""
    found = {size for text in cells(path, "tile_size_px") if (size := _read(integer, text))}
    return sorted(found) or [DEFAULT_SIZE_PX]


def bounds_asked(path: Path | None) -> list[tuple[float, float]]:
    """The annuli (``buffer_bounds``) that a table's rows ask for; cells that hold none are for ``versions check`` to find."""
    return sorted({tuple(pair) for text in cells(path, "buffer_bounds") if (pair := _read(bounds, text))})


def versions_of(path: Path | None) -> list[int]:
    return [version for text in cells(path, "version") if (version := _read(integer, text)) is not None]


def _read(reader, text: str) -> Any:
    from pydantic_core import PydanticCustomError

    try:
        return reader(text)
    except PydanticCustomError:
        return None


def commonest(tables: list[pd.DataFrame], columns: list[str]) -> tuple[int, ...] | None:
    """The values that stand together in these columns most often, e.g. a tile's height and width."""
    counts = Counter(row for table in tables for row in table[columns].itertuples(index=False, name=None))
    return tuple(int(value) for value in counts.most_common(1)[0][0]) if counts else None


def bring_tables(source: Source, folder: Path, digests: dict[str, str], notes: list[str]) -> dict[str, str]:
    """Copy EJMAP's tables as they are into ``folder``; one that was edited there since is left alone. Returns digests to remember."""
    for family in TABLES:
        path = source.table(family)
        if path is None:
            continue
        target, before = folder / path.name, digests.get(family)
        digests[family] = bring_unless_edited(path, target, before)
        if content_digest(path) != content_digest(target):
            notes.append(f"{target.name} was edited in {folder}: it is left as it is")
    return digests


def config_content(
    source: Source, folder: str, data: str, norm: dict | None, tiles: dict, results: dict[str, list[int]], wanted: Wanted
) -> dict[str, Any]:
    """A run configuration for imported data: EJMAP's sizes and norm, and what its ``.cfg`` files train and map; where they train nothing,
    of each table the last version with results, or the first."""
    content: dict[str, Any] = {"name": Path(folder).name, "data": data, "tiles": tiles}
    if norm:
        content["img_norm"] = norm
    train = {}
    for family, name in TABLES.items():
        known = versions_of(source.table(family))
        if wanted.train:
            if family in wanted.train:
                train[family] = {"table": f"{folder}/{name}", **wanted.train[family]}
            continue
        chosen = [version for version in results.get(family, []) if version in known][-1:] or known[:1]
        if chosen:
            train[family] = {"table": f"{folder}/{name}", "versions": chosen}
    return content | ({"train": train} if train else {}) | ({"map": wanted.map} if wanted.map else {})


def write_config(path: Path, content: dict[str, Any], source: Source) -> bool:
    """Write the run configuration unless there is one; returns whether it was written."""
    import yaml

    if path.exists():
        return False
    head = f"# Made by import-ejmap from {source.folder.name!r} and never written again: change what you like.\n"
    write_text(path, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120))
    return True
