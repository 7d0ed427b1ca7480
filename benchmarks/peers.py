"""Whole steps of ours against libraries that do the same, on the same pixels in the same run. What isn't installed is said and left out.

    python benchmarks/peers.py [--rows 2048] [--runs 5] [--only maps,tiles,cogs,training] [--json FILE]

maps: a whole map of craters (tiles, forward passes, circles, list, pictures, prediction) against terratorch's tiled inference of the same
network on the same band of the mosaic in memory, which gives the prediction alone, and against torchgeo's grid sampler with the tiles put
together again; and the share of forward passes in ours. tiles: 100 tiles of 224² around a crater, against rasterio's WarpedVRT and odc-geo.
cogs: a cloud-optimised GeoTIFF, against rio-cogeo. training: steps of our loop, against a loop of PyTorch alone and Lightning's Trainer.
CPU seconds, medians; each in a process of its own, libraries loaded before, ours and theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from measure import Measured, measure

WINDOW_PX, OVERLAP_PX, STEPS, BATCH, SIDE_PX = 1024, 128, 30, 8, 128
LEAST_ROWS = 2048
"""Of a mosaic around which 100 tiles of 224² side by side find room."""


def there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package within one that is missing
        return False


# --- maps ---------------------------------------------------------------------------------------------------------------------


def our_map(root: Path, config: Path) -> dict[str, float]:
    """A map made anew: CPU seconds of the forward passes within it, and pixels that went through the network."""
    import shutil

    from latent_map import run

    from cratermill.families.ensemble import Ensemble

    found, real = {"forward_s": 0.0, "forward_px": 0.0}, Ensemble.probabilities
    clock = time.thread_time if torch.get_num_threads() == 1 else time.process_time  # another thread samples meanwhile
    for folder in (root / "log", root / "results" / "output_masks"):
        shutil.rmtree(folder, ignore_errors=True)

    def timed(self: Any, image: np.ndarray, *others: Any) -> torch.Tensor:
        start = clock()
        result = real(self, image, *others)
        found["forward_s"] += clock() - start
        found["forward_px"] += image.size
        return result

    Ensemble.probabilities = timed  # type: ignore[method-assign]
    start = time.process_time()
    try:
        found |= {f"{stage}_clock_s": seconds for stage, seconds in run(config).items()}
        return found | {"cpu_s": time.process_time() - start}
    finally:
        Ensemble.probabilities = real  # type: ignore[method-assign]


def band(mosaic: Path) -> np.ndarray:
    """What the map is of: 60° S to 60° N."""
    with rasterio.open(mosaic) as file:
        rows = file.height // 6
        return file.read(1)[rows:-rows].astype(np.float32)


def network(checkpoint: Path) -> torch.nn.Module:
    from cratermill.families.ensemble import Ensemble
    from cratermill.training.device import Computing

    # With a device, so that this process's memory stays as the libraries have it: the gain of keeping it is ours.
    return Ensemble.load([checkpoint], "crater_unet", 0, Computing(torch.device("cpu"), "32-true")).networks[0]


@torch.inference_mode()
def by_terratorch(mosaic: Path, checkpoint: Path) -> tuple[int, ...]:
    from terratorch.tasks.tiled_inference import tiled_inference

    image, model = torch.from_numpy(band(mosaic))[None, None], network(checkpoint)
    stride = WINDOW_PX - OVERLAP_PX
    return tuple(tiled_inference(model, image, 1, crop=WINDOW_PX, stride=stride, delta=0, batch_size=1).sigmoid().shape)


@torch.inference_mode()
def by_torchgeo(mosaic: Path, checkpoint: Path) -> tuple[int, ...]:
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler, Units

    data, model = RasterDataset(str(mosaic)), network(checkpoint)
    with rasterio.open(mosaic) as file:
        whole, affine = np.zeros(file.shape, np.float32), file.transform
    sampler = GridGeoSampler(data, size=WINDOW_PX, stride=WINDOW_PX - OVERLAP_PX, units=Units.PIXELS)
    top, bottom = whole.shape[0] // 6, whole.shape[0] - whole.shape[0] // 6
    for place in sampler:
        x, y = place[0], place[1]
        col, row = (round(value) for value in ~affine * (x.start, y.stop))
        if row >= bottom or row + WINDOW_PX <= top:
            continue
        image = data[place]["image"].float()
        answer = model(image[None]).sigmoid()[0, 0].numpy()
        space = whole[max(row, 0) : row + WINDOW_PX, max(col, 0) : col + WINDOW_PX]
        space[:] = answer[: space.shape[0], : space.shape[1]]
    return whole.shape


def maps(root: Path, rows: int, runs: int) -> list[tuple[str, Measured]]:
    from crater_map import project

    config = project(root, [rows])[rows]
    mosaic = root / "data" / f"mosaic_{rows}.tif"
    checkpoint = root / "results" / "crater_unet_results" / "version_0" / "best-checkpoint_test-set-0_iteration-0.ckpt"
    found = [("a whole map of craters", measure(our_map, root, config, runs=runs, warm=True))]
    one = found[0][1].value
    pixels = one["forward_px"] / band(mosaic).size
    print(f"forward passes: {one['forward_s'] / one['cpu_s']:.0%} of the map, {pixels:.2f} pixels for each of the mosaic's")
    for package, function in (("terratorch", by_terratorch), ("torchgeo", by_torchgeo)):
        if there(package):
            found.append((f"the prediction by {package}", measure(function, mosaic, checkpoint, runs=runs, warm=True)))
        else:
            print(f"{package} is not installed")
    return found


# --- tiles, files and steps ---------------------------------------------------------------------------------------------------


def by_odc(mosaic: Path, rows: int) -> int:
    import geometry
    import rioxarray
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import xr_reproject

    grid, windows = geometry.crater_tiles(geometry.mosaic_grid(rows))
    image = rioxarray.open_rasterio(mosaic)
    for one in windows:
        part = grid.window(one)
        xr_reproject(image, GeoBox(part.shape, part.affine, part.crs.to_wkt()), resampling="bilinear").compute()
    return len(windows)


def tiles(root: Path, rows: int, runs: int) -> list[tuple[str, Measured]]:
    import geometry

    rows = max(rows, LEAST_ROWS)
    mosaic, grid = root / "three_bands.tif", geometry.mosaic_grid(rows)
    geometry.make_mosaic(mosaic, grid)
    found = [("100 tiles around a crater", measure(geometry.tiles_sampled, mosaic, runs=runs, warm=True))]
    found.append(("the same by WarpedVRT", measure(geometry.tiles_by_vrt, mosaic, runs=runs, warm=True)))
    if there("odc.geo"):
        found.append(("the same by odc-geo", measure(by_odc, mosaic, rows, runs=runs, warm=True)))
    else:
        print("odc-geo is not installed")
    return found


def our_cog(source: Path, target: Path) -> int:
    from cratermill.geo.cog import write_cog
    from cratermill.geo.mosaic import Mosaic

    with Mosaic.open(source) as mosaic, rasterio.open(source) as file:
        write_cog(target, file.read(), mosaic.grid)
    return target.stat().st_size


def rio_cog(source: Path, target: Path) -> int:
    from rio_cogeo.cogeo import cog_translate
    from rio_cogeo.profiles import cog_profiles

    cog_translate(str(source), str(target), cog_profiles.get("deflate"), quiet=True, in_memory=False)
    return target.stat().st_size


def gdal_cog(source: Path, target: Path) -> int:
    from rasterio.shutil import copy

    copy(str(source), str(target), driver="COG", compress="deflate")
    return target.stat().st_size


def cogs(root: Path, rows: int, runs: int) -> list[tuple[str, Measured]]:
    import geometry

    source = root / "three_bands.tif"
    if not source.exists():
        geometry.make_mosaic(source, geometry.mosaic_grid(rows))
    found = [("a cloud-optimised GeoTIFF", measure(our_cog, source, root / "ours.tif", runs=runs, warm=True))]
    found.append(("the same by GDAL's driver", measure(gdal_cog, source, root / "gdal.tif", runs=runs, warm=True)))
    if there("rio_cogeo"):
        found.append(("the same by rio-cogeo", measure(rio_cog, source, root / "rio.tif", runs=runs, warm=True)))
    else:
        print("rio-cogeo is not installed")
    return found


class Pieces(torch.utils.data.Dataset):
    """Samples (1, 128, 128) in memory, by index or by a key of ours."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 256, (STEPS * BATCH, 1, SIDE_PX, SIDE_PX), dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Any) -> dict[str, torch.Tensor]:
        image = self.images[key[2] if isinstance(key, tuple) else key]
        return {"image": image.float(), "target": (image > 127).float()}


