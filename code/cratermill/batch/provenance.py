"""What a run was made with: code (commit, changes, hash), Python, packages, host."""

from __future__ import annotations

import hashlib
import platform
import socket
import subprocess
import time
from pathlib import Path

SOURCE_SUFFIXES = {".py", ".yaml", ".csv", ".toml", ".json"}
LARGEST_UNTRACKED_BYTES = 1_000_000


def describe_code(root: Path) -> dict:
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


def code_hash() -> str:
    """sha256 over names and contents of the sources of the installed package; the same with or without git."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def dirty_diff(root: Path) -> str:
    """Everything in which the working tree's code differs from its commit, as one patch (may be empty)."""
    parts = [_git(root, "diff", "HEAD", "--", "code") or ""]
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "code") or ""
    for name in filter(None, untracked.split("\0")):
        path = root / name
        if path.suffix in SOURCE_SUFFIXES and path.stat().st_size <= LARGEST_UNTRACKED_BYTES:
            parts.append(_git(root, "diff", "--no-index", "--", "/dev/null", name) or "")
    return "".join(parts)


def _packages() -> dict[str, str]:
    import importlib.metadata

    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found[name.lower()] = distribution.version
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
