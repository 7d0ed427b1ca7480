"""From cells to arrays: cells of equal stage and resources go together; a cell that only waits for another follows it in the same job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

from .plan import Cell, Plan
from .profile import Limits, Profile, Resources

DEFAULT_ARRAY_SIZE = 1001


@dataclass(frozen=True)
class Chunk:
    """Cells that go into one array: of one level and stage, with equal resources. `pull`: array tasks that share them."""

    level: int
    stage: str
    tasks: tuple[tuple[int, ...], ...]
    resources: Resources
    pull: int = 0

    @property
    def cells(self) -> list[int]:
        return [index for task in self.tasks for index in task]

    @property
    def size(self) -> int:
        """The number of array tasks."""
        return self.pull or len(self.tasks)


def chunks_of(
    plan: Plan, profile: Profile, indices: Collection[int], asked: Mapping[int, Resources] | None = None, active: Collection[int] = ()
) -> list[Chunk]:
    """The arrays to submit for cells, in an order in which each comes after those it waits for.

    `asked`: other resources than the profile's, by cell. `active`: cells that are in the queue already.
    """
    resources = {index: (asked or {}).get(index) or profile.resources(plan.cells[index].stage) for index in indices}
    followers = _jobs(plan, resources, active)
    levels = {index: level for level, members in enumerate(plan.levels()) for index in members}
    groups = dict[tuple[int, str, str], list[tuple[int, ...]]]()
    for index, chain in followers.items():
        key = (levels[index], plan.cells[index].stage, resources[index].model_dump_json())
        groups.setdefault(key, []).append(chain)
    return [
        chunk for (level, stage, _), chains in sorted(groups.items()) for chunk in _cut(level, stage, chains, resources, profile.limits)
    ]


def _jobs(plan: Plan, resources: Mapping[int, Resources], active: Collection[int]) -> dict[int, tuple[int, ...]]:
    """By the first cell of each job: it and those that follow it there, one after another."""
    chains: dict[int, list[int]] = {}
    first: dict[int, int] = {}
    for index in sorted(resources):
        head = _head(plan.cells[index], plan, resources, active, first)
        first[index] = head
        chains.setdefault(head, []).append(index)
    return {head: tuple(chain) for head, chain in chains.items()}


def _head(cell: Cell, plan: Plan, resources: Mapping[int, Resources], active: Collection[int], first: Mapping[int, int]) -> int:
    """The first cell of the job that a cell goes into: its own, unless all that it still waits for is in one other job."""
    if cell.soft_needs or cell.always:
        return cell.index  # it must run whatever becomes of the others
    if any(need in active for need in cell.needs):
        return cell.index
    heads = {first[need] for need in cell.needs if need in first}
    if len(heads) != 1:
        return cell.index
    (head,) = heads
    return head if _fits(resources[cell.index], resources[head]) else cell.index


def _fits(inner: Resources, outer: Resources) -> bool:
    """Whether a job has enough of everything but time for a cell; after a warning before its limit it is requeued."""
    alone = inner.tasks == outer.tasks == 1 and not outer.pull and inner.partition == outer.partition
    return alone and inner.cpus <= outer.cpus and inner.mem_gb <= outer.mem_gb and inner.gpus <= outer.gpus


def _cut(level: int, stage: str, chains: list[tuple[int, ...]], resources: Mapping[int, Resources], limits: Limits) -> list[Chunk]:
    request, size = resources[chains[0][0]], limits.max_array_size or DEFAULT_ARRAY_SIZE
    if request.pull:
        cells = tuple(index for chain in chains for index in chain)
        return [Chunk(level, stage, (cells,), request, pull=min(request.pull, len(cells), size))]
    packs = [chains[start : start + request.pack] for start in range(0, len(chains), request.pack)]
    tasks = [tuple(index for chain in pack for index in chain) for pack in packs]
    ends = _ends(len(tasks), size, limits.max_concurrent or 0)
    return [Chunk(level, stage, tuple(tasks[start:end]), request) for start, end in pairwise([0, *ends])]


def _ends(tasks: int, size: int, places: int) -> list[int]:
    """Where to cut tasks so that no array is larger than `size`; where running jobs are bounded as few are at work side by side, each as
    large as its part of the `places`, so that all end at about the same time."""
    for arrays in range(-(-tasks // size), places + 1):
        # The highest index is one less than MaxArraySize, and ours begin at 0.
        ends = [round(tasks * (places * (number + 1) // arrays) / places) for number in range(arrays)]
        if max(end - start for start, end in pairwise([0, *ends])) <= size:
            return ends
    return [min(start + size, tasks) for start in range(0, tasks, size)]
