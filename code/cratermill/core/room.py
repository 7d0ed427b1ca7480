"""Whether there is room on a disk for what is about to be written, asked before the work begins."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import FULL_DISK, InputError, WorkError

FULL = (*FULL_DISK, errno.EFBIG)


def require_room(folder: Path, size_bytes: int, what: str) -> None:
    """Raise unless ``size_bytes`` fit below ``folder``: ``InputError`` for more than the whole disk holds, ``WorkError`` for a full one."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    disk = shutil.disk_usage(there)
    if size_bytes > disk.total:
        raise InputError(
            f"{what} would take {readable(size_bytes)}, more than the whole disk of {there} holds ({readable(disk.total)})",
            valid=f"what fits into the {readable(disk.free)} that are free",
            next_step="check sizes and numbers in the row and in the config",
        )
    if size_bytes > disk.free:
        raise WorkError(
            f"No space left for {what}: it takes {readable(size_bytes)}, and {readable(disk.free)} are free on the disk of {there}",
            next_step="free some space, then give the command again; what is done is kept",
        )


def reserve(descriptor: int, size_bytes: int) -> None:
    """Take so much of the disk for a file now, so that a full disk is an error here and no signal in the middle of the work."""
    if not size_bytes or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno in FULL:
            raise
        # Some file systems can't; writing then finds out.


@contextmanager
def said_when_full(what: str) -> Iterator[None]:
    """A full disk within the block as a ``WorkError`` that names ``what`` was written."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = f": {error.filename}" if error.filename else ""
        if error.errno == errno.EFBIG:
            step = "raise the limit ('ulimit -f unlimited', or another file system), then give the command again; what is done is kept"
            raise WorkError(f"{what} would be larger than files may be here{where} ({error.strerror})", next_step=step) from error
        step = "free some space, then give the command again; what is done is kept"
        raise WorkError(f"No space left while writing {what}{where} ({error.strerror})", next_step=step) from error


def readable(size_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.3g} {unit}" if size_bytes < 1000 else f"{size_bytes:,.0f} {unit}"
