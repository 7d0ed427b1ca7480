"""Work ahead: order, how far ahead, and what becomes of errors and of leaving early."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from cratermill.core.prefetch import prefetched


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (3, 3), (4, 2)])
def test_results_come_in_the_order_of_the_jobs(workers, most):
    def slower_first(job):
        time.sleep(0.002 * (9 - job))
        return job * job

    with ThreadPoolExecutor(workers) as pool:
        assert list(prefetched(pool, slower_first, range(10), most)) == [job * job for job in range(10)]


def test_endless_jobs_are_begun_only_a_few_ahead():
    begun = []
    with ThreadPoolExecutor(8) as pool:
        results = prefetched(pool, begun.append, count(), most=3)
        for _ in range(5):
            next(results)
        results.close()
    assert len(begun) <= 5 + 3


def test_the_next_job_runs_while_a_result_is_used():
    running = threading.Event()

    def work(job):
        if job == 1:
            running.set()

    with ThreadPoolExecutor(1) as pool:
        results = prefetched(pool, work, range(2))
        next(results)
        assert running.wait(60)
        assert list(results) == [None]


def test_an_error_reaches_the_caller_and_what_is_not_begun_is_dropped():
    begun, heard = [], threading.Event()

    def work(job):
        begun.append(job)
        if job:
            assert heard.wait(60)
        raise ValueError(job)

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="0"):
            list(prefetched(pool, work, range(100), most=50))
        heard.set()
    assert set(begun) <= {0, 1}, "what was begun meanwhile"