def task() -> Any:
    from crater_map import ROW

    from cratermill.families import get_family
    from cratermill.families.crater_unet.hparams import Hparams
    from cratermill.training.cell import CellParams

    torch.manual_seed(0)
    hparams = Hparams.from_plan(ROW)
    return get_family("crater_unet").task(CellParams("crater_unet", 0, 0, 0, 0, hparams), np.array([[127.5], [127.5]])).train()


def our_loop() -> int:
    from crater_map import ROW
    from device import Workspace
    from lightning.fabric import Fabric

    from cratermill.families.crater_unet.hparams import Hparams
    from cratermill.samples.sampler import EpochOrder
    from cratermill.training.cell import CellParams, Datasets
    from cratermill.training.loaders import Loaders
    from cratermill.training.loop import Training

    data, hparams = Pieces(), Hparams.from_plan(ROW)
    loaders = Loaders(Datasets(data, data, data, EpochOrder(len(data), 0), np.zeros((2, 1))), BATCH, 0)
    params = CellParams("crater_unet", 0, 0, 0, 0, hparams)
    with tempfile.TemporaryDirectory() as name:
        workspace: Any = Workspace(Path(name))
        training = Training(Fabric(accelerator="cpu"), task(), loaders, params, hparams, np.zeros((2, 1)), workspace, Path(name))
        training.train_epoch()
    return training.batch


