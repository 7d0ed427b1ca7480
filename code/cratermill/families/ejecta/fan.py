"""One stream of items for several consumers at once, without holding more than a few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import Any

DEPTH = 2
"""Items that may wait for a consumer."""
_END = object()


class _Broken(Exception):
    """Tells a consumer that the stream ended too early, so that it publishes nothing."""


def fan_out(items: Iterable[Any], consumers: list[Callable[[Iterator[Any]], Any]]) -> list[Any]:
    """Give every item to each consumer, which runs in a thread of its own; returns what they return.

    The first failure, of the stream or of a consumer, ends all of them and is raised.
    """
    queues: list[Queue] = [Queue(DEPTH) for _ in consumers]
    with ThreadPoolExecutor(len(consumers)) as pool:
        running = [pool.submit(consumer, _stream(queue)) for consumer, queue in zip(consumers, queues, strict=True)]
        end: Any = _Broken("the stream broke off")
        try:
            for item in items:
                _put(item, queues, running)
            end = _END
        finally:
            _put(end, queues, running, even_to_broken=True)
    return [future.result() for future in running]


def _stream(queue: Queue) -> Iterator[Any]:
    while (item := queue.get()) is not _END:
        if isinstance(item, _Broken):
            raise item
        yield item


def _put(item: Any, queues: list[Queue], running: list[Future], even_to_broken: bool = False) -> None:
    for queue, future in zip(queues, running, strict=True):
        while True:
            if future.done():
                if not even_to_broken:
                    future.result()  # raises what broke it
                break
            try:
                queue.put(item, timeout=0.2)
                break
            except Full:
                continue
