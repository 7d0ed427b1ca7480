"""Other clusters of latents that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import InputError
from ...core.files import read_json, write_json
from ...core.models import checked
from ...geo.layers import open_mosaic
from .evaluate import LATENTS, cluster
from .gather import body_of, features_of, labels_of
from .grouping import Recipe, require_enough
from .hparams import Hparams
from .prepare import NAME, stack_of
from .products import write_products

if TYPE_CHECKING:
    from ...config import Config


def regroup(config: Config, version: int, changed: dict[str, Any], into: str) -> dict[str, Any]:
    """Group the latents of a version's results in another way; tables, figures and pictures below ``into``."""
    results = config.project.version_results(NAME, version)
    model = read_json(results / "autoencoder.json")
    if model is None or not (results / LATENTS).exists():
        raise InputError(f"there are no latents in {results}", next_step="launch the training of that version first")
    row = checked(Hparams, {**model["hparams"], **changed}, "this grouping", next_step="correct the option")
    stack, folder = stack_of(config, row), _below(results, into)
    rows, latents = stack.rows(), np.load(results / LATENTS, mmap_mode="r")
    encoded = read_json(results / "clusters.json", {}).get("stack", stack.digest())
    if len(rows) != len(latents) or encoded != stack.digest():
        raise InputError(
            f"{results / LATENTS} holds {len(latents)} latents, but there are {len(rows)} {'other ' * (encoded != stack.digest())}crops",
            valid="latents of the prepared crops",
            next_step="the crops were prepared anew: launch the training again",
        )
    require_enough(len(rows), Recipe.of(row))
    folder.mkdir(parents=True, exist_ok=True)
    found = cluster(latents, rows, Recipe.of(row), config.run.seed, folder)
    write_json(folder / "clusters.json", found)
    mosaic = open_mosaic(config.mosaic, config.bands) if config.mosaic.exists() else None
    features = features_of(latents, rows, row, folder)
    write_products(folder, rows.assign(cluster=labels_of(folder)), features, stack.array("image"), row, mosaic, body=body_of(config))
    return found


def _below(results: Path, into: str) -> Path:
    """A folder of its own below the results, which it mustn't replace."""
    folder = results / into
    if results.resolve() not in folder.resolve().parents:
        raise InputError(f"--into {into} is no folder below {results}", valid="a name, like gmm6", next_step="choose another name")
    return folder
