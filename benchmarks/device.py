"""What a device is given to do, family by family: how fast samples are loaded, steps made and tiles mapped, and how much of the time the
device computes, against plain PyTorch in the same run.

    python benchmarks/device.py [--seconds 5] [--families ejecta,sgan] [--small | --full] [--quick] [--choices] [--folder DIR] [--json FILE]

Data and rows are its own: a synthetic planet, and a row of each family's table in configs/ with networks that start at random; for maps
they are taken as they are. --full (the usual on a GPU): the tables' own sizes of tiles and batches; --small (the usual on a CPU): tiles of
64 to 128 px in batches of 8; --quick: the same for a moment each, to see that it runs. Each figure is a rate over some seconds after a
warm-up. The share of computing is that of the kernels in the profiler's time line, on a CPU that of torch's operations. --choices: also
what the trainer's choices bring, each as a ratio to the same without it in the same run, of rows that augment. Of ejecta also how
tiles come to the networks, sampled by the host and on the device.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from cratermill.config import Config
from cratermill.core.errors import CratermillError
from cratermill.families import cell_params, get_family
from cratermill.families.autoencoder.network import LatentNetwork
from cratermill.families.base import Family
from cratermill.families.ejecta.mapping import load_members
from cratermill.families.ejecta_common.craters import Crater
from cratermill.families.ejecta_common.mapping import tiles_to_map
from cratermill.families.ejecta_common.planned import open_mosaic
from cratermill.families.ensemble import CHUNK
from cratermill.pipeline.launch import plan_mapping, plan_training, prepare
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.plan_maps import at_work
from cratermill.pipeline.train import begin, start_fabric
from cratermill.samples.sending import sent
from cratermill.synthetic import synthesise
from cratermill.training.cell import FIRST, CellParams
from cratermill.training.loop import BEST
from cratermill.training.normalised import Normalised

CONFIGS, PLANET = Path(__file__).resolve().parents[1] / "configs", "data/planet"
MOSAIC, LIST = f"{PLANET}/mosaics/cylindrical_mosaic.tif", f"{PLANET}/catalogue.csv"
CUT = {"mosaic": MOSAIC, "catalogue": LIST, "max_craters": 400, "max_abs_lat": 60}
DATA: dict[str, dict[str, Any]] = {
    "autoencoder": {"catalogue": LIST, "count": 400},
    "chip_classifier": {"cut": {**CUT, "unlabelled": 100}},
    "sgan": {"cut": CUT},
    "crater_unet": {"kind": "mosaic", "catalogue": LIST},
    "crater_detector": {"kind": "mosaic", "catalogue": LIST},
}
ROWS: dict[str, tuple[int, dict[str, Any]]] = {
    "connection": (0, {"iter_threshold": 0.5}),
    "ejecta": (0, {"eval_conn_version": None}),
    "autoencoder": (0, {"clusters": 2}),
    "chip_classifier": (0, {}),
    "sgan": (0, {}),
    "crater_unet": (31, {"size_min": 3, "level": 0.5, "confidence": 0.7, "arc": 0.25}),
    "crater_detector": (1, {"threshold": 0.5}),
}
"""The version of each family's table, and what of it is changed."""
SMALL: dict[str, dict[str, Any]] = {
    "connection": {"tile_size_px": 64, "batch_size": 8},
    "ejecta": {"tile_size_px": 64, "batch_size": 8},
    "autoencoder": {"crop_px": 64, "batch_size": 8},
    "chip_classifier": {"batch_size": 8},
    "sgan": {"batch_size": 8},
    "crater_unet": {"batch_size": 2, "size_max": 40},
    "crater_detector": {"piece_px": 64, "batch_size": 2, "size_max": 40},
}
MAPS: dict[str, dict[str, Any]] = {
    "ejecta": {"versions": {"connection": 0, "ejecta": 0}},
    "autoencoder": {"catalogue": LIST, "options": {"count": 100, "chunk": 50, "display": False}},
    "chip_classifier": {"catalogue": LIST, "options": {"chunk": 200}},
    "sgan": {"catalogue": LIST, "options": {"chunk": 200}},
    "crater_unet": {"options": {"latitudes": [-60, 60]}},
    "crater_detector": {"options": {"latitudes": [-60, 60]}},
}
CHOICES: dict[str, dict[str, Any]] = {
    "augmented on the device": {"augment_on": "device"},
    "and kept there": {"augment_on": "device", "keep_on_device": True},
}
"""Of the trainer, what they are called and what they change."""
WARM_UP, MOST_CELLS, MOST_PROFILED = 2, 6, 20


