"""Removing what takes room and nobody needs any more: never what a map needs, and nothing before it was said how much it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import CratermillError
from ..core.files import read_json
from ..core.paths import Project
from ..families import FAMILIES, get_family
from ..families.members import CHECKPOINT
from .load_config import load_config

NAMES = ("checkpoints", "norms", "positions", "tests")
"""Folders of a version's log that hold further names of its cells' files (EJMAP's RM_LOG removes them)."""

Needed = set[tuple[str, int]]
"""Family and version."""


@dataclass
class Prunable:
    """What can go, by reason, and which versions' checkpoints stay since a map needs them."""

    paths: dict[str, list[Path]] = field(default_factory=dict)
    kept: Needed = field(default_factory=set)

    def facts(self, root: Path) -> dict[str, Any]:
        """How many paths and bytes, by reason, and what stays."""
        found = {
            why: {"paths": [path.relative_to(root).as_posix() for path in paths], "bytes": freed_bytes(paths)}
            for why, paths in self.paths.items()
        }
        together = [path for paths in self.paths.values() for path in paths]
        return {"remove": found, "bytes": freed_bytes(together), "kept_for_maps": sorted(self.kept)}

    def remove(self) -> None:
        for paths in self.paths.values():
            for path in paths:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def look(root: Path, checkpoints: bool = False) -> Prunable:
    """What can be removed of a project: results that were moved aside, second names in ``log/`` of files of summarised versions, and with
    ``checkpoints`` (EJMAP's SAVE_CKPT=0) the iterations' checkpoints of versions that no map names; the best of each split stays."""
    project = Project(root)
    found = Prunable(kept=needed_by_maps(root) if checkpoints else set())
    found.paths["replaced results"] = sorted(path for path in project.log.rglob("*.replaced-*") if path.is_dir())
    versions = list(summarised(project))
    logs = [project.version_log(short, version) / name for _, short, version in versions for name in NAMES]
    found.paths["further names in log/"] = [path for path in logs if path.is_dir()]
    if checkpoints:
        free = [(short, version) for family, short, version in versions if (family, version) not in found.kept]
        found.paths["checkpoints"] = [path for short, version in free for path in iteration_checkpoints(project, short, version)]
    return found


def summarised(project: Project) -> Iterator[tuple[str, str, int]]:
    """Family, folder name and number of every version that is summarised and lacks nothing."""
    for family in FAMILIES:
        short = get_family(family).short
        for folder in sorted(project.version_results(short, 0).parent.glob("version_*")):
            number = folder.name.removeprefix("version_")
            if number.isdigit() and read_json(folder / "missing.json") == []:
                yield family, short, int(number)


def iteration_checkpoints(project: Project, short: str, version: int) -> list[Path]:
    results = project.version_results(short, version).glob("best-checkpoint_test-set-*_iteration-*.ckpt")
    return sorted([*results, *(project.version_log(short, version) / "cells").glob(f"train_*/{CHECKPOINT}")])


def needed_by_maps(root: Path) -> Needed:
    """The versions of every map that is there, planned, or named in a configuration below ``configs/``."""
    project, needed = Project(root), set[tuple[str, int]]()
    for path in project.map_folder("any").parent.glob("*/provenance.json"):
        made = read_json(path) or {}
        needed |= _versions([made.get("versions"), ((made.get("config") or {}).get("map") or {}).get("versions")])
        needed |= _of_weights((made.get("made_of") or {}).get("weights"))
    for path in project.run("any").parent.glob("*/plan.json"):
        plan = read_json(path) or {}
        values = [*plan.get("shared", []), *(cell.get("params", {}).get("weights") for cell in plan.get("cells", []))]
        needed |= set().union(*(_of_weights(value) for value in values)) if values else set()
    for path in (root / "configs").rglob("*.yaml"):
        try:
            config = load_config(path)
        except CratermillError:
            continue  # a profile, a body, or a config that no launch takes either
        needed |= _versions(one.versions for one in config.maps) | _best(project, [one.versions for one in config.maps])
    return needed


def _versions(named: Iterable[Any]) -> Needed:
    pairs = [pair for versions in named if isinstance(versions, dict) for pair in versions.items()]
    lists = [(family, value if isinstance(value, list) else [value]) for family, value in pairs]
    return {(family, number) for family, numbers in lists for number in numbers if type(number) is int}


def _best(project: Project, named: Iterable[dict[str, Any]]) -> Needed:
    """Where a map asks for the best, all that it may be."""
    families = {family for versions in named for family, value in versions.items() if isinstance(value, str)}
    return {(family, version) for family, _, version in summarised(project) if family in families}


def _of_weights(weights: Any) -> Needed:
    """Versions in the weights of a map cell: family, version, split, marks."""
    if not isinstance(weights, dict):
        return set()
    return {
        (family, int(version))
        for family, versions in weights.items()
        if family in FAMILIES and isinstance(versions, dict)
        for version in versions
        if str(version).isdigit()
    }


def freed_bytes(paths: Iterable[Path]) -> int:
    """What removing these would free: a file of several names counts when all of them go."""
    names: dict[tuple[int, int], tuple[int, os.stat_result]] = {}
    for path in paths:
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                stat = file.stat()
                key = stat.st_dev, stat.st_ino
                names[key] = names.get(key, (0, stat))[0] + 1, stat
    return sum(stat.st_size for count, stat in names.values() if count >= stat.st_nlink)
