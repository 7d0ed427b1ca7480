"""Training samples as a few large arrays, whatever family they are for: mapped ``.npy`` files with a table of the samples beside them.

A store is a folder with ``<array>.npy`` (N, …) for each of its arrays, ``rows.parquet`` with one row per sample in the same order, and
``store.json``: a digest of the others, their sizes and times, what they were made from, and further facts. It is filled piece by piece in
a folder that ends in ``.part``, which goes on where it was stopped, and gets its name when it is whole.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ..core.errors import InputError
from ..core.files import fingerprint, read_json, stat_fingerprint, write_json, write_table
from ..core.machine import one_thread_each
from ..core.prefetch import prefetched
from ..core.room import require_room, reserve, said_when_full

RECORD, ROWS, STATE = "store.json", "rows.parquet", "state.json"
EARLIER = ("digest.txt", "stack.json", "meta.json")
"""Records of earlier formats."""
CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Store:
    """A finished store. Whatever is taken from it is checked first: sizes and times, and contents where a time is another."""

    folder: Path

    @property
    def exists(self) -> bool:
        return (self.folder / RECORD).exists()

    def is_of(self, mark: str) -> bool:
        """Whether the store is whole and made of what ``mark`` says."""
        record = self._record
        return record is not None and record.get("mark") == mark and self.fault() is None

    def rows(self) -> pd.DataFrame:
        self.require()
        return pd.read_parquet(self.folder / ROWS)

    def array(self, name: str) -> np.ndarray:
        """The array (N, …), mapped and not read; pages come in as samples are taken."""
        self.require()
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def digest(self, *arrays: str) -> str:
        """Hash of the samples, made when they were written; of the rows and these arrays only, where arrays are named."""
        self.require()
        record = self._record
        return fingerprint([record["parts"][name] for name in (ROWS, *(f"{name}.npy" for name in arrays))]) if arrays else record["digest"]

    def facts(self) -> dict[str, Any]:
        """What else was noted about the samples."""
        self.require()
        return self._record["facts"]

    def arrays(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self._record["files"] if name.endswith(".npy")]

    def chunks(self, name: str = "image") -> Iterator[np.ndarray]:
        """All samples of an array in order, read by file and not by map, so that pages don't pile up."""
        array = self.array(name)
        chunk = chunk_length(int(np.prod(array.shape[1:])) * array.itemsize)
        with (self.folder / f"{name}.npy").open("rb") as file:
            file.seek(-array.nbytes, io.SEEK_END)
            for start in range(0, len(array), chunk):
                shape = (min(chunk, len(array) - start), *array.shape[1:])
                yield np.frombuffer(file.read(int(np.prod(shape)) * array.itemsize), array.dtype).reshape(shape)

    def fault(self) -> str | None:
        """What is wrong with the files, in words; None where nothing is."""
        record = self._record
        if record is None:
            earlier = any((self.folder / name).exists() for name in EARLIER)
            return f"{self.folder} was made by an earlier version of cratermill" if earlier else f"{self.folder} is missing"
        found = tuple((name, *_stat(self.folder / name)) for name in sorted(record["files"]))
        return _fault(self.folder, found, fingerprint(record["parts"]))

    def require(self) -> None:
        """Raise ``InputError`` where the samples are missing, or not as they were written."""
        fault = self.fault()
        if fault:
            raise InputError(f"training samples can't be used: {fault}", next_step="run 'cratermill prepare CONFIG'")

    @property
    def _record(self) -> Any:
        record = read_json(self.folder / RECORD)
        sound = isinstance(record, dict) and {"digest", "parts", "files", "facts"} <= record.keys()
        return record if sound else None


@lru_cache(maxsize=512)
def _fault(folder: Path, found: tuple[tuple[str, int, int], ...], parts: str) -> str | None:
    """``found``: name, size and time of each file; size −1 where it is missing. ``parts``: one hash of what they must hold."""
    record = read_json(folder / RECORD)
    for name, size, _ in found:
        if size != record["files"][name][0]:
            return f"{folder / name} " + ("is missing" if size < 0 else f"has {size} bytes instead of {record['files'][name][0]}")
    if all(time == record["files"][name][1] for name, _, time in found):
        return None
    if fingerprint(digests_of([folder / name for name, *_ in found])) != parts:
        return f"{folder} holds other samples than were written there"
    _note_times(folder, record, found)
    return None


