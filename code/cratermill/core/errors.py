"""The errors a user may meet. Each says what was given, what is valid and what to do next."""

from __future__ import annotations


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
