"""Run configurations from files and plans, checked by the families that they name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..config import Config, RunConfig
from ..core.errors import InputError, nearest
from ..core.models import checked, read_keys
from ..core.paths import find_root
from ..families import FAMILIES, family_data, family_names, map_options, require_map_keys, require_run_keys
from ..fetching.datasets import resolved
from ..geo.elsewhere import with_stand_ins
from .changes import changed
from .plan_maps import makers_among

EXAMPLE = "see configs/demo/demo.yaml for an example"


def load_config(path: Path, changes: Iterable[str] = ()) -> Config:
    """Read and check a run configuration; raises ``InputError`` with file, key, value and valid names.

    ``changes``: key=value, which overrule the file's.
    """
    path = Path(path)
    content = read_keys(path, "the config ", EXAMPLE)
    if changes:
        content = changed(content, changes)
    return parse_config(content, find_root(path), path)


def parse_config(content: Any, root: Path, source: Path | None = None) -> Config:
    """Check a configuration already read (from a file or from a frozen plan)."""
    if not isinstance(content, dict):
        raise InputError(f"{source or 'the config'} holds no keys", valid="name, data, train, …", next_step="see configs/demo/demo.yaml")
    run = checked(RunConfig, with_stand_ins(root, resolved(root, content)), str(source or "the config"))
    config = Config(run, root, source)
    _require_sound(config)
    return config


def _require_sound(config: Config) -> None:
    """Check what only the families can check; raises ``InputError``."""
    for name in config.run.train:
        if name not in FAMILIES and name not in (known := family_names()):
            raise InputError(
                f"{config.source or 'the config'} can't be used:\n  train: unknown family '{name}'; valid: {nearest(name, known)}",
                next_step="correct these keys and run again",
            )
    for name in config.run.train:
        family_data(config, name)
    require_run_keys(config, {*config.run.train, *(name for one in config.maps for name in one.versions)})
    for one in map(config.of_map, config.maps):
        for name in makers_among(one.map_run.versions):
            map_options(one, name)
            require_map_keys(one, name)
