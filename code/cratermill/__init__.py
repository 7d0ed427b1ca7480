"""Train, evaluate and map with planetary mosaics, on a laptop or a Slurm cluster.

What notebooks and scripts use is in :mod:`cratermill.api`, and loaded when it is asked for: ``from cratermill import open_mosaic``.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = [  # of the module api; __init__.pyi tells type checkers
    "Run",
    "launch",
    "load_config",
    "open_craters",
    "open_leaderboard",
    "open_map",
    "open_mosaic",
    "open_table",
    "plan",
    "prepare",
    "sample_tile",
    "status",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(".api", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
