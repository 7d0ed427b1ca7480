"""Crater lists of several maps, families or people joined to one that says how many had each crater, and how far they were apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError
from ..core.notices import notice
from .counts import read_lists
from .map_sources import results_folder

if TYPE_CHECKING:
    from pandas import DataFrame

    from ..geo.bodies import Body

FORMATS = (".gpkg", ".parquet", ".csv")
"""Not CraterStats' files: they state an area that was counted, and lists don't say theirs."""


def join_lists(paths: Sequence[Path], *, votes: int = 1, body: Body | None = None, into: Path | None = None) -> dict[str, Any]:
    """``craters.gpkg``, ``.parquet`` and ``.csv`` of the craters that at least ``votes`` of the lists have, by the strict rule.

    A list is a file or a map's folder; its ``confidence`` counts, or 1 where it has none. ``body``: of lists that name none.
    InputError for fewer lists than two or than votes, and for lists of several bodies or of none.
    """
    import pandas as pd

    from ..craters.catalogue import write_catalogue
    from ..craters.merge import UNION, union
    from ..craters.outputs import crater_table, spreads_in_km

    if not 1 <= votes <= len(paths) or len(paths) < 2:
        raise InputError(f"{votes} votes of {len(paths)} lists", valid="two or more lists, and from 1 to as many votes")
    lists, body = read_lists(paths, body)
    arrays = [sure(one, path)[["lon", "lat", "radius_m", "confidence"]].to_numpy(float) for one, path in zip(lists, paths, strict=True)]
    table = crater_table(spreads_in_km(pd.DataFrame(union(arrays, votes, body), columns=list(UNION)).astype({"votes": int})))
    folder = into or results_folder(Path("joined_" + "_".join(path.resolve().stem for path in paths)))
    files = [write_catalogue(folder / f"craters{suffix}", table, body) for suffix in FORMATS]
    had = {str(count): int((table["votes"] == count).sum()) for count in range(votes, len(paths) + 1)}
    return {
        "lists": {str(path): len(one) for path, one in zip(paths, lists, strict=True)},
        "craters": len(table),
        "by_votes": had,
        "folder": str(folder),
        "files": [path.name for path in files],
    }


def sure(craters: DataFrame, path: Path) -> DataFrame:
    """The list with a confidence between 0 and 1 of every crater."""
    if "confidence" not in craters:
        return craters.assign(confidence=1.0)
    confidence = np.asarray(craters["confidence"], float)
    if not ((confidence >= 0) & (confidence <= 1)).all():
        notice(f"{path}: its confidences aren't all between 0 and 1; each of its craters counts as sure")
        return craters.assign(confidence=1.0)
    return craters
