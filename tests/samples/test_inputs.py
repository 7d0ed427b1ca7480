"""What stands behind a name: each file of it changes the mark, and what viewers add doesn't."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine

from cratermill.core.errors import InputError
from cratermill.geo.bodies import Body
from cratermill.samples.inputs import digest, files_behind, mark

MOON = Body("moon", 1737400.0, 1737400.0)


def write_tile(path, value=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 4, "width": 8, "crs": MOON.geographic_crs().to_wkt()}
    with rasterio.open(path, "w", **profile, transform=Affine(45, 0, -180, 0, -45, 90)) as file:
        file.write(np.full((1, 4, 8), value, np.uint8))


def write_vrt(path, source):
    path.write_text(
        f'<VRTDataset rasterXSize="8" rasterYSize="4"><SRS>{MOON.geographic_crs().to_wkt()}</SRS>'
        "<GeoTransform>-180,45,0,90,0,-45</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>'
    )


def write_pds(folder):
    (folder / "map.img").write_bytes(bytes(32))
    label = (
        'PDS_VERSION_ID = PDS3\nRECORD_TYPE = FIXED_LENGTH\nRECORD_BYTES = 8\nFILE_RECORDS = 4\n^IMAGE = "map.img"\n'
        "OBJECT = IMAGE\n LINES = 4\n LINE_SAMPLES = 8\n SAMPLE_TYPE = UNSIGNED_INTEGER\n SAMPLE_BITS = 8\nEND_OBJECT = IMAGE\nEND\n"
    )
    (folder / "map.lbl").write_text(label)


def world(folder):
    write_tile(folder / "tiles" / "a tile.tif")
    write_vrt(folder / "inner.vrt", "tiles/a tile.tif")
    write_vrt(folder / "outer.vrt", "inner.vrt")
    for name in ("list.shp", "list.dbf", "list.shx", "list.PRJ", "list.cpg", "other.dbf", "plain.csv"):
        (folder / name).write_bytes(b"12345")
    write_pds(folder)
    for name in ("b/c.png", "b/d/e.png"):
        (folder / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pictures" / name).write_bytes(b"12345")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "f.png").write_bytes(b"12345")
    (folder / "pictures" / "linked").symlink_to("../elsewhere")
    (folder / "pictures" / "round").symlink_to("../pictures")
    (folder / "link.csv").symlink_to("plain.csv")
    return folder


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("outer.vrt", ["tiles/a tile.tif", "inner.vrt", "outer.vrt"]),
        ("list.shp", ["list.shp", "list.dbf", "list.shx", "list.PRJ", "list.cpg"]),
        ("map.lbl", ["map.img", "map.lbl"]),
        ("pictures", ["pictures/b/d/e.png", "elsewhere/f.png"]),
        ("link.csv", ["plain.csv"]),
    ],
)
def test_every_file_behind_a_name_counts_and_no_other(tmp_path, name, changed):
    folder = world(tmp_path / "it's here")
    path, others = folder / name, [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    before, content = mark(path), digest(path)
    seen = []
    for file in others:
        stat = file.stat()
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        if mark(path) != before:
            seen.append(file.relative_to(folder).as_posix())
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert sorted(seen) == sorted(changed if name != "pictures" else [*changed, "pictures/b/c.png"])
    assert digest(path) == content
    (folder / changed[0]).write_bytes((folder / changed[0]).read_bytes()[:-1] + b"x")
    assert digest(path) != content
    shutil.copytree(folder, tmp_path / "moved", symlinks=True)
    assert digest(tmp_path / "moved" / name) == digest(path)


@pytest.mark.parametrize("end", [".ovr", ".msk", ".aux.xml"])
def test_what_lies_beside_a_raster_counts_but_not_statistics(tmp_path, end):
    path, beside = tmp_path / "m.tif", tmp_path / f"m.tif{end}"
    write_tile(path)
    before = mark(path), digest(path)
    text = (
        '<PAMDataset>\n <PAMRasterBand band="1">\n{}<Metadata><MDI key="STATISTICS_MEAN">7</MDI></Metadata>\n</PAMRasterBand></PAMDataset>'
    )
    if end == ".aux.xml":
        beside.write_text(text.format("<Histograms><HistItem><HistMin>1</HistMin></HistItem></Histograms>"))
        assert (mark(path), digest(path)) == before
    beside.write_text(text.format("<NoDataValue>7</NoDataValue>"))
    assert mark(path) != before[0] and digest(path) != before[1]
    assert files_behind(path) == [path, beside]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.vrt does not exist"):
        mark(tmp_path / "nowhere.vrt")


def test_a_link_that_leads_elsewhere_is_another_input(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("same")
        os.utime(tmp_path / name, (1, 1))
    link = tmp_path / "list.csv"
    link.symlink_to("a.csv")
    before = mark(link)
    link.unlink()
    link.symlink_to("b.csv")
    assert mark(link) != before
