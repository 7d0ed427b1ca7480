"""The lists in docs/input.md, made from what the readers go by. ``python -m tests.docs.input_tables`` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from cratermill.core import delimited, text
from cratermill.craters import catalogue, columns

PAGE = Path(__file__).parents[2] / "docs" / "input.md"
MARKED = re.compile(r"<!-- input: (\w+) -->(.*?)<!-- end -->", re.DOTALL)


def lists() -> dict[str, str]:
    """Each marked place's name and what stands there."""
    return {
        "formats": ", ".join(f"`{suffix}`" for suffix in catalogue.FORMATS),
        "encodings": ", ".join(text.ENCODINGS),
        "separators": ", ".join(delimited.SEPARATORS.values()),
        "columns": f"\n{_columns()}\n",
    }


def _columns() -> str:
    sizes: dict[tuple[str, str], list[str]] = {}
    for name, unit_m, half in columns.SIZE_NAMES:
        unit = {1.0: "m", 1000.0: "km", None: "`units`, else m"}[unit_m]
        sizes.setdefault(("diameter" if half == 0.5 else "radius", unit), []).append(name)
    rows = [
        ("number of the crater", "", columns.FID_NAMES),
        ("longitude, east positive", "degrees", columns.LON_NAMES),
        ("longitude, west positive", "degrees", columns.WEST_NAMES),
        ("coordinate system", "", columns.SYSTEM_NAMES),
        ("latitude", "degrees", columns.LAT_NAMES),
        *((meaning, unit, names) for (meaning, unit), names in sizes.items()),
        ("class by which comparisons score", "", columns.CLASS_NAMES),
    ]
    lines = [f"| {meaning} | {unit} | {', '.join(f'`{name}`' for name in names)} |" for meaning, unit, names in rows]
    return "\n".join(["| meaning | unit | names |", "|---|---|---|", *lines])


def filled(page: str) -> str:
    made = lists()
    return MARKED.sub(lambda found: f"<!-- input: {found[1]} -->{made[found[1]]}<!-- end -->", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
