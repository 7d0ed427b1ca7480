"""EJMAP's thousands of npy tiles into the few stacks that training reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.frames import rows_of
from ..families.ejecta_common.prepare import pair_view, square_view
from ..samples.store import Piece, Spec, write_store
from .npy_files import Problem, Unreadable, as_image, as_plane, mapped, require_ratio, resized_image, resized_plane
from .positions import used

if TYPE_CHECKING:
    from ..families.ejecta_common.prepare import Preparation
    from ..geo.mosaic import Mosaic
    from .source import EjmapData

MISSING = "is missing"


@dataclass(frozen=True)
class Kind:
    """One of EJMAP's two sets of tiles. Images are ``ratio`` times as wide as high; ``second`` is the array that belongs to each."""

    label: str
    area: str
    second: str
    codes: tuple[int, ...]
    ratio: int

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``az_positions_all.csv`` that have such a tile: only tiles with ejecta train the ejecta family."""
        return table[table["num_1"] > 0] if self.ratio == 1 else table

    def paths(self, data: EjmapData, row) -> tuple[Path, Path]:
        """The files of a tile's image and of its second array."""
        place = int(row.pos_index), int(row.crat_FID)
        return data.image(self.area, *place), data.tile_mask(*place) if self.ratio == 1 else data.attention(*place)

    def view(self, size_px: int) -> str:
        """The name under which training looks for the tiles of rows with this ``tile_size_px``."""
        from ..families.connection.hparams import Hparams

        return square_view(size_px) if self.ratio == 1 else pair_view("pair", size_px, Hparams.model_fields["pair_crater_radii"].default)

    def shape(self, size_px: int) -> tuple[int, int]:
        return size_px // self.ratio, size_px


PAIRS = Kind("pairs of crater and tile", "conn_data", "attention", codes=(0, 1, 2), ratio=2)
SQUARES = Kind("tiles with ejecta", "ejc_data", "mask", codes=(0, 1, 255), ratio=1)


@dataclass(frozen=True)
class Found:
    """What a look at a set of tiles has shown: the rows that can be imported, what is wrong with others, and how images are stored."""

    kind: Kind
    rows: pd.DataFrame
    problems: list[Problem]
    bands: int
    size_px: int
    dtype: np.dtype
    marks: list


@dataclass(frozen=True)
class _Head:
    width: int
    dtype: np.dtype
    mark: list


def look(kind: Kind, data: EjmapData, table: pd.DataFrame, mosaic: Mosaic, work: Preparation) -> Found:
    """Look at the head of every file of a set of tiles.

    Rows that no split uses may lack their files. Where not one file is there, nothing was meant to be imported: no rows, no problems.
    """
    rows = kind.rows(table)
    seen = work.each(f"looking at {kind.label}", list(rows_of(rows)), partial(_head, kind, data, mosaic.count))
    heads = [head for head, _ in seen if head]
    every = [problem for _, found in seen for problem in found]
    nothing = not heads and all(problem.reason == MISSING for problem in every)
    needed = [] if nothing else [problem for (_, found), wanted in zip(seen, used(rows), strict=True) for problem in found if wanted]
    size, dtype = (heads[0].width, _stack_type(heads, mosaic)) if heads else (0, mosaic.dtype)
    good = np.array([head is not None for head, _ in seen], dtype=bool)
    return Found(kind, rows[good].reset_index(drop=True), needed, mosaic.count, size, dtype, [head.mark for head in heads])


def _head(kind: Kind, data: EjmapData, bands: int, row) -> tuple[_Head | None, list[Problem]]:
    """A tile's width, type and fingerprint, or what is wrong with its files."""
    problems, arrays, marks = [], [], []
    shapes: tuple[Callable[[np.ndarray], np.ndarray], ...] = (partial(as_image, bands=bands), as_plane)
    for path, shaped in zip(kind.paths(data, row), shapes, strict=True):
        try:
            array = shaped(mapped(path))
            require_ratio(array, kind.ratio)
        except Unreadable as reason:
            problems.append(Problem(path, str(reason)))
            continue
        stat = path.stat()
        arrays.append(array)
        marks.append([path.name, stat.st_size, stat.st_mtime_ns])
    if len(arrays) == 2 and arrays[0].shape[1:] != arrays[1].shape:
        path, image, plane = kind.paths(data, row)[1], *(array.shape[-2:] for array in arrays)
        problems.append(Problem(path, f"is {plane[0]} × {plane[1]} pixels, but its image {image[0]} × {image[1]}"))
    return (None, problems) if problems else (_Head(arrays[0].shape[2], arrays[0].dtype, marks), [])


def _stack_type(heads: list[_Head], mosaic: Mosaic) -> np.dtype:
    """How a stack stores images: as the files do, but no number in 64 bits."""
    dtype = np.result_type(*{head.dtype for head in heads})
    if dtype.kind == "f":
        return np.dtype(np.float32)
    return dtype if dtype.kind in "iu" and dtype.itemsize <= 2 else mosaic.dtype


def write_stack(found: Found, data: EjmapData, folder: Path, size_px: int, work: Preparation, made_of: str) -> list[Problem]:
    """Fill one stack. Returns the files that turned out to be unreadable after all; then the folder is left as it was."""
    kind, problems = found.kind, []
    shape = kind.shape(size_px)
    arrays = {"image": Spec((found.bands, *shape), found.dtype), kind.second: Spec(shape, np.dtype(np.uint8))}
    reads = (partial(_image, found, shape), partial(_plane, kind, shape))

    def make(rows: pd.DataFrame) -> Piece:
        filled = {name: np.zeros((len(rows), *spec.shape), spec.dtype) for name, spec in arrays.items()}
        for number, row in enumerate(rows.itertuples()):
            for path, read, into in zip(kind.paths(data, row), reads, filled.values(), strict=True):
                problem = _read(path, read, into, number)
                if problem:
                    problems.append(problem)
        return Piece(rows, filled)

    def finish(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
        if problems:
            raise _GivenUp
        return rows, {}

    tell = partial(work.progress, f"reading {kind.label}")
    try:
        write_store(folder, made_of, found.rows.reset_index(drop=True), arrays, make, finish=finish, tell=tell, workers=work.workers)
    except _GivenUp:
        shutil.rmtree(folder.with_name(folder.name + ".part"), ignore_errors=True)
    return problems


class _GivenUp(Exception):
    """Some files could not be read; all of them are named at the end."""


def _read(path: Path, read, into: np.ndarray, index: int) -> Problem | None:
    try:
        into[index] = read(np.asarray(mapped(path)))
    except Unreadable as reason:
        return Problem(path, str(reason))
    return None


def _image(found: Found, shape: tuple[int, int], array: np.ndarray) -> np.ndarray:
    return resized_image(as_image(array, found.bands), shape, found.dtype)


def _plane(kind: Kind, shape: tuple[int, int], array: np.ndarray) -> np.ndarray:
    """Codes of the second array; masks come out as 0 and 1 also where EJMAP's tools wrote 255."""
    plane = resized_plane(as_plane(array), shape, kind.codes)
    return np.minimum(plane, 1) if kind.ratio == 1 else plane
