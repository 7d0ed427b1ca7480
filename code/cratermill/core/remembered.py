"""What libraries take seconds to say, kept on disk until another release of them is installed: JSON files, never objects."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .files import fingerprint, read_json, write_json

FOLDER_VARIABLE = "CRATERMILL_CACHE"


def remembered(name: str, packages: Iterable[str], modules: Iterable[str], make: Callable[[], Any]) -> Any:
    """The plain value of ``make``, called only where these packages' versions or our own ``modules`` have changed since it was kept."""
    file = f"{name}-{_mark(tuple(packages), tuple(modules))}.json"
    for folder in folders():
        found = read_json(folder / file)
        if isinstance(found, dict) and "value" in found:
            return found["value"]
    value = make()
    keep(file, {"value": value})
    return value


def keep(file: str, content: Any) -> None:
    """Write a file into the first folder that takes it; nothing is lost where none does, but time."""
    for folder in folders():
        with contextlib.suppress(OSError):
            write_json(folder / file, content)
            return


def folders() -> list[Path]:
    """Where such files lie: a folder named in the environment, else within the installed environment, else in the user's cache."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return [Path(given)]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(sys.prefix) / "share" / "cratermill", user / "cratermill"]


@cache
def _mark(packages: tuple[str, ...], modules: tuple[str, ...]) -> str:
    versions = [[name, _version(name)] for name in packages]
    return fingerprint([sys.version, versions, [_source(name) for name in modules]])[:16]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _source(module: str) -> str:
    """A module's source, by its loader: jobs run a copy of the package that is one file."""
    found = importlib.util.find_spec(module)
    get = getattr(found.loader, "get_source", None) if found else None
    return (get(module) if get else None) or module
