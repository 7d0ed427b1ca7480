"""Steps of preparing data: each is done again only when what it was made from, or what it made, is no longer the same."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..core.errors import InputError
from ..core.files import content_digest, read_json, stat_fingerprint, write_json
from ..core.progress import Progress
from ..core.room import said_when_full

if TYPE_CHECKING:
    from ..config import Config

Job = TypeVar("Job")
Result = TypeVar("Result")
SHOWN = 100
"""Inputs of so many letters are kept as they are, so that a message can show them; of longer ones a hash."""


class Kept(Protocol):
    """An output that knows itself whether it is whole."""

    @property
    def folder(self) -> Path: ...

    def digest(self) -> str: ...

    def fault(self) -> str | None:
        """What is wrong with it, in words; None where nothing is."""


@dataclass(frozen=True)
class Doubt:
    """Why a step's outputs can't be used as they are; ``changed``: its inputs are others now."""

    words: str
    valid: str | None = None
    undone: bool = False


class Steps:
    """Remembers in ``prepared.json`` of the data folder what each step was made from and what it made. ``made`` names those done now.

    With ``check`` nothing is done: a step that would be raises ``InputError``, which says what changed; ``"changed"`` lets pass steps that
    were never done, ``"all"`` doesn't.
    """

    def __init__(self, config: Config, progress: Progress = lambda *_: None, workers: int = 1, check: str | None = None):
        self.config, self.data, self.progress, self.workers, self.check = config, config.data, progress, max(1, workers), check
        self.done: dict[str, Any] = read_json(self.data.prepared, {}).get("steps", {})
        self.made: list[str] = []
        self._recording = threading.Lock()

    def step(self, name: str, inputs: Mapping[str, Any], outputs: Iterable[Path | Kept], work: Callable[[], Any]) -> None:
        """Run ``work`` unless it was done with these very inputs (plain values by what they are) and its outputs are as it left them."""
        given, outputs = {label: _short(value) for label, value in inputs.items()}, list(outputs)
        doubt = self._doubt(name, given, outputs)
        if doubt is None:
            return
        if self.check:
            if self.check == "all" or not doubt.undone:
                raise InputError(doubt.words, valid=doubt.valid, next_step=self.config.prepare_hint)
            return
        with said_when_full(f"what prepare makes ({name})"):
            work()
        with self._recording:  # steps of single parts end on several threads
            self.done[name] = {"inputs": given, "outputs": dict(map(self._mark, outputs))}
            self.made.append(name)
            self.save()

    def mark_of(self, name: str) -> str | None:
        """A plain value that changes when what a step was made from does; None for a step that wasn't done."""
        done = self.done.get(name)
        return hash_of(done["inputs"]) if isinstance(done, dict) else done

    def save(self) -> None:
        # Read again, since families prepared one after another share the file.
        content = read_json(self.data.prepared, {})
        write_json(self.data.prepared, content | {"steps": self.done})

    def each(self, label: str, jobs: list[Job], work: Callable[[Job], Result]) -> list[Result]:
        """``work`` over ``jobs`` on threads (sampling releases the GIL), results in order, progress reported."""
        results = []
        with ThreadPoolExecutor(self.workers) as pool:
            for number, result in enumerate(pool.map(work, jobs), 1):
                results.append(result)
                self.progress(label, number, len(jobs))
        return results

    def require(self, names: Iterable[str] = ()) -> None:
        """Raise ``InputError`` unless these steps (or any, without names) were done."""
        missing = [name for name in names if name not in self.done]
        if missing or not self.done:
            lacking = f" (missing: {', '.join(missing)})" if missing else ""
            raise InputError(f"the data in {self.data.root} are not prepared{lacking}", next_step=self.config.prepare_hint)

    @property
    def of_earlier_version(self) -> bool:
        """Whether a version of cratermill did steps here that noted less of what they were made from; they are done again."""
        return any(not isinstance(done, dict) for name, done in self.done.items() if not name.startswith("import "))

    def _doubt(self, name: str, given: dict[str, Any], outputs: list[Path | Kept]) -> Doubt | None:
        done, root = self.done.get(name), self.data.root
        if done is None:
            return Doubt(f"the data in {root} are not prepared (missing: {name})", undone=True)
        if not isinstance(done, dict):
            return Doubt(f"the data in {root} were prepared by an earlier version of cratermill ({name})")
        before = done["inputs"]
        other = [label for label in given | before if given.get(label) != before.get(label)]
        if other:
            known = ", ".join(f"{label} {json.dumps(before[label])}" for label in other if not str(before.get(label, "#")).startswith("#"))
            valid = f"what they were prepared with: {known}" if known else None
            return Doubt(f"the data in {root} were prepared with another {' and '.join(other)} ({name})", valid)
        faults = (self._fault(path, done["outputs"]) for path in outputs)
        return next((Doubt(f"{fault} ({name})") for fault in faults if fault), None)

    def _fault(self, output: Path | Kept, marks: dict[str, Any]) -> str | None:
        if not isinstance(output, Path):
            other = marks.get(self._relative(output.folder))
            return output.fault() or (None if other == output.digest() else f"{output.folder} holds other samples than were made there")
        if not output.exists():
            return f"{output} is missing"
        size, time, digest = marks.get(self._relative(output)) or (None, None, None)
        if stat_fingerprint(output) == [size, time] or content_digest(output) == digest:
            return None
        return f"{output} is not as prepare left it"

    def _mark(self, output: Path | Kept) -> tuple[str, Any]:
        if not isinstance(output, Path):
            return self._relative(output.folder), output.digest()
        return self._relative(output), [*stat_fingerprint(output), content_digest(output)]

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.data.root)


def _short(value: Any) -> Any:
    """The value as JSON reads it, or ``#`` and its hash where it is long."""
    text = json.dumps(value, sort_keys=True)
    return json.loads(text) if len(text) <= SHOWN and not text.startswith('"#') else f"#{hash_of(value)}"


def hash_of(value: Any) -> str:
    """A hash of a plain value; unlike a fingerprint it takes numbers that aren't finite."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
