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
from uuid import uuid4

import numpy as np

from ..core.errors import WorkError
from ..core.machine import cores, take_one_core
from ..core.prefetch import prefetched
from .grid import Window

if TYPE_CHECKING:
    import dask.array

Job = TypeVar("Job")
Result = TypeVar("Result")
BLOCK_PX = 1024
IN_FLIGHT_BYTES = 256 * 2**20
"""Results that are held at a time, about, those included that wait to be used."""
TOGETHER = 8
"""Neighbouring blocks that are computed at once where they share what they are made of."""


def in_order(work: Callable[[Job], Result], jobs: Sequence[Job], result_bytes: int) -> Iterator[Result]:
    """``work(job)`` of each job, in order, a few of them ahead of where they are used; both must pickle for other processes' sake.

    ``result_bytes``: the size of one result, about. Raises what ``work`` raises, and ``WorkError`` where the workers are lost.
    """
    name = f"block-{uuid4().hex}"
    graph = {(name, number): (partial(work, job),) for number, job in enumerate(jobs)}
    return _values(graph, list(graph), result_bytes)


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
    import dask
    from dask.core import flatten

    if array.ndim == 3 and len(array.chunks[0]) > 1:
        array = array.rechunk({0: -1})
    rows, cols = ([0, *np.cumsum(sizes).tolist()] for sizes in array.chunks[-2:])
    places = list(product(range(len(rows) - 1), range(len(cols) - 1)))
    size = array.dtype.itemsize * int(np.prod([max(sizes) for sizes in array.chunks]))
    (best,) = dask.optimize(array)
    pixels = _values(dict(best.__dask_graph__()), list(flatten(best.__dask_keys__())), size)
    for (row, col), made in zip(places, pixels, strict=True):
        yield Window(rows[row], cols[col], rows[row + 1] - rows[row], cols[col + 1] - cols[col]), made


def _values(graph: dict[Any, Any], keys: Sequence[Any], result_bytes: int) -> Iterator[Any]:
    """What a graph has for these keys, in order. As soon as some of it is there the next is begun: no core waits for another."""
    get, callers, together = _scheduler()
    room = max(IN_FLIGHT_BYTES // max(result_bytes, 1), 1)
    together = min(max(together, TOGETHER) if len(graph) > len(keys) else together, max(room // 3, 1))
    batches = [keys[start : start + together] for start in range(0, len(keys), together)]
    with ThreadPoolExecutor(callers, initializer=take_one_core) as pool:
        for batch in prefetched(pool, partial(_got, get, graph), batches, int(np.clip(room // together - 1, 1, 2 * callers))):
            yield from batch


def _got(get: Callable[..., Any], graph: dict[Any, Any], keys: Sequence[Any]) -> Sequence[Any]:
    from dask.optimization import cull

    try:
        values: Sequence[Any] = get(cull(graph, keys)[0], keys)
    except Exception as error:
        if type(error).__module__.startswith("distributed"):  # a class of a library that isn't loaded otherwise
            raise WorkError(f"dask's workers were lost: {error}", next_step="see their logs, then launch again") from error
        raise
    return values


def _scheduler() -> tuple[Callable[..., Any], int, int]:
    """What computes a graph, how many threads of ours call it at a time, and for how many blocks. Where dask would use threads, each of
    ours computes blocks of its own."""
    import sys

    import dask.base
    import dask.threaded

    _connect()
    # dask would import distributed to ask it for a client, which takes longer than a small step and gives none where nobody imported it.
    asked = "distributed" in sys.modules or dask.config.get("scheduler", None)
    get, workers = (dask.base.get_scheduler() if asked else None) or dask.threaded.get, dask.config.get("num_workers", None) or cores()
    if get in (dask.get, dask.threaded.get):
        return dask.get, 1 if get is dask.get else workers, 1
    client = _client()
    return get, 2, 16 * (workers if client is None else sum(client.nthreads().values()))


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
