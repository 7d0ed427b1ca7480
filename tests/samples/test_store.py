"""The store of samples: whole or not there, resumed bit for bit, checked when used, refused by size before anything is made."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest

from cratermill.core import room
from cratermill.core.errors import InputError, WorkError
from cratermill.samples import store as module
from cratermill.samples.store import Piece, Spec, Store, adopt, write_store

ARRAYS = {"image": Spec((2, 5, 5), np.dtype(np.uint16)), "mask": Spec((5, 5), np.dtype(np.uint8))}
ROWS = pd.DataFrame({"FID": np.arange(23), "name": [f"crater {number}" for number in range(23)]})


def make(rows: pd.DataFrame) -> Piece:
    """Samples that follow from their row; every fifth is left out."""
    rows = rows[rows["FID"] % 5 != 3]
    image = rows["FID"].to_numpy(np.uint16)[:, None, None, None] * 10 + np.arange(50, dtype=np.uint16).reshape(2, 5, 5)
    return Piece(rows.assign(bright=image.mean((1, 2, 3))), {"image": image, "mask": (image[:, 0] % 2).astype(np.uint8)})


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 125 * 4)


def written(folder, work=make, **options) -> Store:
    return write_store(
        folder, "mark", ROWS, ARRAYS, work, finish=lambda rows: (rows.assign(last=1), {"left": len(ROWS) - len(rows)}), **options
    )


def test_arrays_rows_and_facts_come_back(tmp_path):
    store = written(tmp_path / "o'brien" / "view", workers=3)
    rows, image = store.rows(), store.array("image")
    assert len(rows) == len(image) == 19 and store.facts() == {"left": 4} and (rows["last"] == 1).all()
    assert np.array_equal(image[:, 0, 0, 0], rows["FID"] * 10) and image.dtype == np.uint16 and isinstance(image, np.memmap)
    assert np.array_equal(np.concatenate(list(store.chunks())), image) and store.arrays() == ["image", "mask"]
    assert store.digest() == written(tmp_path / "again").digest() and store.fault() is None
    assert sorted(path.name for path in store.folder.iterdir()) == ["image.npy", "mask.npy", "rows.parquet", "store.json"]
    assert list(store.folder.parent.iterdir()) == [store.folder]


@pytest.mark.parametrize("piece", range(7))
def test_work_that_stopped_anywhere_goes_on_and_ends_equal(tmp_path, monkeypatch, piece):
    whole, calls = written(tmp_path / "whole"), []

    def stops(rows):
        calls.append(int(rows["FID"].iloc[0]))
        if len(calls) == piece + 1:
            raise KeyboardInterrupt
        return make(rows)

    if piece < 6:
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path / "view", stops)
    else:  # whole, but not named yet
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            written(tmp_path / "view")
    assert not Store(tmp_path / "view").exists
    seen = []
    again = written(tmp_path / "view", lambda rows: seen.append(int(rows["FID"].iloc[0])) or make(rows))
    assert again.digest() == whole.digest() and len(seen) == 6 - piece if piece else len(seen) == 6


def test_work_on_something_else_is_not_continued(tmp_path):
    def stops(rows):
        if rows["FID"].iloc[0]:
            raise KeyboardInterrupt
        return make(rows)

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "view", stops)
    other = write_store(tmp_path / "view", "other", ROWS, ARRAYS, lambda rows: Piece(rows, {**make(rows.assign(FID=0)).arrays}))
    assert (other.array("image")[:, 0, 0, 0] == 0).all()


def cut(store):
    with (store.folder / "image.npy").open("r+b") as file:
        file.truncate(300)


def alter(store):
    path = store.folder / "mask.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")


def swap_rows(store):
    store.rows().iloc[::-1].to_parquet(store.folder / "rows.parquet")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, "image.npy has 300 bytes instead of"),
        (alter, "holds other samples than were written there"),
        (swap_rows, "rows.parquet has|holds other samples"),
        (lambda store: (store.folder / "mask.npy").unlink(), "mask.npy is missing"),
        (lambda store: shutil.rmtree(store.folder), "is missing"),
        (lambda store: (store.folder / "store.json").write_text("{"), "is missing"),
    ],
)
def test_what_was_cut_lost_or_altered_is_never_used(tmp_path, harm, said):
    store = written(tmp_path / "view")
    harm(store)
    for use in (store.rows, store.digest, store.facts, lambda: store.array("image")):
        with pytest.raises(InputError, match=said) as error:
            use()
        assert "cratermill prepare" in error.value.next_step


def test_copies_with_other_times_are_the_same_samples(tmp_path):
    store = written(tmp_path / "view")
    copy = Store(shutil.copytree(store.folder, tmp_path / "copy", copy_function=shutil.copyfile))
    assert copy.digest() == store.digest()
    assert copy.fault() is None


def test_stacks_of_an_earlier_format_are_taken_over_or_refused(tmp_path):
    store = written(tmp_path / "view")
    files = sorted([*store.folder.glob("*.npy"), store.folder / "rows.parquet"], key=lambda path: path.name)
    digest = hashlib.blake2b(b"".join(path.name.encode() + path.read_bytes() for path in files), digest_size=16).hexdigest()
    (store.folder / "store.json").unlink()
    (store.folder / "digest.txt").write_text(digest)
    with pytest.raises(InputError, match="made by an earlier version"):
        store.rows()
    assert adopt(store) and store.digest() == digest
    (store.folder / "store.json").unlink()
    (store.folder / "digest.txt").write_text("another")
    assert not adopt(store)


def test_absurd_sizes_and_full_disks_are_said_before_anything_is_made(tmp_path, monkeypatch):
    huge = {"image": Spec((3, 10**9, 10**9), np.dtype(np.float32))}
    with pytest.raises(InputError, match=r"would take 276,000,000 TB|would take .* TB, more than the whole disk"):
        write_store(tmp_path / "view", "mark", ROWS, huge, make)
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 100, 100))
    with pytest.raises(WorkError, match="No space left for view .*are free"):
        written(tmp_path / "view")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["posix_fallocate", "write"])
def test_a_disk_that_fills_up_is_a_message(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        monkeypatch.setattr(module, "write_table", full)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(WorkError, match="No space left while writing the samples") as error:
        written(tmp_path / "view")
    assert "free some space" in error.value.next_step
