"""Crops of a run: made once per way of cutting them (``crop_view``), from the mosaic or from ready-made pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.prefetch import prefetched
from ...geo.layers import open_mosaic
from ...samples.crops import MOST_MISSING, Cutter, Geometry
from ...samples.grey import grey_mark
from ...samples.inputs import mark, mosaic_mark
from ...samples.steps import Steps, hash_of
from ...samples.store import Make, Piece, Spec, Store, pieces_of, write_store
from .. import family_data
from .light import flip_shadows, light
from .sources import ReadyMade, catalogue_craters, selected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...config import Config
    from .hparams import Hparams
    from .options import CropData

NAME = "autoencoder"


def stack_of(config: Config, row: Hparams) -> Store:
    return Store(config.data.family(NAME) / "crops" / row.crop_view)


def make_data(config: Config, rows: Iterable[Hparams], steps: Steps) -> dict[str, Any]:
    """Make the crops that these rows train on; what was made, and what there is to warn about."""
    options = family_data(config, NAME)
    told: dict[str, None] = {}
    for view, row in sorted({row.crop_view: row for row in rows}.items()):
        store, given = stack_of(config, row), _inputs(config, options, row)

        def work(row: Hparams = row, store: Store = store, given: Any = given) -> None:
            _write(config, options, row, store.folder, hash_of(given), steps)

        steps.step(f"crops {view}", given, [store], work)
        if not steps.check:
            told |= dict.fromkeys(store.facts()["notes"])
    return {"made": steps.made, "warnings": list(told)}


def _inputs(config: Config, options: CropData, row: Hparams) -> dict[str, Any]:
    """What crops are made of, as plain values."""
    given = options.model_dump(mode="json", exclude={"cluster", "display"}) | {"crop_view": row.crop_view, "seed": config.run.seed}
    if options.crops:
        return given | {"crops": mark(config.data.require(config.path(options.crops), "the crops"))}
    catalogue = config.data.require(config.path(options.source), "the crater list")
    config.data.require(config.mosaic, "the mosaic")
    rules = {"most_missing": MOST_MISSING, "grey": grey_mark(config.mosaic, config.with_derived(options.bands) or config.bands)}
    return given | rules | {"catalogue": mark(catalogue), "mosaic": mosaic_mark(config)}


def _write(config: Config, options: CropData, row: Hparams, folder: Path, made_of: str, steps: Steps) -> None:
    if options.crops:
        ready = ReadyMade(config.path(options.crops))
        table = ready.craters(options, row.crop_px, row.half_side_radii)
        # Pictures without a place can't be filtered by it, and stay.
        upsampling = table["upsampling"].to_numpy() if options.source_m_per_px else None
        table, told = selected(table, options, upsampling, config.run.seed, str(ready.path))

        def read(piece: pd.DataFrame) -> Piece:
            crops = ready.crops(piece, row.crop_px)
            return whole(piece, crops, finish(crops, row))

        _fill(folder, made_of, table, row, read, told, steps)
        return
    with open_mosaic(config.mosaic, config.with_derived(options.bands) or config.bands) as mosaic:
        cutter = Cutter(mosaic, geometry_of(row), config.data.statistics)
        table, told = catalogue_craters(config.path(options.source), cutter, options, options, config.run.seed)
        _fill(folder, made_of, table, row, lambda piece: cut(cutter, piece, row), told, steps)


def _fill(folder: Path, made_of: str, table: pd.DataFrame, row: Hparams, make: Make, told: list[str], steps: Steps) -> None:
    def noted(kept: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
        if not len(kept):
            raise InputError("no crop of the crater list lies where the mosaic has data", next_step="check both files")
        return kept, {"notes": told + ([left_out(len(table) - len(kept), len(table))] if len(kept) < len(table) else [])}

    tell = partial(steps.progress, f"crops {row.crop_view}")
    write_store(folder, made_of, table, crop_arrays(row.crop_px), make, finish=noted, tell=tell, workers=steps.workers)


def crop_arrays(size_px: int) -> dict[str, Spec]:
    return {"image": Spec((size_px, size_px), np.dtype(np.uint8))}


def geometry_of(row: Hparams) -> Geometry:
    return Geometry(row.crop_px, row.half_side_radii, row.crop_projection)


def cut(cutter: Cutter, craters: pd.DataFrame, row: Hparams) -> Piece:
    """Crops, and rows with columns about missing data and the light, without those that lack data."""
    crops, missing = cutter.cut_and_missing(craters)
    return whole(craters, crops, {"missing": missing, **finish(crops, row)})


def whole(rows: pd.DataFrame, crops: np.ndarray, columns: dict[str, np.ndarray]) -> Piece:
    """Rows with the columns, and crops, without those that ``missing``, where it is among the columns, says to lack data."""
    table = rows.assign(**columns)
    kept = table["missing"].to_numpy() <= MOST_MISSING if "missing" in table else np.ones(len(table), bool)
    return Piece(table, {"image": crops}) if kept.all() else Piece(table[kept], {"image": crops[kept]})


def left_out(count: int, of: int) -> str:
    return f"{count} of {of} crops lie for more than {MOST_MISSING:.0%} where the mosaic has no data and are left out"


def finish(crops: np.ndarray, row: Hparams) -> dict[str, np.ndarray]:
    """Turn shadows to one side, in place, if the row says so; columns about the light."""
    flipped = flip_shadows(crops) if row.shadow_flip else np.zeros(len(crops), bool)
    return {"flipped": flipped, **light(crops, row.half_side_radii)}


def cut_in_chunks(cutter: Cutter, craters: pd.DataFrame, row: Hparams) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """(craters with columns, crops) piece by piece, without those that lack data; memory doesn't grow with the list, and the next piece is
    cut while one is used."""
    with ThreadPoolExecutor(1) as pool:
        for piece in prefetched(pool, lambda part: cut(cutter, part, row), pieces_of(craters, row.crop_px**2)):
            yield piece.rows, piece.arrays["image"]
