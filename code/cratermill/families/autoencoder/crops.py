"""Crops of a run: made once per way of cutting them (``crop_view``), from the mosaic or from ready-made pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import fingerprint, stat_fingerprint
from ...core.prefetch import ahead
from ...geo.mosaic import Mosaic
from ...samples.crops import MOST_MISSING, Cutter, Geometry
from ...samples.grey import grey_mark
from ...samples.steps import Steps
from .. import family_data
from .light import flip_shadows, light
from .sources import ReadyMade, catalogue_craters, selected
from .stack import CropStack, chunks_of, whole, write_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...config import Config
    from ...core.progress import Progress
    from .hparams import Hparams
    from .options import CropData

NAME = "autoencoder"


def stack_of(config: Config, row: Hparams) -> CropStack:
    return CropStack(config.data.family(NAME) / "crops" / row.crop_view)


def prepare(config: Config, rows: Iterable[Hparams], progress: Progress, workers: int = 1) -> dict[str, Any]:
    """Make the crops that these rows train on; what was made, and what there is to warn about."""
    options, steps, told = family_data(config, NAME), Steps(config, progress, workers), {}
    for view, row in sorted({row.crop_view: row for row in rows}.items()):
        folder = stack_of(config, row).folder
        mark = _mark(config, options, row)

        def work(row: Hparams = row, folder: Path = folder, mark: Any = mark) -> None:
            _write(config, options, row, folder, fingerprint(mark), progress, workers)

        steps.step(f"crops {view}", mark, [folder / "stack.json"], work)
        told |= dict.fromkeys(CropStack(folder).notes())
    return {"made": steps.made, "warnings": list(told)}


def _mark(config: Config, options: CropData, row: Hparams) -> list:
    """What crops are made of, as plain values."""
    source = config.path(options.crops or options.catalogue)
    files = [source] if options.crops else [source, config.mosaic]
    what = "the crops" if options.crops else "the crater list"
    for path, name in zip(files, (what, "the mosaic"), strict=False):
        config.data.require(path, name)
    marks = [_stat_mark(path) for path in files]
    rules = [] if options.crops else [MOST_MISSING, *grey_mark(config.mosaic, options.bands)]
    return [options.model_dump(mode="json"), row.crop_view, config.run.seed, marks, *rules]


def _stat_mark(path: Path) -> list:
    """Of a folder every file's: its own stays the same when pictures in its subfolders change."""
    if not path.is_dir():
        return stat_fingerprint(path)
    return [[file.relative_to(path).as_posix(), *stat_fingerprint(file)] for file in sorted(path.rglob("*")) if file.is_file()]


def _write(config: Config, options: CropData, row: Hparams, folder: Path, mark: str, progress: Progress, workers: int) -> None:
    def tell(done: int, count: int) -> None:
        progress(f"crops {row.crop_view}", done, count)

    if options.crops:
        ready = ReadyMade(config.path(options.crops))
        table = ready.craters(options, row.crop_px, row.half_side_radii)
        # Pictures without a place can't be filtered by it, and stay.
        upsampling = table["upsampling"].to_numpy() if options.source_m_per_px else None
        table, told = selected(table, options, upsampling, config.run.seed, str(ready.path))

        def read(piece: pd.DataFrame) -> tuple[np.ndarray, dict]:
            crops = ready.crops(piece, row.crop_px)
            return crops, finish(crops, row)

        write_stack(folder, table, row.crop_px, mark, read, tell, told, workers)
        return
    with Mosaic.open(config.mosaic, options.bands) as mosaic:
        cutter = Cutter(mosaic, geometry_of(row), config.data.statistics)
        table, told = catalogue_craters(config.path(options.catalogue), cutter, options, options.units, config.run.seed, options.layer)
        write_stack(folder, table, row.crop_px, mark, lambda piece: cut(cutter, piece, row), tell, told, workers)
    if not len(stack_of(config, row).rows()):
        raise InputError(f"no crop of {options.catalogue} lies where the mosaic has data", next_step="check both files")


def geometry_of(row: Hparams) -> Geometry:
    return Geometry(row.crop_px, row.half_side_radii, row.crop_projection)


def cut(cutter: Cutter, craters: pd.DataFrame, row: Hparams) -> tuple[np.ndarray, dict]:
    """Crops, and columns about missing data and the light."""
    crops, missing = cutter.cut_and_missing(craters)
    return crops, {"missing": missing, **finish(crops, row)}


def finish(crops: np.ndarray, row: Hparams) -> dict[str, np.ndarray]:
    """Turn shadows to one side, in place, if the row says so; columns about the light."""
    flipped = flip_shadows(crops) if row.shadow_flip else np.zeros(len(crops), bool)
    return {"flipped": flipped, **light(crops, row.half_side_radii)}


def cut_in_chunks(cutter: Cutter, craters: pd.DataFrame, row: Hparams) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """(craters with columns, crops) piece by piece, without those that lack data; memory doesn't grow with the list, and the next piece is
    cut while one is used."""
    with ThreadPoolExecutor(1) as pool:
        yield from ahead(pool, lambda piece: whole(piece, *cut(cutter, piece, row)), chunks_of(craters, row.crop_px))