def _note_times(folder: Path, record: dict[str, Any], found: tuple[tuple[str, int, int], ...]) -> None:
    """Files that were copied have other times and the same contents: the next look shall be quick again."""
    try:
        write_json(folder / RECORD, record | {"files": {name: [size, time] for name, size, time in found}})
    except OSError:
        return  # only readable for us


def _stat(path: Path) -> tuple[int, int]:
    try:
        size, time = stat_fingerprint(path)
        return size, time
    except OSError:
        return -1, 0


def digests_of(files: list[Path]) -> dict[str, str]:
    """The hash of each file's content, by its name."""
    return {path.name: _hashed([path], named=False) for path in files}


def _hashed(files: list[Path], named: bool) -> str:
    """One hash of what files hold, and of their names where these count, in the order of names."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(files, key=lambda path: path.name):
        found.update(path.name.encode() if named else b"")
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                found.update(block)
    return found.hexdigest()


def _seal(folder: Path, names: list[str], mark: str | None, facts: dict[str, Any], digest: str | None = None) -> None:
    """Write the record, last of all; ``digest``: what trainings already know the samples by."""
    parts = digests_of([folder / name for name in names])
    files = {name: stat_fingerprint(folder / name) for name in names}
    write_json(folder / RECORD, {"digest": digest or fingerprint(parts)[:32], "parts": parts, "mark": mark, "files": files, "facts": facts})


def adopt(store: Store) -> bool:
    """Whether a store is whole; one with the digest of an earlier format gets its record first."""
    old = store.folder / EARLIER[0]
    if not store.exists and old.exists():
        files = [path for path in store.folder.iterdir() if path.suffix == ".npy" or path.name == ROWS]
        if (digest := _hashed(files, named=True)) == old.read_text(encoding="ascii").strip():
            _seal(store.folder, [path.name for path in files], None, {}, digest)
            old.unlink()
    return store.fault() is None


# --- writing ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """One sample of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        size = np.dtype(self.dtype).itemsize
        for length in self.shape:  # in Python's numbers: NumPy's would overflow for absurd sizes
            size *= int(length)
        return size


@dataclass(frozen=True)
class Piece:
    """Some samples: their rows, with further columns where wanted, and by name the arrays (n, …)."""

    rows: pd.DataFrame
    arrays: Mapping[str, np.ndarray]


Make = Callable[[pd.DataFrame], Piece]


def chunk_length(sample_bytes: int) -> int:
    return max(1, CHUNK_BYTES // max(1, sample_bytes))


def pieces_of(rows: pd.DataFrame, sample_bytes: int, start: int = 0) -> list[pd.DataFrame]:
    """Parts of ``rows`` from ``start`` on whose samples are few enough to hold at once; the same parts from wherever one starts."""
    length = chunk_length(sample_bytes)
    return [rows.iloc[first : first + length] for first in range(start, len(rows), length)]


def write_store(
    folder: Path,
    mark: str,
    rows: pd.DataFrame,
    arrays: Mapping[str, Spec],
    make: Make,
    *,
    finish: Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[str, Any]]] = lambda rows: (rows, {}),
    tell: Callable[[int, int], None] = lambda *_: None,
    workers: int = 1,
    sample_bytes: int | None = None,
) -> Store:
    """Fill a store with what ``make`` gives for parts of ``rows``, on ``workers`` threads, in their order; it may leave samples out.

    ``mark`` says what the store is made of: an unfinished one with the same mark is continued. ``finish`` gets the rows that are kept and
    gives them back with further columns, and facts to note. ``tell(done, all)`` is called after each part. ``sample_bytes``: about how much
    a sample takes, where most of it stands in the rows. Raises ``InputError`` or
    ``WorkError`` where there is no room on the disk, before anything is made.
    """
    part = folder.with_name(folder.name + ".part")
    if (read_json(part / RECORD) or {}).get("mark") != mark:
        with said_when_full(f"the samples {folder}"):
            writer = _Writer(part, mark, rows, arrays, sample_bytes)
            with writer.kept_for_later():
                kept = writer.fill(make, tell, workers)
            table, facts = finish(kept)
            write_table(part / ROWS, table)
            _seal(part, [ROWS, *(f"{name}.npy" for name in arrays)], mark, facts)
    publish(part, folder)
    return Store(folder)


