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

SILENT_S = 60.0
"""A holder that hasn't touched its lock for so long is gone; it does so twelve times in that time."""
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
        return process_start(self.pid) != self.began


def this_process() -> Holder:
    """A holder that no other is equal to."""
    return Holder(socket.gethostname(), os.getpid(), process_start(os.getpid()) or "", _space(), secrets.token_hex(8))


def holder_of(path: Path, silent_s: float = SILENT_S, touch: bool = True) -> Holder | None:
    """Who holds a lock now; None where it is free, or its holder is gone. Without ``touch`` no file is made to learn the server's time."""
    found = _read(path)
    return None if found is None or _stale(path, found, silent_s, touch) else found


class Claim:
    """A held lock; ``close`` gives it back."""

    def __init__(self, path: Path, me: Holder, silent_s: float):
        self.path, self._me, self._beat_s = path, me, silent_s / 12
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._beating, daemon=True, name=f"lock {path.name}")
        self._beat.start()

    @classmethod
    def take(cls, path: Path, silent_s: float = SILENT_S) -> Claim | None:
        """The lock ``path`` (a file to be, in a folder that exists), or None while another process has it."""
        me = this_process()
        return cls(path, me, silent_s) if _create(path, me) or _take_over(path, me, silent_s) else None

    def close(self) -> None:
        self._over.set()
        self._beat.join()
        if _read(self.path) == self._me:
            self.path.unlink(missing_ok=True)

    def _beating(self) -> None:
        while not self._over.wait(self._beat_s):
            with contextlib.suppress(OSError):
                if _read(self.path) == self._me:
                    os.utime(self.path)


@contextlib.contextmanager
def held(path: Path, doing: str, wait_s: float = 0.0, tell: Callable[[Holder], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock ``path`` (a file to be, in a folder that exists or can be made) within the block.

    ``doing`` says in a message what the holder does ("prepares data/demo"). ``tell`` is called with the holder again and again while
    this process waits. Raises ``Busy``, naming the holder, after ``wait_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait_s
    while (claim := Claim.take(path)) is None:
        other = _read(path)
        if time.monotonic() >= until:
            who = other.words if other else "another process"
            raise Busy(f"{who} {doing} at this moment", next_step="wait for it, or stop that process, then give the command again")
        if other:
            tell(other)
        time.sleep(POLL_S)
    try:
        yield
    finally:
        claim.close()


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


def _take_over(path: Path, me: Holder, silent_s: float) -> bool:
    """Whether the holder is gone and the lock is ours now. A folder named after the dead holder lets one process try at a time."""
    old = _read(path)
    if old is None or not _stale(path, old, silent_s):
        return False
    guard = path.with_name(f"{path.name}.{old.token}")
    try:
        guard.mkdir()
    except FileExistsError:
        with contextlib.suppress(OSError):
            if _age_s(guard) > silent_s:  # whoever took over was killed on the way
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
    try:
        mine.write_text(json.dumps(asdict(me)), encoding="utf-8")
    except OSError as error:
        with contextlib.suppress(OSError):
            mine.unlink()
        error.filename = error.filename or str(mine)
        raise
    return mine


def _read(path: Path) -> Holder | None:
    """Who wrote the lock; a nameless holder where it can't be read; None where there is no lock."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Holder("an unknown host", 0, "", "", "unreadable")


def _stale(path: Path, holder: Holder, silent_s: float, touch: bool = True) -> bool:
    try:
        return holder.gone or _age_s(path, touch) > silent_s
    except FileNotFoundError:
        return False


def _age_s(path: Path, touch: bool = True) -> float:
    """Seconds since a file was touched, by the clock of its own file system, if a file may be made there: hosts' clocks differ."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(8)}.now")
    now = time.time()
    try:
        if touch:
            with contextlib.suppress(PermissionError):
                probe.touch()
                now = probe.stat().st_mtime
        return now - path.stat().st_mtime
    finally:
        if touch:
            with contextlib.suppress(OSError):
                probe.unlink()


def process_start(pid: int) -> str | None:
    """When a process began, in clock ticks since boot (a recycled number has another value); None if there is none, or none that lives."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        # Field 3 is the state: a zombie is dead, it's only not buried yet. Field 22 is the start time.
        return None if after_name[0] in "ZX" else after_name[19]
    except (OSError, IndexError):
        pass
    try:  # without /proc
        os.kill(pid, 0)
    except OSError:
        return None
    return None if Path("/proc/self/stat").exists() else "alive"


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
