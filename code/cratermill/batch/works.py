"""The function that does a cell's work, by name: whatever starts processes on other machines can send names only."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .cell import Science

STAGES = "cratermill.pipeline:run_cell"
"""The stages of the pipeline; batch only knows their name."""


def find(name: str | Science) -> Science:
    """`package.module:function`, or `/path/of/file.py:function`; a function is itself."""
    if not isinstance(name, str):
        return name
    module, _, function = name.rpartition(":")
    return cast("Science", getattr(_module(module), function))


def preload(name: str, stages: Collection[str]) -> None:
    """Load what the work of these stages needs, if its module knows; whatever fails here fails again, with a word, in the work itself."""
    with contextlib.suppress(Exception):
        getattr(_module(name.rpartition(":")[0]), "preload", lambda _: None)(stages)


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    key = f"_work_{Path(name).stem}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, name)
        assert spec is not None and spec.loader is not None, name
        sys.modules[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[key])
    return sys.modules[key]
