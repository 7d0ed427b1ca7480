"""The plain values of a checkpoint, such as the row that it was trained by, without its tensors and without torch."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

FORMAT = "cratermill-1"
UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    StopIteration,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


def plain_in(path: Path, family: str, version: int) -> dict[str, Any] | None:
    """``hparams`` (the columns of its row) and ``seen`` of a checkpoint; None where it is of another family, version or place, or can't be
    read: ``load`` says why."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(next(one for one in archive.namelist() if one.endswith("/data.pkl"))) as file:
            content = _Plain(file).load()
        wanted = {"format": FORMAT, "family": family, "version": version, **place_in(path)}
        if any(content[name] != value for name, value in wanted.items()):
            return None
        return {"hparams": dict(content["hparams"]), "seen": dict(content.get("seen", {}))}
    except UNREADABLE:
        return None


def place_in(path: Path) -> dict[str, int]:
    """Split and iteration as the names of the file or of its folder have them."""
    found = re.findall(r"test-set-(\d+)(?:_iteration-(\d+))?", "/".join(path.parts[-2:]))
    return {what: int(number) for what, number in zip(("split", "iteration"), found[-1], strict=True) if number} if found else {}


class _Plain(pickle.Unpickler):
    """Plain values alone: whatever else a file names, tensors above all, becomes None, and none of it is called."""

    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _nothing

    def persistent_load(self, _: Any) -> None:
        return None


def _nothing(*_: Any) -> None:
    return None
