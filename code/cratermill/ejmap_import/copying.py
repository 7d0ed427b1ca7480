"""Bringing files along: large rasters as hard links where the disk allows it, everything else as copies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..core.files import atomic_path, link_or_copy


def bring(source: Path, target: Path, *, link: bool = False) -> bool:
    """Make ``target`` the same as ``source`` unless it is already (by size and time of change); returns whether it had to."""
    if _same(source, target):
        return False
    if link:
        link_or_copy(source, target)
    else:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    times = source.stat()
    if not os.path.samestat(times, target.stat()):
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    return True


def bring_unless_edited(source: Path, target: Path, before: str | None) -> str:
    """As :func:`bring` for files that users edit: a target that isn't as it was brought (content digest ``before``) is left alone.

    Returns the digest to remember; the old one where nothing was done.
    """
    from ..core.files import content_digest

    wanted = content_digest(source)
    if target.exists() and content_digest(target) not in (wanted, before):
        return before or ""
    bring(source, target)
    return wanted


def _same(source: Path, target: Path) -> bool:
    if not target.exists():
        return False
    one, other = source.stat(), target.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
