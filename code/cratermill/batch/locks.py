"""Locks on files that end with their holder, however it ends; on file systems without locks a beat decides.

There the holder keeps a claim (core/locks.py) beside the lock's file; one that was silent for SILENT_S, or whose process on this machine
is gone, is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.errors import WorkError
from ..core.files import read_json
from ..core.locks import Claim, holder_of, this_process
from . import disk
from .plan import Plan

BEAT_S = 20.0
SILENT_S = 15 * BEAT_S
RUN_LOCK = "executor.lock"
CLAIM = ".claim"
# What a file system without locks answers.
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
# Mounts on which a lock is known on one machine only.
LOCAL_LOCKS = frozenset({"nolock", "local_lock=all", "local_lock=flock", "localflock"})
POLL_S = 0.2


class Lock:
    """One held lock; `close` gives it back. `sign` says for those who find it taken who holds it."""

    def __init__(self, path: Path, descriptor: int, claim: Claim | None):
        self.path, self._descriptor, self._claim = path, descriptor, claim

    def sign(self, **more: object) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({**asdict(this_process()), **more}).encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)
        if self._claim is not None:
            self._claim.close()


def take(path: Path) -> Lock | None:
    """Take a lock, or None while somebody else has it; OSError when its file can't be made."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    claim = None
    try:
        if not _flock(descriptor, fcntl.LOCK_EX) and (claim := Claim.take(_claim_of(path), SILENT_S)) is None:
            raise BlockingIOError
        # The holder before us may have renamed the folder: then this file is no longer its lock.
        if _same_file(descriptor, path):
            return Lock(path, descriptor, claim)
        if claim is not None:
            claim.close()
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _claim_of(path: Path) -> Path:
    return path.with_name(path.name + CLAIM)


def is_taken(path: Path) -> bool:
    """Whether somebody holds a lock; reading is enough to ask."""
    if holder_of(_claim_of(path), SILENT_S, touch=False) is not None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        _flock(descriptor, fcntl.LOCK_SH)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _flock(descriptor: int, how: int) -> bool:
    """Lock by the system, BlockingIOError if another has it; False where locks don't exist or don't reach other machines."""
    if not reaches_others(Path(f"/proc/self/fd/{descriptor}")):
        return False
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise BlockingIOError(*error.args) from error
        raise
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------- file systems


@dataclass(frozen=True)
class FileSystem:
    """What is mounted at a path."""

    kind: str
    options: frozenset[str]

    @property
    def reaches_others(self) -> bool:
        return not self.options & LOCAL_LOCKS


def file_system(path: Path) -> FileSystem:
    """The mount that a path lies on; of an unknown kind where the system doesn't say."""
    try:
        number = path.stat().st_dev
    except OSError:
        return FileSystem("unknown", frozenset())
    return _mounts().get(f"{os.major(number)}:{os.minor(number)}", FileSystem("unknown", frozenset()))


def reaches_others(path: Path) -> bool:
    return file_system(path).reaches_others


@functools.cache
def _mounts() -> dict[str, FileSystem]:
    found = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            number, own = before.split()[2], before.split()[5]
            kind, _, options = after.split()[:3]
            found[number] = FileSystem(kind, frozenset({*own.split(","), *options.split(",")}))
    return found


def locks_work(folder: Path) -> tuple[bool, str]:
    """Tried in a folder: whether locks of the system serve there, and what a person should know of it."""
    path = folder / f".cratermill-lock-{os.getpid()}"
    kind = file_system(folder).kind
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if _flock(descriptor, fcntl.LOCK_EX):
            return True, f"{kind}: locks"
        return False, f"{kind}: no locks between machines; a beat decides, so what a lost node held is free after {SILENT_S:.0f} s"
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


# ---------------------------------------------------------------------- of a run


@contextlib.contextmanager
def run_lock(plan: Plan, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a run, so that it is executed or submitted by one at a time; WorkError, naming the holder, after `wait_s`."""
    path = plan.folder / RUN_LOCK
    until = time.monotonic() + wait_s
    while True:
        try:
            lock = take(path)
        except OSError as error:
            raise disk.cannot_write(path, "the run's lock", error) from error
        if lock is not None or time.monotonic() >= until:
            break
        time.sleep(POLL_S)
    if lock is None:
        holder = read_json(path) or {}
        raise WorkError(
            f"Run {plan.run} is being executed by process {holder.get('pid', '?')} on {holder.get('host', '?')}",
            next_step=f"watch it with: cratermill status {plan.run} --watch",
        )
    try:
        lock.sign()
        yield
    finally:
        lock.close()


def is_executing(plan: Plan) -> bool:
    """Whether a process executes or submits the run now."""
    return is_taken(plan.folder / RUN_LOCK)
