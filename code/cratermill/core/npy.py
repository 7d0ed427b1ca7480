"""Arrays in .npy files that anyone may have made: never unpickled, and no larger in memory than on the disk."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from .errors import InputError, first_line

if TYPE_CHECKING:
    import numpy as np


FLAWS = (OSError, ValueError, EOFError, MemoryError, OverflowError, RecursionError, SyntaxError, TypeError, TokenError, BadZipFile)
"""What NumPy raises for odd files; headers are read like Python's literals."""


def read_npy(path: Path, kinds: str = "buif") -> np.ndarray:
    """The array of a file, of numbers unless other ``kinds`` of types are let through.

    ``FileNotFoundError``, or ``InputError`` for anything but a whole array.
    """
    import numpy as np

    try:
        # Mapped first: a header that says more than the file holds is refused before anything is allocated.
        array = _mapped(path)
    except FileNotFoundError:
        raise
    except FLAWS as error:
        raise InputError(
            f"{path} can't be read: {first_line(error)}", valid="an .npy array of numbers", next_step="save it again, without objects"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        raise InputError(f"{path} holds no array of numbers", valid="an .npy array of numbers", next_step="save a single array in it")
    return np.array(array)


def _mapped(path: Path) -> np.ndarray:
    import numpy as np

    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "empty" not in str(error):
            raise
        return np.load(path, allow_pickle=False)  # arrays of no values can't be mapped