def plain_loop() -> int:
    """What both do, by PyTorch alone: the same task, optimiser and batches."""
    one = task()
    optimizer = one.optimizers()[0][0]
    for batch in torch.utils.data.DataLoader(Pieces(), BATCH, shuffle=True):
        optimizer.zero_grad(set_to_none=True)
        one(batch).backward()
        optimizer.step()
    return STEPS


def by_trainer() -> int:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.task = task()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return self.task(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.task.optimizers()[0][0]

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=1, **quiet)
    trainer.fit(Module(), torch.utils.data.DataLoader(Pieces(), BATCH, shuffle=True))
    return trainer.global_step


def training(_root: Path, _rows: int, runs: int) -> list[tuple[str, Measured]]:
    return [
        (f"{STEPS} steps of our loop", measure(our_loop, runs=runs, warm=True)),
        ("the same by a loop of PyTorch alone", measure(plain_loop, runs=runs, warm=True)),
        ("the same by Lightning's Trainer", measure(by_trainer, runs=runs, warm=True)),
    ]


PARTS = {"maps": maps, "tiles": tiles, "cogs": cogs, "training": training}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")
    for part in options.only.split(","):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / part).mkdir()
            rows = PARTS[part](Path(name) / part, options.rows, options.runs)
        print("\n| what | CPU s | clock s | MB | ours takes |\n|---|---|---|---|---|", flush=True)
        for what, one in rows:
            print(
                f"| {what} | {one.cpu_s:.2f} | {one.seconds:.2f} | {one.peak_mb:.0f} | {rows[0][1].cpu_s / one.cpu_s:.2f} × |", flush=True
            )
            found[what] = {"cpu_s": one.cpu_s, "seconds": one.seconds, "peak_mb": one.peak_mb}
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
