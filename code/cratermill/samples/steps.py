"""Steps of preparing data, each done again only when its inputs changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import fingerprint, read_json, write_json
from ..core.progress import Progress

if TYPE_CHECKING:
    from ..config import Config


class Steps:
    """Remembers in ``prepared.json`` of the data folder from which inputs each step was done. ``made`` names those done now."""

    def __init__(self, config: Config, progress: Progress = lambda *_: None, workers: int = 1):
        self.config, self.data, self.progress, self.workers = config, config.data, progress, max(1, workers)
        self.done: dict[str, str] = read_json(self.data.prepared, {}).get("steps", {})
        self.made: list[str] = []
        self._recording = threading.Lock()

    def step(self, name: str, inputs: Any, outputs: Iterable[Path], work: Callable[[], Any]) -> None:
        """Run ``work`` unless it was done with these very inputs (plain values) and its outputs are still there."""
        mark = fingerprint(inputs)
        if self.done.get(name) == mark and all(path.exists() for path in outputs):
            return
        work()
        with self._recording:  # steps of single parts end on several threads
            self.done[name] = mark
            self.made.append(name)
            self.save()

    def save(self) -> None:
        # Read again, since families prepared one after another share the file.
        content = read_json(self.data.prepared, {})
        write_json(self.data.prepared, content | {"steps": self.done})

    def each(self, label: str, jobs: list, work: Callable[[Any], Any]) -> list:
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
            raise InputError(
                f"the data in {self.data.root} are not prepared{lacking}",
                next_step=self.config.prepare_hint,
            )
