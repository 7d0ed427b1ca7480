"""The errors a user may meet. Each says what was given, what is valid and what to do next."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class CratermillError(Exception):
    """Base of all foreseen errors; the CLI prints it without a traceback and exits with ``exit_code``."""

    exit_code = 1

    def __init__(self, given: str, *, valid: str | None = None, next_step: str | None = None):
        self.given, self.valid, self.next_step = given, valid, next_step
        parts = [given]
        if valid:
            parts.append(f"Valid: {valid}")
        if next_step:
            parts.append(f"Next: {next_step}")
        super().__init__("\n".join(parts))

    def __reduce__(self):
        # Keyword-only arguments would be lost when a worker process sends the error back.
        return _rebuild, (type(self), self.given, self.valid, self.next_step)


class InputError(CratermillError):
    """What the user gave (a file, a value, an option) can't be used."""

    exit_code = 2


class WorkError(CratermillError):
    """The input was sound, but the work failed (NaN loss, full disk, missing product)."""


NAME, WORDS = r"^[A-Za-z0-9][A-Za-z0-9._-]*$", r"^[^\x00-\x1f\x7f]+$"
INSIDE, OPTION = r"^/[^\x00-\x1f\x7f,]*$", r"^--?[A-Za-z][^\x00-\x1f\x7f]*$"
_PATTERNS = {
    NAME: "letters, digits, . _ and -, a letter or digit first; no blanks",
    WORDS: "one line of text",
    INSIDE: "an absolute path without commas, on one line",
    OPTION: "an option that begins with - or --, on one line",
}


def of_pydantic(problem: Mapping[str, Any]) -> str:
    """What is wrong with a value, in words: of patterns what they stand for."""
    words = _PATTERNS.get(problem.get("ctx", {}).get("pattern"))
    return f"valid: {words}" if words else problem["msg"].removeprefix("Value error, ")


AGAIN = "give the same command again: it goes on where it stopped"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_MACHINE = {
    **dict.fromkeys(FULL_DISK, ("no space left for {where}", f"free some space (or ask for more quota) and {AGAIN}")),
    errno.EFBIG: (
        "{where} would be larger than files may be here",
        f"raise the limit ('ulimit -f unlimited', or another file system) and {AGAIN}",
    ),
    errno.ENOMEM: ("there is too little memory", f"end other programs, or take fewer workers and smaller batches, and {AGAIN}"),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        ("too many files are open at once", f"raise the limit ('ulimit -n 4096'), or take fewer workers, and {AGAIN}"),
    ),
}
"""What an operating system refuses, in words, and what to do."""
_BY_TEXT = {
    "failed to map segment": errno.ENOMEM,
    "cannot allocate memory": errno.ENOMEM,
    "can't allocate memory": errno.ENOMEM,
    "too many open files": errno.EMFILE,
    "disk is full": errno.ENOSPC,
    "no space left on device": errno.ENOSPC,
}
_BY_WORDS = (ImportError, OSError, RuntimeError)
"""How the loader of libraries, GDAL, SQLite and torch say the same without a number."""


def is_memory(error: BaseException) -> bool:
    """Whether memory was too little, whoever says so: Python, the system, a GPU, or torch and GDAL by their words alone."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return _refusal(error) == errno.ENOMEM


def is_full_disk(error: BaseException) -> bool:
    """Whether no space was left, whoever says so."""
    return _refusal(error) in FULL_DISK


def _refusal(error: BaseException) -> int | None:
    number: int | None = getattr(error, "errno", None)
    return _number_of(str(error)) if number is None and isinstance(error, _BY_WORDS) else number


def of_machine(error: BaseException) -> CratermillError | None:
    """What the machine refused (disk, memory, open files, names, rights) as an error for users; None for any other exception."""
    if isinstance(error, MemoryError):
        said, step = _MACHINE[errno.ENOMEM]
        return WorkError(f"{said}: {first_line(error)}" if str(error) else said, next_step=step)
    if isinstance(error, _BY_WORDS) and getattr(error, "errno", None) is None:
        return _by_text(first_line(error))
    if not isinstance(error, OSError):
        return None
    where = error.filename or "a file"
    if error.errno in _MACHINE:
        said, step = _MACHINE[error.errno]
        return WorkError(said.format(where=where), next_step=step)
    if error.errno == errno.ENAMETOOLONG:
        return InputError(
            f"a name is too long for the file system: {str(where)[:120]}…",
            valid="names of up to 255 bytes, paths of up to 4095",
            next_step="shorten the name of the file, of the run or of its folder",
        )
    if error.errno in NOT_ALLOWED:
        return InputError(f"not allowed to use {where}: {error.strerror}", valid="a path that you may read and write")
    return of_folder() if error.errno == errno.ENOENT else None


def _number_of(text: str) -> int | None:
    return next((number for part, number in _BY_TEXT.items() if part in text.lower()), None)


def _by_text(text: str) -> CratermillError | None:
    number = _number_of(text)
    if number is None:
        return None
    said, step = _MACHINE[number]
    return WorkError(f"{said.format(where='a file')}: {text}", next_step=step)


def of_folder() -> CratermillError | None:
    """That the current folder was removed, or None while it is there."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return InputError("the current folder does not exist any more", valid="a folder that is there", next_step="cd to the project again")
    return None


def _rebuild(kind, given, valid, next_step):
    return kind(given, valid=valid, next_step=next_step)


_FEW = 8


def nearest(value: str, valid) -> str:
    """Valid names, closest first, as one readable string (for the ``valid`` part of a message)."""
    import difflib

    names = [str(name) for name in valid]
    close = difflib.get_close_matches(str(value), names, n=3, cutoff=0.5)
    if len(names) <= _FEW:
        return ", ".join(close + [name for name in names if name not in close])
    shown = close or names[:_FEW]
    return ", ".join(shown) + f", … ({len(names)} in all)"


def first_line(error: BaseException) -> str:
    """The first line of a library's error, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
