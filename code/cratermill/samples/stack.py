"""Training samples as a few large arrays: memory-mapped stacks with a parquet manifest beside them.

Arrays are ``image.npy`` (N, B, h, w) in the mosaic's dtype and, by view, ``mask.npy`` or ``attention.npy`` (N, h, w) uint8;
``rows.parquet`` has one row per sample, in the same order.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import InputError


@dataclass(frozen=True)
class Stack:
    """One prepared view of the training tiles."""

    folder: Path

    @property
    def exists(self) -> bool:
        return (self.folder / "rows.parquet").exists()

    def rows(self) -> pd.DataFrame:
        self._require("rows.parquet")
        return pd.read_parquet(self.folder / "rows.parquet")

    def array(self, name: str) -> np.ndarray:
        """The array, mapped and not read; pages come in as samples are taken."""
        self._require(f"{name}.npy")
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def digest(self) -> str:
        """Hash of the samples, made when they were written."""
        self._require(DIGEST)
        return (self.folder / DIGEST).read_text(encoding="ascii").strip()

    def _require(self, name: str) -> None:
        if not (self.folder / name).exists():
            raise InputError(f"training samples are missing: {self.folder / name}", next_step="run 'cratermill prepare CONFIG'")


DIGEST = "digest.txt"


def hash_files(folder: Path) -> str:
    """Hash of all files of a folder, names included."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                found.update(block)
    return found.hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of ``folder`` when complete, and vanishes if anything goes wrong."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        (part / DIGEST).write_text(hash_files(part), encoding="ascii")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def new_array(folder: Path, name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
