"""The trained iterations that an ensemble is made of: found by version and split, recognised by content."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError, WorkError
from ..core.files import content_digest, stat_fingerprint
from . import get_family

if TYPE_CHECKING:
    from ..config import Config

Digests = dict[str, str]
"""Iteration number (as text, since plans are JSON) and the digest of its checkpoint."""


def checkpoint_paths(config: Config, family: str, version: int, split: int) -> dict[int, Path]:
    """The checkpoint of every iteration: a published train cell's, else the one in ``results/`` (EJMAP's, or another machine's)."""
    short, project = get_family(family).short, config.project
    results = project.version_results(short, version).glob(f"best-checkpoint_test-set-{split}_iteration-*.ckpt")
    found = {_iteration(path.stem): path for path in results}
    cells = (project.version_log(short, version) / "cells").glob(f"train_test-set-{split}_iteration-*/best.ckpt")
    found |= {_iteration(path.parent.name): path for path in cells if (path.parent / "cell.json").exists()}
    found.pop(-1, None)
    if not found:
        folder = project.relative(project.version_results(short, version))
        raise InputError(
            f"{family} version {version} has no checkpoint for split {split}",
            valid=_trained_splits(config, short, version) or "none: this version was never trained here",
            next_step=f"train it (cratermill launch train CONFIG), or copy checkpoints to {folder}",
        )
    return dict(sorted(found.items()))


def checkpoint_digests(config: Config, family: str, version: int, split: int) -> Digests:
    """What a plan freezes: which weights were there at launch."""
    return {str(iteration): digest(path) for iteration, path in checkpoint_paths(config, family, version, split).items()}


def frozen_paths(config: Config, family: str, version: int, split: int, digests: Digests) -> list[Path]:
    """The paths of a plan's checkpoints; ``WorkError`` if one is gone or isn't what it was at launch."""
    paths = checkpoint_paths(config, family, version, split)
    for iteration, wanted in digests.items():
        path = paths.get(int(iteration))
        if path is None or digest(path) != wanted:
            what = "is gone" if path is None else f"({path}) is not the one that was there at launch"
            name = f"{family} version {version}, split {split}, iteration {iteration}"
            raise WorkError(f"the checkpoint of {name} {what}", next_step="launch the map again")
    return [paths[int(iteration)] for iteration in digests]


def digest(path: Path) -> str:
    return _digest(path, *stat_fingerprint(path))


@lru_cache(maxsize=1024)
def _digest(path: Path, *_stat: int) -> str:
    return content_digest(path)


def _iteration(name: str) -> int:
    match = re.search(r"iteration-(\d+)$", name)
    return int(match[1]) if match else -1


def _trained_splits(config: Config, short: str, version: int) -> str:
    names = [path.name for path in config.project.version_results(short, version).glob("best-checkpoint_test-set-*_iteration-*.ckpt")]
    names += [path.parent.name for path in (config.project.version_log(short, version) / "cells").glob("train_test-set-*/best.ckpt")]
    splits = sorted({int(match[1]) for name in names if (match := re.search(r"test-set-(\d+)", name))})
    return f"splits {', '.join(map(str, splits))}" if splits else ""
