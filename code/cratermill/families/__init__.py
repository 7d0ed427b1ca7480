"""The experiment families by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from importlib.metadata import EntryPoint

    from pydantic import BaseModel

    from ..config import Config
    from ..training.cell import CellParams
    from ..training.hparams import RowHparams
    from .base import Family

FAMILIES = {
    "connection": "Connection",
    "ejecta": "Ejecta",
    "autoencoder": "Autoencoder",
    "chip_classifier": "ChipClassifier",
    "sgan": "Sgan",
    "crater_unet": "CraterUnet",
    "crater_detector": "CraterDetector",
}


GROUP = "cratermill.families"
"""Entry points by which other packages bring families, ``name = "module:Class"``; see docs/adding-a-family.md."""


def get_family(name: str) -> Family:
    """The family object; its package is imported only now."""
    import importlib

    if name in FAMILIES:
        family: Family = getattr(importlib.import_module(f"{__name__}.{name}"), FAMILIES[name])()
        return family
    found = _from_packages()
    if name not in found:
        raise InputError(f"unknown family '{name}'", valid=nearest(name, [*FAMILIES, *found]), next_step="choose one of these names")
    return _loaded(name, found[name])


def family_names() -> list[str]:
    """Those that come along, then those of installed packages. The latter takes a look at every package's metadata."""
    return [*FAMILIES, *_from_packages()]


def _from_packages() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in FAMILIES}


def _loaded(name: str, entry: EntryPoint) -> Family:
    from .base import Family

    package = f"the package {entry.dist.name}" if entry.dist else "a package"
    try:
        made = entry.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"the family {name} of {package} can't be imported: {error}", next_step="install that package anew") from error
    if not isinstance(made, Family) or made.name != name:
        raise InputError(f"{entry.value} of {package} is no Family called {name}", valid="a subclass of cratermill.families.base.Family")
    return made


def row_model(name: str) -> type[RowHparams]:
    """The model of a row of the family's table."""
    return get_family(name).hparams_model()


def cell_params(values: Mapping[str, Any]) -> CellParams:
    """What a plan's cell is about. Here its row is checked and made a model, once; whoever works on the cell is handed that."""
    from ..training.cell import CellParams

    return CellParams(**{**values, "hparams": row_model(values["family"]).from_plan(values["hparams"])})


def family_data(config: Config, name: str) -> Any:
    """``train.<family>.data`` as the family's own model."""
    given = config.run.train[name].data if name in config.run.train else {}
    return config.part(get_family(name).data_model(), given, f"train.{name}.data")


def require_map_keys(config: Config, name: str) -> None:
    """Raise ``InputError`` where the map at work has keys that maps of this family don't obey."""
    from .base import EVERY_MAP

    known, run = EVERY_MAP | get_family(name).map_keys, config.map_run
    if idle := [f"map.{key}" for key in type(run).model_fields if key not in known and _is_given(run, key)]:
        valid = ", ".join(key for key in type(run).model_fields if key in known)
        raise InputError(f"{', '.join(idle)}: no key for maps of {name}", valid=valid, next_step="remove it")


def require_run_keys(config: Config, names: Collection[str]) -> None:
    """Raise ``InputError`` where the configuration has keys that none of its families obeys."""
    ignored = frozenset[str].intersection(*(get_family(name).ignored_keys for name in names)) if names else frozenset()
    for key in sorted(ignored):
        outer, _, inner = key.rpartition(".")
        if _is_given(getattr(config.run, outer) if outer else config.run, inner):
            raise InputError(f"{key}: no key for {', '.join(sorted(names))}", next_step="remove it: it would do nothing")


def _is_given(part: BaseModel, key: str) -> bool:
    """Whether a key says something else than when it is left out."""
    return bool(getattr(part, key) != type(part).model_fields[key].get_default(call_default_factory=True))


def map_options(config: Config, name: str) -> Any:
    """``map.options`` as the model of the family that makes the map."""
    return config.part(get_family(name).map_model(), config.map.options if config.map else {}, "map.options")
