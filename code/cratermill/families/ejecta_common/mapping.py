"""What maps of ejecta and of connected tiles share: the tiles around a crater, and networks brought to another mosaic's brightness."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import InputError
from ...samples.brightness import far_from
from ..members import Trainings, checkpoint_paths, chosen_version, plain_of
from .planned import open_mosaic, prepared_tiles
from .prepare import read_table
from .tile_positions import eval_positions

if TYPE_CHECKING:
    import pandas as pd

    from ...config import Config
    from ...geo.mosaic import Mosaic
    from ..ensemble import Ensemble
    from .craters import Crater

Brightness = tuple[tuple[float, ...], tuple[float, ...]]


def map_warnings(config: Config) -> list[str]:
    run = config.map_run
    said: list[str] = []
    if run.match_brightness:
        return said
    with open_mosaic(config) as mosaic:
        for family, wanted in run.versions.items():
            version = chosen_version(config, family, Trainings(config).weights(family, wanted, run.split))
            path = next(iter(checkpoint_paths(config, family, version, run.split).values()))
            seen, kept = plain_of(path, family, version)["seen"], config.data.statistics
            said += far_from(seen, mosaic, f"{family} version {version}", grey=False, remembered=kept)
    step = "; map.match_brightness: true (--set map.match_brightness=true) brings its bands to the training's"
    return [text + step for text in said]


def tiles_to_map(config: Config, crater: Crater, mosaic: Mosaic) -> pd.DataFrame:
    path = prepared_tiles(config, crater.fid)
    return read_table(path) if path is not None else eval_positions(crater, mosaic.grid, None, config.run.tiles)


def brightness_of(mosaic: Mosaic, remembered: Path) -> Brightness:
    """Mean and deviation of the mosaic's bands, as plain numbers."""
    mean, deviation = mosaic.statistics(remembered)[:2]
    return tuple(mean.tolist()), tuple(np.where(deviation > 0, deviation, 1).tolist())


def match(ensemble: Ensemble, brightness: Brightness) -> None:
    """Normalise bands by a mosaic's mean and deviation, not the training's; other numbers of bands are refused later."""
    norm, bands = ensemble.checkpoint.norm.copy(), len(brightness[0])
    if bands < norm.shape[1]:
        norm[:, :bands] = brightness
        ensemble.renormalise(norm)


def require_bands(mosaic: Mosaic, bands: int) -> None:
    if mosaic.count != bands:
        raise InputError(
            f"the mosaic {mosaic.path} has {mosaic.count} band(s), the networks were trained on {bands}",
            valid=f"a mosaic of {bands} band(s)",
            next_step=f"name the bands to use in the config, such as map: {{bands: {[1] * bands}}}, or train on such a mosaic",
        )
