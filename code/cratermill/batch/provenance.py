"""What a run was made with: code (commit, changes, hash), Python, packages, host."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import marshal
import platform
import socket
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from ..core.files import atomic_path
from ..core.paths import Project, shipped_configs

SOURCES = (".py", ".js")
"""Ends of the files of the package that it reads when it runs."""
SOURCE_SUFFIXES = {*SOURCES, ".yaml", ".csv", ".toml", ".json"}
LARGEST_UNTRACKED_BYTES = 1_000_000


def describe_code(root: Path) -> dict[str, Any]:
    """Commit, dirty flag, hash of the package's sources, versions of Python and of every package."""
    commit = _git(root, "rev-parse", "HEAD")
    dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=all", "--", "code"))
    return {
        "commit": commit.strip() if commit else None,
        "dirty": dirty,
        "code_sha256": code_hash(),
        "python": platform.python_version(),
        "packages": _packages(),
        "host": socket.gethostname(),
        "created": time.time(),
    }


@functools.cache
def code_hash() -> str:
    """sha256 over names and contents of the sources that this process began with; the same with or without git, from a copy or not."""
    digest = hashlib.sha256()
    for name, content in sorted(_sources().items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


@functools.cache
def _sources() -> dict[str, bytes]:
    package = Path(__file__).parents[1]
    if package.parent.suffix == ".zip":
        with zipfile.ZipFile(package.parent) as archive:
            names = [name for name in archive.namelist() if name.endswith(SOURCES)]
            return {name.partition("/")[2]: archive.read(name) for name in names}
    package = package.resolve()
    return {path.relative_to(package).as_posix(): path.read_bytes() for end in SOURCES for path in package.rglob(f"*{end}")}


def keep_code(root: Path) -> Path:
    """A copy of the package as one file below the project's log, made once per state of the code; jobs run it, whatever is edited since.

    With byte code that no clock can make stale: nodes needn't compile it, nor look for hundreds of files on a busy file system.
    """
    path = code_path(root)
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_bytes(_archive())
    return path


@functools.cache
def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _sources().items():
            archive.writestr(f"cratermill/{name}", content)
            if name.endswith(".py"):
                archive.writestr(f"cratermill/{name}c", _byte_code(name, content))
    return stream.getvalue()


def code_path(root: Path) -> Path:
    """Where the copy of the code that runs now lies, or will."""
    return Project(root).log / "code" / f"{code_hash()[:16]}.zip"


def _byte_code(name: str, content: bytes) -> bytes:
    """What Python keeps in a .pyc file, marked as not to be checked against the source (PEP 552); taken from its cache where it fits."""
    path = Path(__file__).parents[1] / name
    unchecked = importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little") + importlib.util.source_hash(content)
    try:
        cached, details = Path(importlib.util.cache_from_source(str(path))).read_bytes(), path.stat()
    except OSError:
        cached, details = b"", None
    of_file = details and struct.pack("<III", 0, int(details.st_mtime) & 0xFFFFFFFF, details.st_size & 0xFFFFFFFF)
    if cached[:4] == importlib.util.MAGIC_NUMBER and cached[4:16] in (of_file, unchecked[4:]):
        return unchecked + cached[16:]
    return unchecked + marshal.dumps(compile(content, str(path), "exec", dont_inherit=True))


def configs_folder() -> Path | None:
    """The folder configs/ of the installation, if it is one with the sources beside it."""
    folder = shipped_configs()
    return folder if folder.is_dir() else None


def made_with(provenance: dict[str, Any]) -> dict[str, Any]:
    """What the code that runs is, for the record of a product: the plan's provenance, or the earlier one that this job was sent with."""
    running = code_hash()
    known = [provenance, *provenance.get("earlier", [])]
    mine = next((one for one in known if one.get("code_sha256") == running), provenance)
    return {name: mine.get(name) for name in ("commit", "dirty", "code_sha256", "python")}


def dirty_diff(root: Path) -> str:
    """Everything in which the working tree's code differs from its commit, as one patch (may be empty)."""
    parts = [_git(root, "diff", "HEAD", "--", "code") or ""]
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "code") or ""
    for name in filter(None, untracked.split("\0")):
        path = root / name
        if path.suffix in SOURCE_SUFFIXES and path.stat().st_size <= LARGEST_UNTRACKED_BYTES:
            parts.append(_git(root, "diff", "--no-index", "--", "/dev/null", name) or "")
    return "".join(parts)


@functools.cache
def _packages() -> dict[str, str]:
    """Versions by name, from the names of the folders in which installers keep their notes: reading those takes a second and more."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            for path in sorted(Path(folder or ".").glob("*.dist-info")):
                name, _, version = path.stem.rpartition("-")
                found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))


def _git(root: Path, *arguments: str) -> str | None:
    """The output of git, or None without git or outside a repository (a copy of the code is a fine place to work)."""
    command = ["git", "-C", str(root), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    # `diff --no-index` answers 1 when the files differ, which they do.
    return answer.stdout if answer.returncode == 0 or "--no-index" in arguments else None
