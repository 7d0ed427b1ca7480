"""docs/api.md, made from the docstrings of what ``cratermill`` offers to notebooks. ``python -m tests.docs.api`` writes it anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import cratermill

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = """# The Python API

```python
from cratermill import open_mosaic, sample_tile

mosaic = open_mosaic("data/demo/mosaics/cylindrical_mosaic.tif", ["b1", "b1 / b3"])
tile = sample_tile(mosaic, lon=179.9, lat=-88, radius_m=90e3)
tile.rio.to_raster("tile.tif")
```

Two notebooks show it at work: [quick start](notebooks/quick-start.ipynb) and [explore a map](notebooks/explore-a-map.ipynb). Rasters are
xarray's, read lazily by whatever dask scheduler is active; tables are pandas' and geopandas'. Importing `cratermill` loads none of these.
"""
ORDER = ("open_mosaic", "sample_tile", "open_map", "open_craters", "open_table", "open_leaderboard")


def page() -> str:
    names = [*ORDER, *(name for name in cratermill.__all__ if name not in ORDER)]
    return "\n".join([HEAD, *(_entry(name, getattr(cratermill, name)) for name in names)])


def _entry(name: str, thing: object) -> str:
    text = re.sub(r"``", "`", inspect.getdoc(thing) or "").replace(":func:", "")
    if isinstance(thing, type):
        return f"## `{name}`\n\n{text}\n"
    signature = _signature(thing)
    return f"## `{name}`\n\n```python\n{name}{signature}\n```\n\n{text}\n"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parts, starred = [], False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            parts, starred = [*parts, "*"], True
        mark = "**" if one.kind is one.VAR_KEYWORD else ""
        default = "" if one.default is one.empty else f" = {one.default!r}"
        parts.append(f"{mark}{one.name}: {one.annotation}{default}")
    return "(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {signature.return_annotation}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
