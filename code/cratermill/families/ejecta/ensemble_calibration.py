"""How sure the networks of an ensemble may be: each one's forecasts on the tiles that it was validated with, and what corrects them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.calibration import FINE, counted, figures, fit, moved
from ...core.errors import InputError
from ...core.files import fingerprint, read_json, write_json
from ...samples.sending import sent
from ...training.cell import CellParams
from ...training.checkpoint import load, require_data
from .. import get_family
from ..ensemble import CHUNK

if TYPE_CHECKING:
    from ...config import Config
    from .predict import EjectaEnsemble

NAME, FORMAT = "calibration.json", 1


def correction(config: Config, ensemble: EjectaEnsemble, paths: list[Path], marks: Any, method: str, name: str) -> dict[str, Any]:
    """What corrects an ensemble's probabilities, with figures; kept for the map's other craters in ``log/map_log/<map>``.

    Fitted on pixels of the tiles that each network was validated with, which chose its epoch and nothing else; the others of the ensemble,
    which were trained with some of them, are not asked there. InputError where those tiles aren't there or were prepared anew since.
    """
    mark, path = fingerprint([FORMAT, method, marks]), config.project.map_log(name) / NAME
    known = read_json(path)
    if isinstance(known, dict) and known.get("mark") == mark:
        return known
    counts, tiles = np.zeros((4, FINE)), 0
    for network, checkpoint in zip(ensemble.networks, paths, strict=True):
        found, number = on_validation(config, network, checkpoint, ensemble.device)
        counts, tiles = counts + found, tiles + number
    how = fit(counts, method)
    made = {"mark": mark, **how, "tiles": tiles, "networks": len(paths), "pixels": int(counts[0].sum())}
    for which, one in (("before", counts), ("after", moved(counts, how))):
        made |= dict(zip((f"ECE_{which}", f"Brier_{which}"), map(float, figures(one)), strict=True))
    write_json(path, made)
    return made


def on_validation(config: Config, network: torch.nn.Module, path: Path, device: torch.device) -> tuple[np.ndarray, int]:
    """Counts (4, FINE) of a network's forecasts over the tiles that it was validated with, and how many tiles these are."""
    from .data import datasets

    one, family = load(path), get_family("ejecta")
    row: Any = family.hparams_model().from_plan(one.hparams)
    try:
        require_data(path, lambda: fingerprint(family.data_fingerprint(config, row)))
        tiles = datasets(config, CellParams("ejecta", one.version, one.split, one.iteration, one.seed, row), row).val
    except (InputError, OSError) as error:
        raise InputError(
            f"the map's probabilities can't be calibrated: {error}",
            valid="networks whose validation tiles are prepared here",
            next_step="run 'cratermill prepare CONFIG', or leave out map.options.calibrate",
        ) from error
    counts = np.zeros((4, FINE))
    for start in range(0, len(tiles), CHUNK):
        items = [tiles[at] for at in range(start, min(start + CHUNK, len(tiles)))]
        given = [sent(torch.stack([item[name] for item in items]), device) for name in ("image", "extra") if name in items[0]]
        with torch.inference_mode():
            forecast = network(*given).float().sigmoid().cpu().numpy()
        counts += counted(forecast.ravel().astype(np.float64), torch.stack([item["target"] for item in items]).numpy().ravel())
    return counts, len(tiles)
