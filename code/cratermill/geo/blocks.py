"""Whole rasters as dask graphs: blocks that are read or computed when they are wanted.

Whatever dask scheduler is active does the work: threads by default, processes, or a ``distributed.Client``. A block follows from its place
alone, so that results are the same, bit by bit, on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.machine import cores
from ..core.prefetch import ahead
from .grid import Window

if TYPE_CHECKING:
    import dask.array

BLOCK_PX = 1024
IN_FLIGHT_BYTES = 256 * 2**20
"""Results that are held at a time, at most, while earlier ones are written."""


def lazy_raster(
    read: Callable[[Window], np.ndarray],
    shape: tuple[int, int, int],
    dtype: Any,
    block: tuple[int, int] = (BLOCK_PX, BLOCK_PX),
    name: str | None = None,
) -> dask.array.Array:
    """A raster (C, h, w) of which ``read`` makes any window, (C, h, w); it goes to other processes with the graph, so it must pickle.

    ``name``: the graph's, where the same reading gives the same pixels; a random one when left out.
    """
    import dask.array

    chunks = (
        (shape[0],),
        *(tuple(min(side, whole - at) for at in range(0, whole, side)) for whole, side in zip(shape[1:], block, strict=True)),
    )
    meta = np.empty((0, 0, 0), dtype)
    return dask.array.map_blocks(_read_block, read=read, dtype=dtype, chunks=chunks, meta=meta, name=name)


def _read_block(read: Callable[[Window], np.ndarray], block_info: Any) -> np.ndarray:
    _, rows, cols = block_info[None]["array-location"]
    return read(Window(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0]))


def computed(array: Any, tell: Callable[[int, int], None] | None = None) -> Iterator[tuple[Window, np.ndarray]]:
    """Windows of a dask array (C, h, w) or (h, w) with their pixels, in order; a few are computed while one is used."""
    import dask

    rows, cols = ([0, *np.cumsum(sizes).tolist()] for sizes in array.chunks[-2:])
    places = list(product(range(len(rows) - 1), range(len(cols) - 1)))
    if array.ndim == 3 and len(array.chunks[0]) > 1:
        array = array.rechunk({0: -1})
    one = array.dtype.itemsize * int(np.prod([max(sizes) for sizes in array.chunks]))
    together = int(np.clip(IN_FLIGHT_BYTES // (2 * max(one, 1)), 1, 4 * cores()))
    batches = [places[start : start + together] for start in range(0, len(places), together)]

    def work(batch: list[tuple[int, int]]) -> list[tuple[Window, np.ndarray]]:
        found = dask.compute(*(array.blocks[..., row, col] for row, col in batch))
        windows = [Window(rows[row], cols[col], rows[row + 1] - rows[row], cols[col + 1] - cols[col]) for row, col in batch]
        return list(zip(windows, found, strict=True))

    done = 0
    with ThreadPoolExecutor(1) as pool:
        for batch in ahead(pool, work, batches):
            for window, pixels in batch:
                done += 1
                yield window, pixels
                if tell is not None:
                    tell(done, len(places))
