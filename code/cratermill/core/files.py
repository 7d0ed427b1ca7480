"""Writing files so that nobody ever reads half of one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import FULL_DISK


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it on success and vanishes on failure."""
    path = Path(path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    # Of a name that nobody can foresee: a file or link of the same name that lies there already is nobody's but its owner's.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp{path.suffix[:12]}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            error.filename = error.filename or str(path)  # writing to an open file names none
        raise


def write_text(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, content: Any) -> Path:
    return write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=True) + "\n")


def read_json(path: Path, default: Any = None) -> Any:
    """The file's content, or ``default`` where it is missing or broken (a broken file is made again, not trusted)."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return default


def write_table(path: Path, frame) -> Path:
    """A pandas table as CSV (or parquet by suffix), whole or not at all."""
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary) if path.suffix == ".parquet" else frame.to_csv(temporary, index=False)
    return path


def stat_fingerprint(path: Path) -> list:
    """Size and modification time: enough to know whether an input changed, at no cost for large mosaics."""
    stat = Path(path).stat()
    return [stat.st_size, stat.st_mtime_ns]


def link_or_copy(source: Path, target: Path) -> None:
    """Another name for a file that is never changed in place: a hard link where the file system allows it, else a copy."""
    with contextlib.suppress(OSError):
        if Path(source).samefile(target):
            return
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def copy_file(source: Path, target: Path) -> None:
    """The same content and time under another name, whole or not at all; what has both its size and time already stays."""
    found = Path(source).stat()
    with contextlib.suppress(OSError):
        there = Path(target).stat()
        if (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns):
            return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
        os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))


def fingerprint(value: Any) -> str:
    """sha256 of the canonical JSON of a plain value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def content_digest(path: Path, whole_below: int = 2**28, pieces: int = 256, piece: int = 2**20) -> str:
    """sha256 of a file's content; of a large file's size and ``pieces`` evenly spaced parts, so that launching never waits for it."""
    size = Path(path).stat().st_size
    found = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as file:
        starts = range(0, size, piece) if size <= whole_below else (index * (size - piece) // (pieces - 1) for index in range(pieces))
        for start in starts:
            file.seek(start)
            found.update(file.read(piece))
    return found.hexdigest()
