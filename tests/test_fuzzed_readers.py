"""Readers fed with what nobody would write: either they refuse it by name, or what they give is finite and in range. Never another error.

The examples are always the same and few; set CRATERMILL_FUZZ to their number per reader to look further.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from cratermill.core.delimited import parse_bytes
from cratermill.core.errors import CratermillError
from cratermill.core.folder_or_zip import FolderOrZip
from cratermill.core.npy import read_npy
from cratermill.core.yaml_files import read_yaml
from cratermill.craters import columns
from cratermill.craters.catalogue import read_catalogue
from cratermill.families.chips_common.readers import read_idx, read_picture
from cratermill.families.craters_common.boxes import box_circles
from cratermill.families.craters_common.sources import grey, read_circles
from cratermill.geo.bodies import get_body

EXAMPLES = int(os.environ.get("CRATERMILL_FUZZ", "25"))
few = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MOON = get_body("moon")

NAMES = [
    *columns.FID_NAMES,
    *columns.LON_NAMES,
    *columns.WEST_NAMES,
    *columns.LAT_NAMES,
    *(name for name, *_ in columns.SIZE_NAMES),
    "",
    "train",
]
usual = ("FID", "lon", "lat", "radius_m")
cell = some.one_of(
    some.integers(-100, 100).map(str),
    some.floats(width=32).map(str),
    some.sampled_from(
        ["", " ", "True", "nan", "inf", "1e400", "12,5", "1_0", "0x10", "2026-01-01", '"', "#", "é", "−5", "1e-320", "９", "None", "\x0b"]
    ),
)
header = some.one_of(some.just(list(usual)), some.lists(some.sampled_from(NAMES), min_size=1, max_size=6))


@some.composite
def tables(draw) -> bytes:
    """Delimited text, more or less as it should be, in some encoding, with some bytes changed."""
    separator = draw(some.sampled_from(",;\t|"))
    names = draw(header)
    number = some.integers(1, 80).map(str)
    cells = draw(some.sampled_from([number, number, cell]))
    width = draw(some.sampled_from([0, 0, 0, 1, -1]))
    rows = draw(some.lists(some.lists(cells, min_size=max(len(names) + width, 0), max_size=len(names) + width), max_size=4))
    text = draw(some.sampled_from(["", "", "sep=;\n", "# said\n", "\n"])) + "\n".join(separator.join(row) for row in [names, *rows])
    return draw(damaged(text.encode(draw(some.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])), "replace")))


@some.composite
def damaged(draw, content: bytes) -> bytes:
    if draw(some.booleans()):
        return content
    cut = draw(some.integers(0, len(content)))
    return content[:cut] + draw(some.binary(max_size=4)) + content[cut + draw(some.integers(0, 8)) :]


def require_sound(found) -> None:
    values = found[["lon", "lat", "radius_m"]].to_numpy(float)
    assert np.isfinite(values).all() and (np.abs(values[:, 0]) <= 180).all() and (np.abs(values[:, 1]) <= 90).all()
    assert (values[:, 2] > 0).all() and (values[:, 2] <= MOON.half_circumference_m).all() and found.FID.is_unique


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def refused_or(read, *arguments):
    try:
        return read(*arguments)
    except CratermillError as error:
        assert error.given
        return None


@few
@given(content=tables())
def test_tables(folder, content):
    path = folder / "list.csv"
    path.write_bytes(content)
    if (found := refused_or(read_catalogue, path, MOON)) is not None:
        require_sound(found)
    if (circles := refused_or(read_circles, path)) is not None:
        assert np.isfinite(circles).all() and (circles[:, 2] > 0).all()
    if (table := refused_or(parse_bytes, content, "x")) is not None:
        assert {len(row) for row in table.rows} <= {len(table.header)} and len(table.frame()) == len(table.lines)


SCC = "a_axis_radius = 1737.4 <km>\ncrater = {diam, fraction, lon, lat\n5.0\t1\t10\t20\n6.0\t0.5\t11\t21\n}\n"


@few
@given(content=damaged(SCC.encode()), swap=some.tuples(some.sampled_from(["5.0", "10", "lat", "\t", "}", "1737.4"]), cell))
def test_crater_counts(folder, content, swap):
    path = folder / "x.scc"
    path.write_bytes(content.replace(swap[0].encode(), swap[1].encode()))
    if (found := refused_or(read_catalogue, path, MOON)) is not None:
        require_sound(found)


place = some.one_of(some.floats(-200, 400, width=32), some.sampled_from([0.0, 180.0, -180.0, 90.0, -90.0, 1e9]))
point = some.tuples(place, some.one_of(some.floats(-95, 95, width=32), place)).map(list)
shapes = some.one_of(
    some.none(),
    point.map(lambda at: {"type": "Point", "coordinates": at}),
    some.lists(point, min_size=2, max_size=5).map(lambda line: {"type": "LineString", "coordinates": line}),
    some.lists(point, min_size=3, max_size=6).map(lambda ring: {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}),
    some.lists(point, min_size=3, max_size=4).map(lambda ring: {"type": "MultiPolygon", "coordinates": [[[*ring, ring[0]]]] * 2}),
    some.just({"type": "Polygon", "coordinates": []}),
    some.just({"type": "GeometryCollection", "geometries": []}),
)
value = some.one_of(some.none(), some.booleans(), some.floats(0.1, 100), some.just("12"), some.text(max_size=3))


@few
@given(features=some.lists(some.tuples(shapes, value), max_size=3), content=some.data())
def test_shapes(folder, features, content):
    path = folder / "x.geojson"
    rows = [{"type": "Feature", "properties": {"diam_km": size}, "geometry": shape} for shape, size in features]
    text = json.dumps({"type": "FeatureCollection", "features": rows})
    path.write_bytes(content.draw(damaged(text.encode())))
    if (found := refused_or(read_catalogue, path, MOON)) is not None:
        require_sound(found)


@few
@given(
    lines=some.lists(some.lists(some.one_of(some.floats(0, 1, width=16).map(str), cell), max_size=9), max_size=4),
    joint=some.sampled_from([" ", ","]),
)
def test_boxes(lines, joint):
    circles = refused_or(box_circles, "\n".join(joint.join(line) for line in lines), (50, 80), "x.txt")
    if circles is not None:
        assert np.isfinite(circles).all() and (circles[:, 2] > 0).all() and (circles[:, 2] < 400).all()


@few
@given(
    text=some.one_of(
        some.text(max_size=40),
        some.lists(some.sampled_from(["a", ": ", "- ", "[", "]", "{", "&a ", "*a", "!!int ", "\n", " ", "1", "2026-99-99"])).map("".join),
    )
)
def test_yaml(text):
    with contextlib.suppress(yaml.YAMLError):
        read_yaml(text)


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray((np.arange(144).reshape(12, 12)).astype(np.uint8)).save(out, kind)
    return out.getvalue()


@few
@given(content=some.sampled_from([picture(kind) for kind in ("PNG", "JPEG", "TIFF", "BMP", "PPM")]).flatmap(damaged))
def test_pictures(content):
    for read in (read_picture, grey):
        if (pixels := refused_or(read, content, "x.png")) is not None:
            assert pixels.ndim == 2 and pixels.dtype in (np.uint8, np.float32)


def saved(write) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def zipped(out) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a\\1.png", b"x" * 50)
        file.writestr("b.png", b"y")


@few
@given(
    array=damaged(saved(lambda out: np.save(out, np.arange(6.0).reshape(2, 3)))),
    idx=damaged(b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x02" + bytes(4)),
    archive=damaged(saved(zipped)),
)
def test_arrays_and_archives(folder, array, idx, archive):
    for name, content in (("x.npy", array), ("idx", idx), ("x.zip", archive)):
        (folder / name).write_bytes(content)
    assert (found := refused_or(read_npy, folder / "x.npy")) is None or found.dtype.kind in "buif"
    assert (found := refused_or(read_idx, folder / "idx", 3)) is None or found.ndim == 3
    if (files := refused_or(FolderOrZip, folder / "x.zip")) is not None:
        for name in refused_or(lambda: files.names) or []:
            refused_or(files.read, name)
