"""Work done a few steps ahead of where its results are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def prefetched(pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job], most: int = 1) -> Iterator[Result]:
    """``work(job)`` of each job, in order; ``pool`` is at work on ``most`` further jobs while a result is used.

    Unlike ``pool.map`` it keeps no more results than that, however many jobs there are. What isn't begun when the caller leaves is dropped.
    """
    coming: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            coming.append(pool.submit(work, job))
            if len(coming) > most:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()
