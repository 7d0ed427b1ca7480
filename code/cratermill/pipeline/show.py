"""Pictures of what networks are given: a training sample, and what augmentation does to a tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError, nearest
from ..core.seeds import seed_of
from ..families import get_family
from ..training.cell import CellParams, Datasets
from .load_config import load_config
from .planning import wanted_rows

if TYPE_CHECKING:
    from ..config import Config
    from ..training.hparams import RowHparams

DRAWS = 4
"""Epochs of a sample, and draws of a change, that are shown."""
TILE_PX = 224
LISTED = 4
"""Columns at most of what is a list and no picture."""


def sample(path: Path, name: str, number: int, version: int | None = None, to: Path | None = None) -> Path:
    """Training sample ``number`` of a family's row, in its first epochs, as PNG: a column per channel of all that the network gets."""
    from ..report.sample_pictures import sample_picture

    config = load_config(path)
    row = _row(config, name, version)
    family, split = get_family(name), config.run.train[name].splits_of(row)[0]
    family.require_prepared(config, [row])
    seed = seed_of(config.run.seed, name, row.version, split, 0)
    data = family.datasets(config, CellParams(name, row.version, split, 0, seed, row))
    if not 0 <= number < len(data.train):
        raise InputError(f"there is no training sample {number}", valid=f"0 to {len(data.train) - 1}", next_step="name another number")
    epochs = {f"epoch {epoch}": planes(drawn(data, (epoch, number, number))) for epoch in range(DRAWS)}
    to = to or config.project.results / "shown" / f"sample_{name}_version-{row.version}_{number}.png"
    return sample_picture(to, epochs, f"{name} version {row.version}, split {split}: training sample {number} of {len(data.train)}")


def drawn(data: Datasets, key: tuple[int, int, int]) -> dict[str, Any]:
    """The sample that training gets by a key, wherever it is augmented."""
    one: dict[str, Any] = data.train[key]
    if data.augment is None:
        return one
    return {name: value[0] for name, value in data.augment({name: value[None] for name, value in one.items()}, [key]).items()}


def planes(item: dict[str, Any]) -> dict[str, np.ndarray]:
    """The pictures (h, w) in a sample, each by what it is; vectors, such as a label, are part of the names.

    Lists, such as circles (N, 3), are neither.
    """
    values = {name: np.asarray(value) for name, value in item.items()}
    pictures = {name: value for name, value in values.items() if value.ndim > 2 or (value.ndim == 2 and value.shape[1] > LISTED)}
    said = "".join(f", {name} {value.round(3).tolist()}" for name, value in values.items() if value.ndim < 2)
    found: dict[str, np.ndarray] = {}
    for name, value in pictures.items():
        bands = value.reshape(-1, *value.shape[-2:])
        found |= {f"{name} {band}" if len(bands) > 1 else name: bands[band] for band in range(len(bands))}
    return {f"{name}{said}" if place == 0 else name: plane for place, (name, plane) in enumerate(found.items())}


def augment(path: Path, recipe: str | None = None, to: Path | None = None) -> Path:
    """What each change of a recipe, or of ``img_augment True``, does to the middle of the config's mosaic, as PNG: a row per change."""
    from ..report.sample_pictures import changes_picture
    from ..samples.augment import Augmenter
    from ..samples.recipe import read_recipe

    config = load_config(path)
    chosen = None if recipe is None else read_recipe(config.root / "configs" / "augment", recipe)
    (tile, said), augmenter = _tile(config), Augmenter(turns=True, recipe=chosen)
    shown = {name: [one.colour(tile, seed) for seed in range(DRAWS)] for name, one in augmenter.each(tile.shape[2]).items()}
    together = [augmenter.geometry([augmenter.colour(tile, seed)], seed)[0] for seed in range(DRAWS)]
    to = to or config.project.results / "shown" / f"augment_{recipe or 'True'}.png"
    return changes_picture(to, tile, shown | {"together, moved": together}, f"img_augment {recipe or 'True'}{said}")


def _row(config: Config, name: str, version: int | None) -> RowHparams:
    rows = wanted_rows(config)
    if name not in rows:
        raise InputError(f"the config trains no {name}", valid=nearest(name, rows), next_step="name one of these families")
    found: dict[int, RowHparams] = {row.version: row for row in rows[name]}
    if not found or (version is not None and version not in found):
        raise InputError(f"the config trains no version {version} of {name}", valid=", ".join(map(str, found)) or "none")
    return found[version] if version is not None else next(iter(found.values()))


def _tile(config: Config) -> tuple[np.ndarray, str]:
    """The middle of the mosaic as a square (s, s, bands) of bytes, and how they came about where the mosaic holds others."""
    from ..geo.grid import Window
    from ..geo.layers import open_mosaic
    from ..samples.grey import grey_range

    with open_mosaic(config.data.require(config.mosaic, "the mosaic"), config.bands) as mosaic:
        rows, cols = mosaic.grid.shape
        side = min(TILE_PX, rows, cols)
        pixels, missing = mosaic.read_masked(Window((rows - side) // 2, (cols - side) // 2, side, side))
        grey = grey_range(mosaic, config.data.statistics)
    bands = [grey.to_bytes(pixels[[band]], None if missing is None else missing[[band % len(missing)]]) for band in range(len(pixels))]
    said = "" if grey.is_bytes else f"; {pixels.dtype} from {grey.low:.4g} to {grey.high:.4g} as bytes, as crops and tiles of craters are"
    return np.stack(bands, axis=-1), said
