"""One stack of crops: ``image.npy`` (N, S, S) uint8, mapped and not read, and ``rows.parquet`` in the same order.

Written chunk by chunk with a note of how far it got, so that a stopped preparation goes on; memory doesn't grow with the number of crops.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import read_json, write_json, write_table
from ...core.machine import one_thread_each
from ...core.prefetch import ahead
from ...samples.crops import MOST_MISSING

CHUNK_BYTES = 16 * 2**20
Make = Callable[[pd.DataFrame], tuple[np.ndarray, dict[str, np.ndarray]]]


@dataclass(frozen=True)
class CropStack:
    """A finished stack."""

    folder: Path

    @property
    def exists(self) -> bool:
        return (self.folder / "stack.json").exists()

    def rows(self) -> pd.DataFrame:
        self._require()
        return pd.read_parquet(self.folder / "rows.parquet")

    def images(self) -> np.ndarray:
        self._require()
        return np.load(self.folder / "image.npy", mmap_mode="r", allow_pickle=False)

    def digest(self) -> str:
        self._require()
        return read_json(self.folder / "stack.json")["digest"]

    def notes(self) -> list[str]:
        """What there was to warn about when the crops were made."""
        self._require()
        return read_json(self.folder / "stack.json").get("notes", [])

    def chunks(self) -> Iterator[np.ndarray]:
        """All crops in order, read by file and not by map, so that pages don't pile up."""
        shape = self.images().shape
        chunk = chunk_length(shape[1])
        with (self.folder / "image.npy").open("rb") as file:
            file.seek(-int(np.prod(shape)), io.SEEK_END)
            for start in range(0, shape[0], chunk):
                count = min(chunk, shape[0] - start)
                yield np.frombuffer(file.read(count * shape[1] * shape[2]), np.uint8).reshape(count, *shape[1:])

    def _require(self) -> None:
        if not self.exists:
            raise InputError(f"the crops {self.folder} are not prepared", next_step="run 'cratermill prepare CONFIG'")


def chunk_length(size_px: int) -> int:
    return max(1, CHUNK_BYTES // size_px**2)


def chunks_of(rows: pd.DataFrame, size_px: int, start: int = 0) -> list[pd.DataFrame]:
    """Pieces of ``rows`` whose crops are few enough to hold at once."""
    length = chunk_length(size_px)
    return [rows.iloc[first : first + length] for first in range(start, len(rows), length)]


def write_stack(
    folder: Path, rows: pd.DataFrame, size_px: int, mark: str, make: Make, tell: Callable, notes: list[str], workers: int = 1
) -> None:
    """Fill a stack with what ``make`` gives for pieces of ``rows``: crops (n, S, S) uint8 and further columns; on ``workers`` threads.

    ``mark`` says what the stack is made of: an unfinished one with the same mark is continued. ``tell(done, all)`` after each chunk.
    ``notes`` are kept for the user, and how many crops are left out for want of data.
    """
    part = folder.with_name(folder.name + ".part")
    state = read_json(part / "state.json", {})
    if state.get("mark") != mark or "kept" not in state:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        state = {"mark": mark, "done": 0, "kept": 0, "digest": ""}
    header, pieces = _header((len(rows), size_px, size_px)), chunks_of(rows, size_px, state["done"])
    image, mode = part / "image.npy", "r+b" if state["done"] else "wb"
    with image.open(mode) as file, ThreadPoolExecutor(workers) as pool, one_thread_each():
        file.write(header)
        file.seek(len(header) + state["kept"] * size_px**2)
        for piece, made in zip(pieces, ahead(pool, make, pieces, most=workers), strict=True):
            kept, crops = whole(piece, *made)
            file.write(crops.data)
            file.flush()
            write_table(part / f"rows-{state['done']}.parquet", kept)
            digest = hashlib.sha256(state["digest"].encode())
            digest.update(crops.data)
            counts = {"done": state["done"] + len(piece), "kept": state["kept"] + len(kept)}
            state = {"mark": mark, **counts, "digest": digest.hexdigest()}
            write_json(part / "state.json", state)
            tell(state["done"], len(rows))
        count = state["kept"]
        file.truncate(len(header) + count * size_px**2)
        file.seek(0)
        file.write(_header((count, size_px, size_px)))  # as long as before: numpy leaves room for more digits
    if count < len(rows):
        notes = [*notes, left_out(len(rows) - count, len(rows))]
    parts = sorted(part.glob("rows-*.parquet"), key=lambda path: int(path.stem.partition("-")[2]))
    write_table(part / "rows.parquet", joined([pd.read_parquet(path) for path in parts]))
    write_json(part / "stack.json", {"digest": state["digest"], "mark": mark, "crops": count, "size_px": size_px, "notes": notes})
    for path in (*parts, part / "state.json"):
        path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def whole(rows: pd.DataFrame, crops: np.ndarray, columns: dict[str, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with the columns, and crops, without those that ``missing``, where it is among the columns, says to lack data."""
    table = rows.assign(**columns)
    kept = table["missing"].to_numpy() <= MOST_MISSING if "missing" in table else np.ones(len(table), bool)
    return (table, crops) if kept.all() else (table[kept], crops[kept])


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; empty ones, whose columns have no true types, only where there are no others."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def left_out(count: int, of: int) -> str:
    return f"{count} of {of} crops lie for more than {MOST_MISSING:.0%} where the mosaic has no data and are left out"


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()
