"""The experiment families by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, nearest

if TYPE_CHECKING:
    from ..config import Config
    from ..training.hparams import RowHparams
    from .base import Family

FAMILIES = {
    "connection": "Connection",
    "ejecta": "Ejecta",
    "autoencoder": "Autoencoder",
    "chip_classifier": "ChipClassifier",
    "sgan": "Sgan",
    "crater_unet": "CraterUnet",
}


def get_family(name: str) -> Family:
    """The family object; its package is imported only now."""
    import importlib

    if name not in FAMILIES:
        raise InputError(f"unknown family '{name}'", valid=nearest(name, FAMILIES), next_step="choose one of these names")
    return getattr(importlib.import_module(f"{__name__}.{name}"), FAMILIES[name])()


def row_model(name: str) -> type[RowHparams]:
    """The model of a row of the family's table."""
    return get_family(name).hparams_model()


def family_data(config: Config, name: str) -> Any:
    """``train.<family>.data`` as the family's own model."""
    given = config.run.train[name].data if name in config.run.train else {}
    return config.part(get_family(name).data_model(), given, f"train.{name}.data")


def map_options(config: Config, name: str) -> Any:
    """``map.options`` as the model of the family that makes the map."""
    return config.part(get_family(name).map_model(), config.map.options if config.map else {}, "map.options")
