"""Files below a folder or inside a zip archive, which people use for the same thing."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from .errors import InputError, first_line

FLAWS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)
"""What unreadable files raise; the last two are for encrypted ones and unknown ways of packing."""

MOST_PACKED, SMALL_BYTES = 200, 2**20
"""A file that unpacks to more than so many times its packed size (or this size, if that is larger) is taken for a trap."""


class FolderOrZip:
    """Reads single files by their names, safely on several threads; the archive is opened once."""

    def __init__(self, path: Path):
        self.path, self.archive = path, None
        if path.is_dir():
            return
        try:
            self.archive = zipfile.ZipFile(path)
        except FLAWS as error:
            raise InputError(
                f"{path} is neither a folder nor a zip file: {_cause(error)}",
                valid="a folder, or a zip file that is whole",
                next_step="check the path" if not path.exists() else "copy or download it again",
            ) from error

    @cached_property
    def names(self) -> list[str]:
        """All files at any depth, ``/`` between folders, sorted; without hidden files and folders (``.ipynb_checkpoints`` holds copies) and
        what macOS adds to archives."""
        if self.archive is None:
            names = [file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file()]
        else:
            names = [name for name in self._members if not name.endswith("/") and "__MACOSX" not in name]
        return sorted(name for name in names if not any(_hidden(part) for part in name.split("/")))

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        """What the archive holds by names with ``/``: older Windows tools write ``\\`` between folders."""
        found: dict[str, zipfile.ZipInfo] = {}
        for member in self.archive.infolist() if self.archive else []:
            name = member.filename.replace("\\", "/")
            if name in found and not name.endswith("/"):
                raise InputError(f"{self.path} holds {name} twice", valid="one file of each name", next_step="pack it again")
            found[name] = member
        return found

    def ending(self, suffixes: Sequence[str]) -> list[str]:
        """The names that end like one of ``suffixes`` (".png", lower case), in any case."""
        return [name for name in self.names if name.lower().endswith(tuple(suffixes))]

    def read(self, name: str) -> bytes:
        try:
            return self._unpacked(name) if self.archive else (self.path / name).read_bytes()
        except (*FLAWS, KeyError) as error:
            where = f"{self.path}: {name}" if self.archive else f"{self.path / name}"
            raise InputError(f"{where} can't be read: {_cause(error)}", next_step="remove or replace it") from error

    def _unpacked(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > MOST_PACKED * max(member.compress_size, SMALL_BYTES):
            raise InputError(
                f"{self.path}: {name} has {member.compress_size} bytes packed and {member.file_size} unpacked",
                valid=f"at most {MOST_PACKED} times its size",
                next_step="check where the archive comes from",
            )
        assert self.archive is not None
        return self.archive.read(member)


def _hidden(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..")  # archives may name their members from ./ on


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
