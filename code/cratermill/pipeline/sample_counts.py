"""What prepared data can carry: how many samples a row gets, and how small its craters are; said before hours are spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError
from ..core.files import fingerprint
from ..core.seeds import seed_of
from ..families import get_family
from ..training.cell import CellParams

if TYPE_CHECKING:
    from ..config import Config

FEW_SAMPLES, SMALL_PX = 100, 5.0
"""Fewer training samples teach a network hardly anything; smaller craters are a few pixels that nobody could tell from noise."""


def carried(config: Config, name: str, rows: list[Any]) -> tuple[list[str], list[str]]:
    """Notes (counts, once per kind of data) and warnings (where they can't carry a row)."""
    family, run = get_family(name), config.run.train[name]
    notes, warnings, seen = list[str](), list[str](), set[str]()
    for row in rows:
        splits = run.splits_of(row)
        if not splits:
            continue
        seed = seed_of(config.run.seed, name, row.version, splits[0], 0)
        try:
            mark = fingerprint([family.data_fingerprint(config, row)])
            if mark in seen:
                continue
            seen.add(mark)
            data = family.datasets(config, CellParams(name, row.version, splits[0], 0, seed, row))
        except CratermillError as error:
            # Such as weights to begin with that aren't here: launching refuses them, and the data is prepared.
            warnings.append(f"version {row.version}, split {splits[0]}: {error.given}")
            continue
        counts = [len(part) for part in (data.train, data.val, data.test)]
        text = ", ".join(f"{count} {what}" for count, what in zip(counts, ("training", "validation", "test"), strict=True))
        notes.append(f"version {row.version}, split {splits[0]} of {len(splits)}: {text} samples")
        if counts[0] < FEW_SAMPLES:
            warnings.append(f"version {row.version} trains on {counts[0]} samples only; below {FEW_SAMPLES} scores say little. Draw more")
        if min(counts[1:]) < 10:
            warnings.append(f"version {row.version} is judged by {min(counts[1:])} samples only: its scores will jump")
    return notes, warnings


def smallest_crater(config: Config) -> tuple[list[str], list[str]]:
    """Of the data folder's crater list on its mosaic, where both are there."""
    from ..craters.catalogue import read_catalogue
    from ..geo.mosaic import Mosaic

    if not (config.data.craters.exists() and config.mosaic.exists()):
        return [], []
    try:
        with Mosaic.open(config.mosaic) as mosaic:
            table = read_catalogue(config.data.craters, mosaic.grid.body, **config.run.crater_list.told)
            diameters = 2 * table["radius_m"].to_numpy(float) / mosaic.grid.resolution_m
    except CratermillError:
        return [], []  # said by whoever needs the list
    if not len(diameters):
        return [], []
    small = int((diameters < SMALL_PX).sum())
    notes = [f"{len(diameters)} craters, the smallest {diameters.min():.1f} pixels across"]
    if not small:
        return notes, []
    return notes, [f"{small} of {len(diameters)} craters are less than {SMALL_PX:g} pixels across: the mosaic is too coarse for them"]
