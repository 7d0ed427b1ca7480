"""The experiment families by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError, nearest

if TYPE_CHECKING:
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
