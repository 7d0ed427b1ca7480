"""What a device is given to do, family by family: how fast samples are loaded, steps made and tiles mapped, and how much of the time the
device computes, against plain PyTorch in the same run.

    python benchmarks/device.py CONFIG ... [--seconds 5] [--json FILE]

Configurations with prepared data, and with trained rows for the tiles of a map: after 'cratermill demo', configs/demo/demo.yaml. The first
row of each family is taken. Each figure is the rate over some seconds after a warm-up; five figures per family and config: on one GPU
well under a minute each, on a CPU the same. On a GPU the share of computing is that of kernels in the profiler's time line, on a CPU that
of the process's CPU time in all cores that torch may use.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from cratermill.core.errors import CratermillError
from cratermill.families import ensemble, get_family
from cratermill.families.base import Family
from cratermill.pipeline.launch import plan_mapping, plan_training
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.train import begin, start_fabric
from cratermill.training.cell import FIRST, CellParams

WARM_UP, PROFILED, MOST_CELLS = 3, 20, 4


class Workspace:
    """A folder in which nothing is asked to stop."""

    stop_requested = False

    def __init__(self, folder: Path):
        self.folder = folder

    def report(self, **_: Any) -> None: ...

    def keep_going(self) -> None: ...


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(work: Callable[[], int], seconds: float, device: torch.device) -> float:
    """How many of what ``work`` counts are done per second."""
    for _ in range(WARM_UP):
        work()
    wait(device)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += work()
    wait(device)
    return done / (time.perf_counter() - start)


def endless(loaders: Any) -> Iterator[Any]:
    for epoch in itertools.count():
        yield from loaders.train(epoch)


def size(batch: Any) -> int:
    return len(next(iter(batch.values())))


def watts(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    with suppress(Exception):  # no driver's library, or none that tells
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetPowerUsage(pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)) / 1000
    return None


def plain(training: Any, batch: Any) -> Callable[[], int]:
    """The same network, losses and batch in a loop of PyTorch alone."""
    task, device = training.task, training.fabric.device
    optimizers = [optimizer for optimizer, _ in task.optimizers()]
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    kind = kinds.get(str(training.fabric.strategy.precision.precision))

    def step() -> int:
        for part, optimizer in enumerate(optimizers):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None):
                loss = task(batch, part)
            loss.backward()
            if task.gradient_clip:
                torch.nn.utils.clip_grad_norm_(task.parameters(), task.gradient_clip)
            optimizer.step()
        task.after_step()
        return 1

    return step


def busy(step: Callable[[], int], device: torch.device) -> float:
    """The share of time in which the device computes."""
    if device.type != "cuda":
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(PROFILED):
            step()
        return (time.process_time() - cpu) / (time.perf_counter() - start) / torch.get_num_threads()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        start = time.perf_counter()
        for _ in range(PROFILED):
            step()
        wait(device)
        seconds = time.perf_counter() - start
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6 / seconds


def training_figures(fabric: Any, config: Any, family: Family, params: CellParams, seconds: float) -> dict[str, Any]:
    device = fabric.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as name:
        training = begin(fabric, config, family, params, FIRST, Workspace(Path(name)), Path(name))
        training.model.train()
        batches = endless(training.loaders)
        batch = fabric.to_device(next(batches))

        def with_data() -> int:
            training.step(fabric.to_device(next(batches)))
            return 1

        def alone() -> int:
            training.step(batch)
            return 1

        @torch.inference_mode()
        def forward() -> int:
            with fabric.autocast():
                training.task.network(batch["image"], *([batch["extra"]] if "extra" in batch else []))
            return size(batch)

        found: dict[str, Any] = {"batch": size(batch), "loader samples/s": rate(lambda: size(next(batches)), seconds, device)}
        found |= {"steps/s": rate(with_data, seconds, device), "watts": watts(device), "computing": busy(with_data, device)}
        found["steps/s on one batch"] = rate(alone, seconds, device)
        found["plain PyTorch steps/s"] = rate(plain(training, batch), seconds, device)
        training.model.eval()
        with suppress(Exception):  # families whose networks take more than images
            found["forward tiles/s"] = rate(forward, seconds, device)
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else _resident_gb()
    return found | {"against plain": found["steps/s"] / found["plain PyTorch steps/s"], "memory GB": peak}


def map_figures(config: Any, seconds: float) -> dict[str, float]:
    """Tiles of a map from mosaic to files, of as many cells as some seconds take."""
    tiles, real = [0], ensemble.Ensemble.probabilities

    def counted(self: Any, image: Any, *others: Any) -> Any:
        tiles[0] += len(image)
        return real(self, image, *others)

    cells = [cell for cell in plan_mapping(config).cells if cell.stage == "map"]
    family, one = get_family(cells[0].params["family"]), config.of_map(config.maps[0])
    ensemble.Ensemble.probabilities = counted  # type: ignore[method-assign]
    try:
        start = time.perf_counter()
        for number, cell in enumerate(cells[: MOST_CELLS + 1]):
            if number == 1:  # the first one loads libraries and networks
                start, tiles[0] = time.perf_counter(), 0
            with tempfile.TemporaryDirectory() as name:
                family.map(one, cell.params, Workspace(Path(name)))  # type: ignore[arg-type]
            if number and time.perf_counter() - start > 2 * seconds:
                break
        return {"map tiles/s": tiles[0] / (time.perf_counter() - start)}
    finally:
        ensemble.Ensemble.probabilities = real  # type: ignore[method-assign]


def _resident_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def figures(path: Path, seconds: float) -> dict[str, dict[str, Any]]:
    config, found = load_config(path), dict[str, dict[str, Any]]()
    first = {cell.params["family"]: cell for cell in reversed(plan_training(config).cells) if cell.stage == "train"}
    for name, cell in sorted(first.items()):
        fabric = start_fabric(config.run.trainer)
        found[name] = training_figures(fabric, config, get_family(name), CellParams(**cell.params), seconds)
    if config.maps:
        try:
            found.setdefault(get_family(next(reversed(config.maps[0].versions))).name, {}).update(map_figures(config, seconds))
        except CratermillError as error:  # nothing trained yet, say: the other figures stand
            print(f"no map of {path.name}: {error}")
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads, {platform.machine()}"
    print(f"\n{card}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print(f"| family | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for family, one in found.items():
        print(f"| {family} | " + " | ".join("" if one.get(name) is None else f"{one[name]:.3g}" for name in names) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for path in options.config:
        found |= figures(path, options.seconds)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
