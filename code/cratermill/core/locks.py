"""A lock on a folder that needs nothing from the file system but files that are created once: it works without flock, too.

The lock is a file that names its holder: host, process, when that began. The holder touches it every few seconds. A lock whose holder is
dead (same host) or silent for a minute (any host) is taken over, by one process only.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import WorkError

BEAT_S = 5.0
SILENT_S = 60.0
"""A holder that hasn't touched its lock for so long is gone."""
POLL_S = 0.5


class Busy(WorkError):
    """Another process holds the lock."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. ``space``: the process numbers' namespace, since containers of one host name may not see each other's processes."""

    host: str
    pid: int
    began: str
    space: str
    token: str

    @property
    def words(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended; False where that can't be seen from here."""
        if (self.host, self.space) != (socket.gethostname(), _space()):
            return False
        return _began(self.pid) != self.began


def holder_of(path: Path) -> Holder | None:
    """Who holds a lock now; None where it is free, or its holder is gone."""
    found = _read(path)
    return None if found is None or _stale(path, found) else found


@contextlib.contextmanager
def held(path: Path, doing: str, wait_s: float = 0.0, tell: Callable[[Holder], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock ``path`` (a file to be, in a folder that exists or can be made) within the block.

    ``doing`` says in a message what the holder does ("prepares data/demo"). ``tell`` is called with the holder again and again while
    this process waits. Raises ``Busy``, naming the holder, after ``wait_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    me = Holder(socket.gethostname(), os.getpid(), _began(os.getpid()), _space(), secrets.token_hex(8))
    until = time.monotonic() + wait_s
    while not (_create(path, me) or _take_over(path, me)):
        other = _read(path)
        if time.monotonic() >= until:
            who = other.words if other else "another process"
            raise Busy(f"{who} {doing} at this moment", next_step="wait for it, or stop that process, then give the command again")
        if other:
            tell(other)
        time.sleep(POLL_S)
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, me, over), daemon=True, name=f"lock {path.name}")
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()
        if _read(path) == me:
            path.unlink(missing_ok=True)


def _create(path: Path, me: Holder) -> bool:
    """Whether the lock was free and is ours now. The record comes with its name, so that nobody reads half of one."""
    mine = _written(path, me)
    try:
        os.link(mine, path)
        return True
    except FileExistsError:
        return False
    except OSError:  # no hard links here
        return _create_exclusively(path, mine)
    finally:
        mine.unlink(missing_ok=True)


def _create_exclusively(path: Path, mine: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(mine.read_bytes())
    return True


def _take_over(path: Path, me: Holder) -> bool:
    """Whether the holder is gone and the lock is ours now. A folder named after the dead holder lets one process try at a time."""
    old = _read(path)
    if old is None or not _stale(path, old):
        return False
    guard = path.with_name(f"{path.name}.{old.token}")
    try:
        guard.mkdir()
    except FileExistsError:
        with contextlib.suppress(OSError):
            if _age_s(guard) > SILENT_S:  # whoever took over was killed on the way
                guard.rmdir()
        return False
    try:
        if _read(path) != old:
            return False
        _written(path, me).replace(path)
        return True
    finally:
        with contextlib.suppress(OSError):
            guard.rmdir()


def _written(path: Path, me: Holder) -> Path:
    mine = path.with_name(f"{path.name}.{me.token}.tmp")
    mine.write_text(json.dumps(asdict(me)), encoding="utf-8")
    return mine


def _read(path: Path) -> Holder | None:
    """Who wrote the lock; a nameless holder where it can't be read; None where there is no lock."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Holder("an unknown host", 0, "", "", "unreadable")


def _stale(path: Path, holder: Holder) -> bool:
    try:
        return holder.gone or _age_s(path) > SILENT_S
    except FileNotFoundError:
        return False


def _age_s(path: Path) -> float:
    """Seconds since a file was touched, by the clock of its own file system: hosts' clocks differ."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(8)}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _beat(path: Path, me: Holder, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        with contextlib.suppress(OSError):
            if _read(path) == me:
                os.utime(path)


def _began(pid: int) -> str:
    """When a process began, in the kernel's own count; empty where there is no such process (any more)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:  # without /proc
        os.kill(pid, 0)
        return "alive"
    except OSError:
        return ""


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
