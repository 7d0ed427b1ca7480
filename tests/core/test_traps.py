"""Files that would fill the memory or the day are refused within a second, and say why."""

from __future__ import annotations

import gzip
import io
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
import yaml

from cratermill.core import folder_or_zip
from cratermill.core.errors import InputError
from cratermill.core.files import atomic_path
from cratermill.core.folder_or_zip import FolderOrZip
from cratermill.core.npy import read_npy
from cratermill.core.pictures import opened
from cratermill.core.yaml_files import read_yaml, read_yaml_file
from cratermill.families.chips_common.readers import read_idx


@pytest.fixture(autouse=True)
def within_a_second():
    start = time.process_time()
    yield
    assert time.process_time() - start < 1


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (BOMB, "more than 100000 values"),
        ("[" * 100_000, "nested deeper than 40"),
        ("a: " * 5, "mapping values are not allowed"),
        ("\n".join(f"key{number}: 1" for number in range(400_000)), "at most 1048576 are read"),
        ("a: &a [1, *a]", r"\*a holds itself"),
        ("a: !!timestamp 2026-13-45", "a value can't be understood"),
        ("a: !!int x", "a value can't be understood"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("? [1, 2]\n: 3", "unhashable|can't be understood|acceptable"),
        ("a: 1\na: 2", "the key 'a' stands in line 1 already"),
    ],
)
def test_yaml(text, part):
    with pytest.raises(yaml.YAMLError, match=part):
        read_yaml(text)


def test_sound_yaml_and_dates(tmp_path):
    assert read_yaml("a: 2026-13-45\nb: &b {c: 1}\nd: *b") == {"a": "2026-13-45", "b": {"c": 1}, "d": {"c": 1}}
    assert read_yaml("[1:30:20, 1:30.5, 010, 0, -3, 0x10, 0.5]") == ["1:30:20", "1:30.5", "010", 0, -3, 16, 0.5]
    (tmp_path / "x.yaml").write_bytes("name: Pérouse".encode("cp1252"))
    assert read_yaml_file(tmp_path / "x.yaml") == {"name": "Pérouse"}
    (tmp_path / "x.yaml").write_bytes(b"name: \0")
    with pytest.raises(yaml.YAMLError, match="zero byte"):
        read_yaml_file(tmp_path / "x.yaml")


def png(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", b"")
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (10_000, 10_000)])
def test_pictures_of_millions_of_pixels(width, height):
    with (
        pytest.raises(InputError, match=f"huge.png is a picture of {width} × {height} pixels"),
        opened(png(width, height), "huge.png") as picture,
    ):
        np.asarray(picture)


@pytest.mark.parametrize("content", [b"", b"no picture", png(8, 8)[:30], png(8, 8), b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 400])
def test_broken_pictures(content):
    with pytest.raises(InputError, match="x.png can't be read as a picture"), opened(content, "x.png") as picture:
        np.asarray(picture)


def test_archives_and_gz_that_unpack_a_thousandfold(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_or_zip, "SMALL_BYTES", 2**10)
    zeros = zlib.compress(bytes(2**20))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a\\one.png", b"1")
        file.writestr("bomb.png", bytes(8 * 2**20))
    files = FolderOrZip(tmp_path / "x.zip")
    assert files.names == ["a/one.png", "bomb.png"] and files.read("a/one.png") == b"1"
    with pytest.raises(InputError, match=r"bomb.png has \d+ bytes packed and 8388608 unpacked"):
        files.read("bomb.png")
    head = b"\0\0\x08\x03" + struct.pack(">III", 60_000, 1000, 1000)
    (tmp_path / "t.gz").write_bytes(gzip.compress(head + zeros))
    with pytest.raises(InputError, match="says it holds 60000000000"):
        read_idx(tmp_path / "t.gz", 3)


def test_two_members_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a/1.png", b"1")
        file.writestr("a\\1.png", b"2")
    with pytest.raises(InputError, match="holds a/1.png twice"):
        FolderOrZip(tmp_path / "x.zip").names


def npy(header):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 5), }"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + b"\x80\x04N.",
        npy("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }") + bytes(12),
        npy("__import__('os')"),
        npy("(" * 5000),
        b"PK\x03\x04",
    ],
)
def test_arrays_that_are_none(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npy"):
        read_npy(tmp_path / "x.npy")


def test_arrays_of_nothing_and_several(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 4)))
    assert read_npy(tmp_path / "x.npy").shape == (0, 4)
    out = io.BytesIO()
    np.savez(out, a=np.ones(2))
    (tmp_path / "y.npy").write_bytes(out.getvalue())
    with pytest.raises(InputError, match="holds no array of numbers"):
        read_npy(tmp_path / "y.npy")


def test_nobody_can_foresee_where_a_file_is_written_first(tmp_path):
    names = set()
    for _ in range(2):
        with atomic_path(tmp_path / f"{'ä' * 120}.csv") as temporary:
            names.add(temporary.name)
            temporary.write_text("x")
    assert len(names) == 2 and [path.name for path in tmp_path.iterdir()] == ["ä" * 120 + ".csv"]
