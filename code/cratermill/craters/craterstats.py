"""CraterStats' text files: ``.scc`` (spatial crater counts) and ``.diam`` (diameters, an area, and maybe positions).

Both hold ``key = value`` lines and tables ``name = {column, column`` … ``}``; diameters are kilometres. Format: the sample files and
reader of Greg Michael's craterstats (BSD), https://github.com/ggmichael/craterstats.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from ..core.errors import InputError
from ..core.files import atomic_path
from ..core.text import read_text
from ..geo.bodies import Body

SUFFIXES = (".scc", ".diam")
_TABLE = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)$")
_VALUE = re.compile(r"^\s*([\w -]+?)\s*=\s*(.*)$")
# OpenCraterTool writes "a-axis radius"; CraterTools "a_axis_radius".
_RADIUS_KEYS = {axis: (f"{axis}_axis_radius", f"{axis}-axis radius") for axis in "ac"}


def read_craters(path: Path) -> tuple[dict[str, list[str]], Body | None]:
    """The columns of the crater table as text, and the body if the file names its axes."""
    values, tables = _parse(path)
    if "crater" not in tables:
        raise InputError(f"{path} has no crater table", valid="a table that starts with: crater = {diam, fraction, lon, lat")
    names, rows = tables["crater"]
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}, _body(values, path)


def write_craters(path: Path, craters, body: Body, boundary: list[tuple[float, float]] | None = None) -> Path:
    """Write craters (a table with lon, lat, radius_m), counted within ``boundary`` (lon, lat of its corners,
    anticlockwise; default: the whole body)."""
    area_km2 = surface_area_m2(body, boundary) / 1e6
    head = f"# area, km^2\narea = {area_km2:.6f}\n#\ncrater = {{diameter, fraction, lon, lat\n"
    if path.suffix != ".diam":
        head = _scc_head(body, boundary or [(-180, -90), (180, -90), (180, 90), (-180, 90)], area_km2)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(head)
        for radius, lon, lat in zip(craters.radius_m, craters.lon, craters.lat, strict=True):
            file.write(f"{2 * radius / 1000:.6f}\t1\t{lon:.8f}\t{lat:.8f}\n")
        file.write("}\n")
    return path


def counted_area(path: Path) -> float | None:
    """The area in km² that a file says its craters were counted on."""
    values, _ = _parse(path)
    text = values.get("area") or values.get("total_area") or ""
    number = re.match(r"[0-9.eE+-]+", text)
    try:
        return float(number[0]) if number else None
    except ValueError:
        return None


def surface_area_m2(body: Body, boundary: list[tuple[float, float]] | None = None) -> float:
    """Area of the whole ellipsoid, or of a polygon with geodesics as sides and its corners anticlockwise, seen from above."""
    if boundary:
        lons, lats = zip(*boundary, strict=True)
        area = body.geod.polygon_area_perimeter(lons, lats)[0]
        # Of the two sides of a boundary the library takes the smaller, and says by the sign that ours is the other.
        return area if area >= 0 else area + surface_area_m2(body)
    a, b = body.semi_major_m, body.semi_minor_m
    if body.is_sphere:
        return 4 * math.pi * a * a
    if b < a:  # oblate
        e = math.sqrt(1 - (b / a) ** 2)
        return 2 * math.pi * a * a * (1 + (1 - e * e) / e * math.atanh(e))
    e = math.sqrt(1 - (a / b) ** 2)
    return 2 * math.pi * a * a * (1 + b / (a * e) * math.asin(e))


def _scc_head(body: Body, boundary: list[tuple[float, float]], area_km2: float) -> str:
    a_km, c_km = body.semi_major_m / 1000, body.semi_minor_m / 1000
    closed = [*boundary, boundary[0]]
    corners = "\n".join(f"{number}\t1\text\t{lon}\t{lat}" for number, (lon, lat) in enumerate(closed, start=1))
    return f"""# Spatial crater count
#
# Ellipsoid axes:
a_axis_radius = {a_km:.6f} <km>
b_axis_radius = {a_km:.6f} <km>
c_axis_radius = {c_km:.6f} <km>
coordinate_system_name = {body.name}
#
# area_shapes:
unit_boundary = {{vertex, sub_area, tag, lon, lat
{corners}
}}
#
Total_area = {area_km2:.6f} <km^2>
#
# crater_diameters:
crater = {{diam, fraction, lon, lat
"""


def _parse(path: Path) -> tuple[dict[str, str], dict[str, tuple[list[str], list[list[str]]]]]:
    values: dict[str, str] = {}
    tables: dict[str, tuple[list[str], list[list[str]]]] = {}
    name, opened = None, 0
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        where = f"{path}, line {number}"
        line = re.split("[#;]", line, maxsplit=1)[0].strip()
        if name is not None:
            # The closing brace may stand behind the last row.
            if text := line.replace("}", " ").strip():
                tables[name][1].append(_cells(text, tables[name][0], name, where))
            name = None if "}" in line else name
        elif table := _TABLE.match(line):
            name, opened = table[1].lower(), number
            if name in tables:
                raise InputError(
                    f"{where}: a second table {name}", valid="one table of each name", next_step="join the tables, or split the file"
                )
            tables[name] = (_columns(table[2], where), [])
        elif value := _VALUE.match(line):
            values[value[1].strip().lower()] = value[2].strip()
    if name is not None:
        raise InputError(
            f"{path} ends in the table {name} that begins in line {opened}",
            valid="tables that end with }",
            next_step="copy the file again: it is cut off",
        )
    return values, tables


def _columns(text: str, where: str) -> list[str]:
    names = [name.strip().lower() for name in text.replace("}", " ").split(",")]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: the column {twice or 'without a name'} stands twice", valid="a different name for each column")
    return names


def _cells(text: str, names: list[str], table: str, where: str) -> list[str]:
    """The values of a row, parted by blanks or tabs, or else by commas; numbers with decimal commas are refused, not taken apart."""
    cells = [cell.rstrip(",") for cell in text.split()]
    if len(cells) == 1 and len(names) > 1:
        cells = cells[0].split(",")
    if any("," in cell for cell in cells):
        raise InputError(
            f"{where}: the {table} row {text!r} has commas inside its values",
            valid="decimal points",
            next_step="replace the decimal commas",
        )
    if len(cells) != len(names) and table == "crater":
        raise InputError(f"{where}: the {table} row {text!r} has {len(cells)} values", valid=f"{len(names)} values: {', '.join(names)}")
    return cells


def _body(values: dict[str, str], path: Path) -> Body | None:
    axes = {}
    for axis, keys in _RADIUS_KEYS.items():
        text = next((values[key] for key in keys if key in values), None)
        if text is None:
            continue
        try:
            axes[axis] = float(text.split()[0]) * 1000
            if not 0 < axes[axis] < 1e12:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(f"{path}: {axis}_axis_radius is {text!r}", valid="kilometres, e.g. 3396.19 <km>") from None
    if "a" not in axes:
        return None
    return Body(values.get("coordinate_system_name", "unnamed body"), axes["a"], axes.get("c", axes["a"]), f"axes in {path.name}")