class Workspace:
    """A folder in which nothing is asked to stop."""

    stop_requested = False

    def __init__(self, folder: Path):
        self.folder = folder

    def report(self, **_: Any) -> None: ...

    def keep_going(self) -> None: ...


# --- what is measured on -------------------------------------------------------------------------------------------------------


def project(root: Path, families: list[str], small: bool, rows: int) -> Path:
    """A project with data and a run configuration; returns the latter."""
    shutil.copytree(CONFIGS, root / "configs", dirs_exist_ok=True)
    tiles = (rows // 32, rows // 16)
    synthesise(root / PLANET, body="mercury", shape=(rows, 2 * rows), seed=1, n_fresh=12, train_fraction=0.85, tile_shape_px=tiles)
    train = {}
    for name in families:
        version, changes = ROWS[name]
        data = DATA.get(name, {}) | ({"tile_px": min(256, rows // 4)} if name.startswith("crater_") else {})
        changes = changes | (SMALL[name] if small else {})
        table = f"configs/{name}_version_hparams.csv"
        train[name] = {"table": table, "versions": [version], "splits": [0], "iterations": 1, "set": changes, "data": data}
    maps = [{"versions": {name: ROWS[name][0]}, "split": 0, "name": name, **MAPS[name]} for name in families if name in MAPS]
    maps = [one for one in maps if set(one["versions"]) <= set(families)]
    content = {"name": "device", "seed": 1, "data": PLANET, "splits": {"count": 1, "test_fraction": 0.25}}
    content |= {"tiles": {"eval_size_px": 16}} if {"connection", "ejecta"} & set(families) else {}
    content |= {"train": train, "maps": maps, "trainer": {"logger": []}}
    path = root / "configs" / "device.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    prepare(path)
    return path


# --- measuring -----------------------------------------------------------------------------------------------------------------


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(work: Callable[[], int], seconds: float, device: torch.device) -> float:
    """How many of what ``work`` counts are done per second."""
    for _ in range(WARM_UP):
        work()
    wait(device)
    start, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - start < seconds:
        done += work()
    wait(device)
    return done / (time.perf_counter() - start)


def endless(loaders: Any) -> Iterator[Any]:
    for epoch in itertools.count():
        yield from loaders.train(epoch)


def size(batch: Any) -> int:
    return len(next(iter(batch.values())))


def watts(device: torch.device) -> float | None:
    with suppress(Exception):  # no driver's library, or none that tells
        return torch.cuda.power_draw(device) / 1000 if device.type == "cuda" else None
    return None


def busy(work: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """The share of time in which the device computes, over some calls."""
    kind = torch.profiler.ProfilerActivity.CUDA if device.type == "cuda" else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[kind]) as profiler:
        start = time.perf_counter()
        for _ in range(MOST_PROFILED):
            work()
            if time.perf_counter() - start > seconds:
                break
        wait(device)
        taken = time.perf_counter() - start
    events = profiler.key_averages()
    total = sum(event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total for event in events)
    return total / 1e6 / taken


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


def training_figures(fabric: Any, config: Any, family: Family, params: CellParams, seconds: float) -> dict[str, Any]:
    """Rates of one cell's loader, steps and forward passes; its network as it then is becomes the one that maps are made with."""
    device = fabric.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as name:
        training = begin(fabric, config, family, params, FIRST, Workspace(Path(name)), Path(name))  # type: ignore[arg-type]
        training.model.train()
        batches = endless(training.loaders)
        batch = next(batches)

        def with_data() -> int:
            training.step(next(batches))
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
        found |= {"steps/s": rate(with_data, seconds, device), "watts": watts(device)}
        found["computing"] = busy(with_data, device, seconds)
        found["steps/s on one batch"] = rate(alone, seconds, device)
        found["plain PyTorch steps/s"] = rate(plain(training, batch), seconds, device)
        training.model.eval()
        if "image" in batch:
            found["forward tiles/s"] = rate(forward, seconds, device)
        training.save_best({})
        best = config.project.version_results(family.short, params.version) / "best-checkpoint_test-set-0_iteration-0.ckpt"
        best.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(name) / BEST, best)
    peak = (
        torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    )
    return found | {"against plain": found["steps/s on one batch"] / found["plain PyTorch steps/s"], "memory GB": peak}


def choice_figures(fabric: Any, config: Any, family: Family, params: CellParams, seconds: float) -> dict[str, float]:
    """How many times as fast batches come to the device, augmented, and steps are made, with each of the trainer's choices."""

    def rates(trainer: Any) -> tuple[float, float]:
        one = Config(config.run.model_copy(update={"trainer": trainer}), config.root, config.source)
        with tempfile.TemporaryDirectory() as name:
            training = begin(fabric, one, family, params, FIRST, Workspace(Path(name)), Path(name))  # type: ignore[arg-type]
            training.model.train()
            batches = endless(training.loaders)

            def step() -> int:
                training.step(next(batches))
                return 1

            return rate(lambda: size(next(batches)), seconds, fabric.device), rate(step, seconds, fabric.device)

    if not hasattr(params.hparams, "img_augment"):
        return {}
    params, found = replace(params, hparams=params.hparams.model_copy(update={"img_augment": True})), dict[str, float]()
    plain = rates(config.run.trainer.model_copy(update={"augment_on": "workers", "keep_on_device": False}))
    for name, changes in CHOICES.items():
        chosen = rates(config.run.trainer.model_copy(update=changes))
        found |= {f"{name}: samples": chosen[0] / plain[0], f"{name}: steps": chosen[1] / plain[1]}
    return found


def map_figures(config: Any, cells: list[Any], device: torch.device, seconds: float) -> dict[str, float]:
    """Tiles of a map, counted where networks take them, from mosaic to files, of as many cells as some seconds take."""
    tiles = [0]

    def count(module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, Normalised | LatentNetwork):
            tiles[0] += len(inputs[0])

    def make(cell: Any) -> None:
        one = at_work(config, cell.params)
        with tempfile.TemporaryDirectory() as name:
            get_family(cell.params["family"]).map(one, cell.params, Workspace(Path(name)))  # type: ignore[arg-type]

    make(cells[0])  # loads libraries and networks
    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        start = time.perf_counter()
        for cell in cells[1 : MOST_CELLS + 1] or cells:
            make(cell)
            if time.perf_counter() - start > seconds:
                break
        found = {"map tiles/s": tiles[0] / (time.perf_counter() - start)}
    finally:
        hook.remove()
    return found | {"computing in maps": busy(lambda: make(cells[-1]), device, 0.0)}


def sampling_figures(config: Config, params: dict[str, Any], seconds: float) -> dict[str, float]:
    """Tiles of an ejecta map that come to the device per second, sampled by the host and there, and the host's CPU time for each, ms."""
    one, found = at_work(config, params), dict[str, float]()
    ensemble = load_members(one, params).ejecta
    crater = Crater(params["fid"], params["lon"], params["lat"], params["radius_m"])
    with open_mosaic(one) as mosaic:
        tiles = tiles_to_map(one, crater, mosaic).iloc[:CHUNK]

        def ready() -> int:
            sent(ensemble.images(mosaic, crater, tiles), ensemble.device)
            return len(tiles)

        for name, where in (("host", None), ("device", ensemble.device)):
            ensemble.computing = ensemble.computing._replace(sample_on=where)
            found[f"sampled on the {name}, tiles/s"] = rate(ready, seconds, ensemble.device)
            start, count = time.process_time(), sum(ready() for _ in range(WARM_UP))
            wait(ensemble.device)
            found[f"CPU ms of the host, sampled on the {name}"] = (time.process_time() - start) / count * 1000
    return found


# --- all of it -----------------------------------------------------------------------------------------------------------------


def figures(path: Path, seconds: float, choices: bool = False) -> dict[str, dict[str, Any]]:
    config, found = load_config(path), dict[str, dict[str, Any]]()
    fabric = start_fabric(config.run.trainer)
    for cell in [cell for cell in plan_training(config).cells if cell.stage == "train"]:
        params = cell_params(cell.params)
        found[params.family] = training_figures(fabric, config, get_family(params.family), params, seconds)
        if choices:
            found[params.family] |= choice_figures(fabric, config, get_family(params.family), params, seconds)
        print(params.family, json.dumps(found[params.family]), flush=True)
    if not config.maps:
        return found
    cells: dict[str, list[Any]] = {}
    for cell in plan_mapping(config).cells:
        if cell.stage == "map":
            cells.setdefault(cell.params["family"], []).append(cell)
    for name, some in cells.items():
        try:
            found[name] |= map_figures(config, some, fabric.device, seconds)
            found[name] |= sampling_figures(config, some[0].params, seconds) if name == "ejecta" else {}
        except CratermillError as error:
            print(f"no map of {name}: {error}")
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads, {platform.machine()}"
    print(f"\n{card}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print(f"| family | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for family, one in found.items():
        print(f"| {family} | " + " | ".join("" if one.get(name) is None else f"{one[name]:.3g}" for name in names) + " |")


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--families", default=",".join(ROWS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--choices", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to make the data; a temporary folder when left out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    small = options.quick or options.small or not (options.full or torch.cuda.is_available())
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = project(Path(name), options.families.split(","), small, 256 if options.quick else 512 if small else 2048)
        found = figures(path, 0.01 if options.quick else options.seconds, options.choices)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
