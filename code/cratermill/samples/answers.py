"""Answers about data that stand as long as the files do: what a launch checks of prepared data needs no libraries a second time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import fingerprint, read_json, write_json
from .inputs import BESIDE, noting

if TYPE_CHECKING:
    from ..config import Config

FOLDER, MOST = "checked", 200
"""Below ``log/``: a file per answer; how many are kept."""
PASSING = frozenset({".prepare.lock", "statistics.json"})
"""Files of a data folder that say nothing of the data."""


def remembered(config: Config, question: Any, find: Callable[[], Any], folders: Iterable[Path] = (), lasts: bool = True) -> Any:
    """What ``find`` returns (a plain value), or returned when it was asked the same before: while every file of this package, of the data
    folder, of ``folders``, and behind whatever was noted or marked on the way has the size and time that it had. Errors aren't kept,
    nor is anything unless it ``lasts`` so long (``Family.files_marked``)."""
    if not lasts:
        return find()
    roots = sorted({str(config.data.root), *map(str, folders)})
    path = config.project.log / FOLDER / f"{fingerprint([_program(), roots, question])[:32]}.json"
    known = _read(path)
    if known and known["stamp"] == _stamp(roots, known["files"]):
        return known["answer"]
    before = _stamp(roots, {})
    with noting() as files:
        answer = find()
    # What changed meanwhile is asked about again.
    if before == _stamp(roots, {}) and config.project.log.is_dir():
        with contextlib.suppress(OSError):
            write_json(path, {"answer": answer, "files": files, "stamp": _stamp(roots, files)})
            for old in sorted(path.parent.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)[:-MOST]:
                old.unlink()
    return answer


@lru_cache(maxsize=1)
def _program() -> list[Any]:
    """Changes when this package does."""
    package = Path(__file__).parents[1]
    return [_of_file(str(path)) for path in sorted(package.rglob("*.py"))]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"answer", "files", "stamp"} <= found.keys() else None


def _stamp(roots: list[str], files: dict[str, list[str]]) -> str:
    """Changes when a file below the roots does, or one of those behind the given paths, or another comes to stand behind them."""
    behind = {path: [*map(_of_file, found), *_beside(Path(path))] for path, found in files.items()}
    return fingerprint([[sorted(files_below(root)) for root in roots], behind])


def _of_file(path: str) -> list[Any]:
    try:
        status = Path(path).stat()
    except OSError:
        return [path]
    return [path, status.st_size, status.st_mtime_ns]


def _beside(path: Path) -> list[list[Any]]:
    """What readers of rasters and shapes look for beside a file: metadata, overviews, masks, world files. Of a folder all that it holds."""
    if path.is_dir():
        return sorted(files_below(str(path)))
    names = {path.name + end for end in BESIDE}
    try:
        with os.scandir(path.parent) as found:
            near = sorted(entry.path for entry in found if entry.name in names or Path(entry.name).stem == path.stem)
    except OSError:
        return []
    return [_of_file(one) for one in near]


def files_below(folder: str, above: tuple[str, ...] = ()) -> Iterator[list[Any]]:
    """All files of a folder and of the folders in it, linked ones included, once around."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from files_below(entry.path, (*above, real))
        elif entry.name not in PASSING:
            yield _of_file(entry.path)