def publish(part: Path, folder: Path) -> None:
    """Give a complete folder its name; what had it goes."""
    for path in (*part.glob("rows-*.parquet"), part / STATE):
        path.unlink(missing_ok=True)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


class _Writer:
    """Arrays that grow in a folder, with a note of how far they got."""

    def __init__(self, part: Path, mark: str, rows: pd.DataFrame, arrays: Mapping[str, Spec], sample_bytes: int | None = None):
        self.part, self.rows, self.arrays = part, rows, arrays
        self.sample_bytes = sample_bytes or sum(spec.nbytes for spec in arrays.values())
        self.state = read_json(part / STATE, {})
        if self.state.get("mark") != mark or "kept" not in self.state:
            shutil.rmtree(part, ignore_errors=True)
            sizes = ", ".join(f"{name} {' × '.join(map(str, spec.shape))}" for name, spec in arrays.items())
            require_room(part, len(rows) * self.sample_bytes, f"{part.stem} ({len(rows)} samples: {sizes})")
            part.mkdir(parents=True)
            self.state = {"mark": mark, "done": 0, "kept": 0}

    @contextmanager
    def kept_for_later(self) -> Iterator[None]:
        """What is there stays when the work is interrupted, but not if there is nothing."""
        try:
            yield
        finally:
            if not self.state["done"] and len(self.rows):
                shutil.rmtree(self.part, ignore_errors=True)

    def fill(self, make: Make, tell: Callable[[int, int], None], workers: int) -> pd.DataFrame:
        """All pieces that are still to be made; returns the rows that are kept."""
        with ExitStack() as stack:
            files = {name: stack.enter_context(self._opened(name, spec)) for name, spec in self.arrays.items()}
            pool = stack.enter_context(ThreadPoolExecutor(workers))
            stack.enter_context(one_thread_each())
            pieces = pieces_of(self.rows, self.sample_bytes, self.state["done"])
            for given, made in zip(pieces, prefetched(pool, make, pieces, most=workers), strict=True):
                self._append(files, len(given), made)
                tell(self.state["done"], len(self.rows))
            for name, file in files.items():
                self._close(name, file)
        parts = sorted(self.part.glob("rows-*.parquet"), key=lambda path: int(path.stem.partition("-")[2]))
        return joined([pd.read_parquet(path) for path in parts]) if parts else self.rows

    def _opened(self, name: str, spec: Spec) -> BinaryIO:
        path, header = self.part / f"{name}.npy", _header((len(self.rows), *spec.shape), spec.dtype)
        file = path.open("r+b" if self.state["done"] and path.exists() else "w+b")
        reserve(file.fileno(), len(header) + len(self.rows) * spec.nbytes)
        file.write(header)
        file.seek(len(header) + self.state["kept"] * spec.nbytes)
        return file

    def _append(self, files: Mapping[str, BinaryIO], given: int, made: Piece) -> None:
        for name, file in files.items():
            array, spec = np.ascontiguousarray(made.arrays[name]), self.arrays[name]
            assert array.shape == (len(made.rows), *spec.shape) and array.dtype == spec.dtype, f"{name}: {array.shape} {array.dtype}"
            file.write(array.data.cast("B") if array.size else b"")
            file.flush()
        write_table(self.part / f"rows-{self.state['done']}.parquet", made.rows)
        self.state |= {"done": self.state["done"] + given, "kept": self.state["kept"] + len(made.rows)}
        write_json(self.part / STATE, self.state)

    def _close(self, name: str, file: BinaryIO) -> None:
        spec, count = self.arrays[name], self.state["kept"]
        header = _header((count, *spec.shape), spec.dtype)  # as long as before: NumPy leaves room for more digits
        file.truncate(len(header) + count * spec.nbytes)
        file.seek(0)
        file.write(header)


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; empty ones, whose columns have no true types, only where there are no others."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    buffer = io.BytesIO()
    described = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(buffer, {"descr": described, "fortran_order": False, "shape": shape})
    return buffer.getvalue()
