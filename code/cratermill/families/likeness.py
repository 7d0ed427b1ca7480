"""The traffic light of a map: whether its ground, and what was found there, is like what the networks learned from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.files import read_json
from ..samples.brightness import UNKNOWN, Doubt, described, doubts, light, unlike_share


def light_of(products: Iterable[Path], more: Iterable[Doubt] = (), grey: bool = True) -> dict[str, Any]:
    """``light`` (green, amber, red, or unknown where no checkpoint says what it learned from) and ``reasons`` of a map of these cells.

    Each notes what its networks were shown (:meth:`~.ensemble.Ensemble.shown`) in its metrics as ``ground``; ``more``: what the family
    has to add.
    """
    notes = _notes(products)
    found, compared = list(more), False
    for who in sorted({name for note in notes for name in note}):
        own = [note[who] for note in notes if who in note]
        here, trained = described([one["here"] for one in own]), own[0]["trained"]
        compared |= bool(here and trained)
        found += doubts(trained, here, who, grey)
    return light(found) if found or compared else {"light": UNKNOWN, "reasons": []}


def unusually_connected(products: Iterable[Path], tiles: int, connected: int) -> list[Doubt]:
    """Where the share of tiles that are connected to their crater is unlike the training's of the connection networks."""
    trained: dict[str, list[float]] = next((note["connection"]["trained"] for note in _notes(products) if "connection" in note), {})
    return unlike_share(trained["share"][0], connected / tiles, "connected tiles") if "share" in trained and tiles else []


def _notes(products: Iterable[Path]) -> list[dict[str, Any]]:
    return [(read_json(product / "cell.json", {}).get("metrics") or {}).get("ground") or {} for product in products]


def said(name: str, found: dict[str, Any]) -> list[str]:
    """A map's light in words, where it isn't green."""
    return [f"{name}: {reason}" for reason in found["reasons"]]
