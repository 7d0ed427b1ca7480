"""How much of this machine is ours."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of glibc's malloc.h."""


_THREAD = threading.local()


def take_one_core() -> None:
    """From now on the calling thread has one core, for everything: others of its kind have the rest."""
    _THREAD.cores = 1


def cores() -> int:
    """Cores that this process, or thread, may use: those of its Slurm task, else those that it is bound to."""
    if own := getattr(_THREAD, "cores", 0):
        return int(own)
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads of one numerical operation: ``OMP_NUM_THREADS`` where it is set, else one per core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else cores()


def keep_memory() -> None:
    """Let freed memory stay with the process for its next arrays. Otherwise glibc fetches each larger one from the system anew, page by
    page, which takes up to half of a forward pass or a training step on a CPU. Does nothing where another allocator is at work."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def one_thread_each() -> AbstractContextManager[object]:
    """Within it matrix products take one thread: for work that has its own, which theirs would wait in busy loops for."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def steady_threads() -> None:
    """Give torch its threads, if it is loaded: other libraries (numba, for one) change them for the whole process, and sums with them.

    Without this a cell's numbers would depend on which cells the process ran before.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads())
