"""Whole rasters as dask graphs: blocks that are read or computed when they are wanted, by whatever dask scheduler is active.

That is threads by default, processes, a ``distributed.Client``, or the scheduler that ``DASK_SCHEDULER_ADDRESS`` names (``cratermill dask
start``). A block follows from its place alone, and blocks are used in their order, so that results are the same, bit by bit, on all of
them. Memory holds a few blocks, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..core.errors import WorkError
from ..core.machine import cores
from ..core.prefetch import prefetched
from .grid import Window

if TYPE_CHECKING:
    import dask.array

Job = TypeVar("Job")
Result = TypeVar("Result")
BLOCK_PX = 1024
IN_FLIGHT_BYTES = 256 * 2**20
"""Results that are held at a time, about, those included that wait to be used."""


def in_order(work: Callable[[Job], Result], jobs: Sequence[Job], result_bytes: int) -> Iterator[Result]:
    """``work(job)`` of each job, in order, a few of them ahead of where they are used; both must pickle for other processes' sake.

    ``result_bytes``: the size of one result, about. Raises what ``work`` raises, and ``WorkError`` where the workers are lost.
    """
    import dask

    return _in_batches([dask.delayed(partial(work, job), pure=False, traverse=False)() for job in jobs], result_bytes)


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

    sides = (tuple(min(side, whole - at) for at in range(0, whole, side)) for whole, side in zip(shape[1:], block, strict=True))
    meta = np.empty((0, 0, 0), dtype)
    return dask.array.map_blocks(_read_block, read=read, dtype=dtype, chunks=((shape[0],), *sides), meta=meta, name=name)


def computed(array: Any) -> Iterator[tuple[Window, np.ndarray]]:
    """Windows of a dask array (C, h, w) or (h, w) with their pixels, in order; a few are computed ahead of where they are used."""
    if array.ndim == 3 and len(array.chunks[0]) > 1:
        array = array.rechunk({0: -1})
    rows, cols = ([0, *np.cumsum(sizes).tolist()] for sizes in array.chunks[-2:])
    places = list(product(range(len(rows) - 1), range(len(cols) - 1)))
    size = array.dtype.itemsize * int(np.prod([max(sizes) for sizes in array.chunks]))
    pixels = _in_batches([array.blocks[..., row, col] for row, col in places], size)
    for (row, col), made in zip(places, pixels, strict=True):
        yield Window(rows[row], cols[col], rows[row + 1] - rows[row], cols[col + 1] - cols[col]), made


def _in_batches(tasks: Sequence[Any], result_bytes: int) -> Iterator[Any]:
    _connect()
    # Two batches are there at a time: one that is used, one that is computed.
    together = int(np.clip(IN_FLIGHT_BYTES // (2 * max(result_bytes, 1)), 1, max(16, 16 * _workers())))
    batches = [tasks[start : start + together] for start in range(0, len(tasks), together)]
    with ThreadPoolExecutor(1) as pool:
        for batch in prefetched(pool, _compute, batches):
            yield from batch


def _compute(batch: Sequence[Any]) -> Sequence[Any]:
    import sys

    import dask.threaded

    # dask would import distributed to ask it for a client, which takes longer than a small step and gives none where nobody imported it.
    threads = "distributed" not in sys.modules and not dask.config.get("scheduler", None)
    try:
        return dask.compute(*batch, **({"scheduler": dask.threaded.get} if threads else {}))
    except Exception as error:
        if type(error).__module__.startswith("distributed"):  # a class of a library that isn't loaded otherwise
            raise WorkError(f"dask's workers were lost: {error}", next_step="see their logs, then launch again") from error
        raise


def _workers() -> int:
    client = _client()
    return sum(client.nthreads().values()) if client is not None else cores()


def _client() -> Any:
    import sys

    # Half a module while another thread is importing it: nobody has made a client then.
    default_client = getattr(sys.modules.get("distributed"), "default_client", None)
    try:
        return default_client() if default_client else None
    except ValueError:
        return None  # none was made


def _connect() -> None:
    """Use the scheduler that the environment names, if it names one and no other is in use."""
    import dask

    address = dask.config.get("scheduler-address", None)
    if address and _client() is None:
        import distributed

        try:
            distributed.Client(address, timeout="30s")
        except OSError as error:
            raise WorkError(
                f"no dask scheduler answers at {address}, which DASK_SCHEDULER_ADDRESS names",
                next_step="start one, with 'cratermill dask start', or unset the variable",
            ) from error


def _read_block(read: Callable[[Window], np.ndarray], block_info: Any) -> np.ndarray:
    _, rows, cols = block_info[None]["array-location"]
    return read(Window(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0]))
