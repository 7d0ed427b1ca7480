"""What can go wrong with a disk, said plainly; and waiting until files are truly on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

from ..core.errors import FULL_DISK, NOT_ALLOWED, CratermillError, InputError, WorkError, of_machine


def make_folder(folder: Path, what: str) -> Path:
    """Create `folder` with its parents; InputError says which one can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, what, error) from error
    return folder


def cannot_write(path: Path, what: str, error: OSError) -> CratermillError:
    """The error to raise when `what` can't be written at `path`: WorkError on a full disk, else InputError."""
    if error.errno in FULL_DISK:
        next_step = "free some space, then launch again; finished cells are kept"
        return WorkError(f"No space left while writing {what}: {path}", next_step=next_step)
    if error.errno not in NOT_ALLOWED and (refused := of_machine(error)) is not None:
        return refused
    return InputError(f"Can't write {what}: {path} ({error.strerror})", next_step="check the owner and permissions of that folder")


def sync_files(folder: Path, but: Collection[str]) -> None:
    """Wait until what lies in `folder`, and in folders there, is on the disk, so that a rename never publishes empty files.

    `but`: names of what nobody needs there. `folder` itself is left to whoever puts the last file into it.
    """
    for path in folder.rglob("*"):
        if not (path.parent == folder and path.name in but) and not path.is_symlink():
            sync(path)


def sync(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems can't sync a folder; the rename itself is still atomic there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
