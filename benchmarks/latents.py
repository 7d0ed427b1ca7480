"""Autoencoders, clusters and retrieval on real crops.

    python benchmarks/latents.py CROPS [--folder DIR] [--epochs 50] [--mae-epochs 20] [--limit N] [--training-seeds 5] [--json FILE]
    python benchmarks/latents.py CATALOGUE --mosaic MOSAIC [--folder DIR] [--epochs 50] [--limit N] [--json FILE]

CROPS is a folder or zip of 100 px crops with metadata.csv (positions and diameters in metres), cut from a mosaic of 100 m per pixel.
Networks are trained by the family's own parts with fixed seeds, 8 of 10 crops training and 2 validating, and kept in DIR, so that a second
run only judges. Pixels are grey values divided by 255, as given, unless said otherwise. With a mosaic only the CAE's error is measured,
on crops cut around the craters of a list, |latitude| to 60: as they are, and stretched one by one to the full range, with principal
components beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from cratermill.craters.catalogue import read_catalogue
from cratermill.families.autoencoder.cluster_scores import associations
from cratermill.families.autoencoder.encode import encode
from cratermill.families.autoencoder.grouping import Recipe, group, nuisance_columns, silhouette
from cratermill.families.autoencoder.hparams import Hparams
from cratermill.families.autoencoder.light import light
from cratermill.families.autoencoder.network import LatentNetwork, build_network
from cratermill.families.autoencoder.options import CropData
from cratermill.families.autoencoder.prepare import finish
from cratermill.families.autoencoder.sources import ReadyMade
from cratermill.families.autoencoder.task import LatentTask
from cratermill.geo.mosaic import Mosaic
from cratermill.samples.crops import Cutter, Geometry

SIZE_PX, SEEDS = 100, 5
COUNTS, TAKEN_OUT = (2, 3, 5), ("none", "light", "all")
SHOWN = ("eta2_light", "AMI_light", "eta2_upsampling", "AMI_upsampling", "eta2_brightness", "eta2_latitude")
RAW, RAW_PX = "raw pixels", 25
"""Raw pixels are grouped as means of 4 × 4: the same groups at a sixteenth of the work."""
BASE = {"version": 1, "version_run": True, "test_set": [0], "trainings_per_test": 1, "val_frac": 0.2, "crop_px": SIZE_PX}


def row(**columns) -> Hparams:
    return Hparams.from_plan({**BASE, **columns})


def networks(epochs: int, mae_epochs: int) -> dict[str, Hparams]:
    cosine = {"scheduler": "CosineAnnealingLR", "keywords": {"LR_CosineAnnealingLR_T_max": epochs, "LR_CosineAnnealingLR_eta_min": 1e-8}}
    l2 = {"keywords": {**cosine["keywords"], "OPT_Adam_weight_decay": 1e-5}, "scheduler": cosine["scheduler"]}
    cae = {"model_name": "cae", "batch_size": 32, "lr": 1e-3, "optimizer": "Adam", "max_epochs": epochs}
    warm = {
        "scheduler": "CosineAnnealingLR_Warmup",
        "LR_Warmup_milestone": 5,
        "keywords": {"LR_CosineAnnealingLR_T_max": mae_epochs - 5, "OPT_AdamW_weight_decay": 0.05, "OPT_AdamW_betas": [0.9, 0.95]},
    }
    mae = {"model_name": "mae_small", "batch_size": 64, "lr": 1e-3, "optimizer": "AdamW", "max_epochs": mae_epochs, "latent": "mean"}
    return {"CAE-20": row(**cae, **l2), "MAE small": row(**mae, **warm)}


def read(path: Path, limit: int | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Crops (N, S, S) and what is known of them."""
    ready = ReadyMade(path)
    table = ready.craters(CropData(crops=str(path), source_m_per_px=100.0), SIZE_PX, 1.5).iloc[:limit]
    crops = ready.crops(table, SIZE_PX)
    return crops, table.assign(**light(crops, 1.5))


def cut_from(mosaic: Path, catalogue: Path, limit: int | None) -> np.ndarray:
    """Crops (N, S, S) around craters in random order, mirrored as the family does; those without missing pixels."""
    with Mosaic.open(mosaic) as opened:
        craters = read_catalogue(catalogue, opened.grid.body, pixel_m=opened.grid.resolution_m)
        craters = craters[craters["lat"].abs() <= 60].sample(frac=1, random_state=0).reset_index(drop=True)
        cutter = Cutter(opened, Geometry(SIZE_PX, 1.5))
        craters = craters[cutter.inside(craters)].iloc[:limit]
        crops, missing = cutter.cut_and_missing(craters)
    crops = crops[missing == 0]
    finish(crops, row(model_name="cae", batch_size=32, lr=1e-3, optimizer="Adam", max_epochs=1))  # mirrors them in place
    return crops


def stretched(crops: np.ndarray) -> np.ndarray:
    low, high = (function(axis=(1, 2), keepdims=True).astype(float) for function in (crops.min, crops.max))
    return np.rint((crops - low) / np.maximum(high - low, 1) * 255).astype(np.uint8)


def of_a_mosaic(options: argparse.Namespace) -> dict[str, list[dict]]:
    crops, hparams = cut_from(options.mosaic, options.crops, options.limit), networks(options.epochs, options.mae_epochs)["CAE-20"]
    network, curve = trained(f"CAE-20 {options.crops.stem}", hparams, crops, options.folder)
    whole = stretched(crops)
    return {
        f"{len(crops)} crops as cut": reconstruction(network, curve, hparams, crops),
        f"{len(crops)} crops stretched one by one; the CAE is that of the others": reconstruction(network, curve, hparams, whole),
    }


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that train and validate."""
    order = np.random.default_rng(0).permutation(count)
    return order[count // 5 :], order[: count // 5]


def batches(crops: np.ndarray, numbers: np.ndarray, size: int):
    for start in range(0, len(numbers) - size + 1, size):
        yield {"image": torch.from_numpy(crops[numbers[start : start + size]])[:, None]}


def trained(name: str, hparams: Hparams, crops: np.ndarray, folder: Path, seed: int = 0) -> tuple[LatentNetwork, list[dict]]:
    """The network after its last epoch and its curve; taken from ``folder`` where it lies there already."""
    path = folder / f"{name.replace(' ', '_')}_{hparams.max_epochs}_{len(crops)}.pth"
    torch.manual_seed(seed)
    task = LatentTask(build_network(hparams), hparams).to(memory_format=torch.channels_last)
    if path.exists():
        kept = torch.load(path, weights_only=True)
        task.network.load_state_dict(kept["state"])
        return task.network.to(memory_format=torch.contiguous_format).eval(), kept["curve"]
    (optimizer, schedule), (train, val), curve = task.optimizers()[0], halves(len(crops)), []
    for epoch in range(hparams.max_epochs):
        start, losses = time.perf_counter(), []
        task.train()
        for batch in batches(crops, np.random.default_rng([seed, epoch]).permutation(train), hparams.batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = task(batch)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        if schedule is not None:
            schedule.step()
        curve.append({"epoch": epoch, "train": float(np.mean(losses)), "val": validation(task, crops, val)})
        curve[-1]["seconds"] = time.perf_counter() - start
        print(name, curve[-1], flush=True)
    torch.save({"state": task.network.state_dict(), "curve": curve}, path)
    return task.network.to(memory_format=torch.contiguous_format).eval(), curve


@torch.no_grad()
def validation(task: LatentTask, crops: np.ndarray, val: np.ndarray) -> float:
    task.eval()
    task.start_scoring()
    for batch in batches(crops, val, 100):
        task.score(batch)
    return task.scores(lambda values: values)["loss"]


def reconstruction(cae: LatentNetwork, curve: list[dict], hparams: Hparams, crops: np.ndarray) -> list[dict]:
    """Validation error of the CAE beside principal components and the mean crop."""
    train, val = halves(len(crops))
    flat = crops.reshape(len(crops), -1).astype(np.float32) / 255
    variance = float(((flat[val] - flat[train].mean(0)) ** 2).mean())
    found = [{"what": "CAE-20", "validation MSE": validation(LatentTask(cae, hparams), crops, val), "s per epoch": _median(curve)}]
    components = PCA(100, svd_solver="randomized", random_state=0).fit(flat[train])
    for count in (20, 40, 100):
        axes, rest = components.components_[:count], flat[val] - components.mean_
        found.append({"what": f"{count} principal components", "validation MSE": float(((rest - (rest @ axes.T) @ axes) ** 2).mean())})
    found.append({"what": "the mean crop", "validation MSE": variance})
    span = float(np.median(np.ptp(crops.reshape(len(crops), -1), axis=1))) / 255
    return [{**one, "share of variance": one["validation MSE"] / variance, "span of a crop": span} for one in found]


@torch.no_grad()
def masked(mae: LatentNetwork, curve: list[dict], crops: np.ndarray) -> list[dict]:
    """Error on hidden patches of validation crops: the MAE, the training crops' mean at that place, the mean of what is shown."""
    train, val = halves(len(crops))
    place = mae.model.patchify(torch.from_numpy(crops[train].mean(0) / 255).float()[None, None])[0]
    errors: dict[str, list[float]] = {"MAE small": [], "mean patch of the training crops": [], "mean of what is shown": []}
    generator = torch.Generator().manual_seed(1)
    for batch in batches(crops, val, 100):
        seen = mae.pixels(batch["image"])
        shown, hidden = mae.model.draw(len(seen), generator, seen.device)
        patches = mae.model.patchify(seen)
        truth, pick = patches.gather(1, _each(hidden, patches)), _each(hidden, patches)
        guesses = {
            "MAE small": mae.model.predict(seen, shown).gather(1, pick),
            "mean patch of the training crops": place[hidden],
            "mean of what is shown": patches.gather(1, _each(shown, patches)).mean((1, 2), keepdim=True),
        }
        for name, guess in guesses.items():
            errors[name].append(float((guess - truth).square().mean()))
    found = [{"what": name, "MSE of hidden pixels": float(np.mean(values))} for name, values in errors.items()]
    found[0]["s per epoch"] = _median(curve)
    return found


def _each(numbers: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    return numbers[..., None].expand(-1, -1, patches.shape[2])


def _median(curve: list[dict]) -> float:
    return float(np.median([epoch["seconds"] for epoch in curve]))


def reproducible(network: LatentNetwork, hparams: Hparams, crops: np.ndarray, folder: Path) -> float:
    """Largest difference of latents from the network and from its saved weights in a fresh one, crops in another order."""
    torch.save(dict(network.state_dict()), folder / "again.pth")
    torch.manual_seed(99)
    again = build_network(hparams, pretrained=False)
    again.load_state_dict(torch.load(folder / "again.pth", weights_only=True))
    order = np.random.default_rng(5).permutation(min(2000, len(crops)))
    return float(np.abs(encode(network, crops[order]) - encode(again.eval(), crops)[order]).max())


def kept_latents(name: str, network: LatentNetwork, crops: np.ndarray, folder: Path) -> np.ndarray:
    """Latents of all crops, kept for a second run."""
    path = folder / f"latents_{name.replace(' ', '_')}_{len(crops)}.npy"
    if not path.exists():
        np.save(path, encode(network, crops))
    return np.load(path)


def small(crops: np.ndarray) -> np.ndarray:
    reduced = [cv2.resize(crop, (RAW_PX, RAW_PX), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(reduced).reshape(len(crops), -1) / np.float32(255)


def clusterings(spaces: dict[str, np.ndarray], table: pd.DataFrame) -> list[dict]:
    """Every recipe with ``SEEDS`` seeds: agreement between them, silhouette, and association with the nuisances (means over seeds)."""
    recipes = [(RAW, Recipe("kmeans", count)) for count in COUNTS]
    for space in [name for name in spaces if name != RAW]:
        recipes += [(space, Recipe("kmeans", count, regress_out=out)) for out in TAKEN_OUT for count in COUNTS]
    recipes += [("CAE-20", Recipe(method, 5, regress_out="all")) for method in ("gmm", "agglomerative")]
    found = []
    for space, recipe in recipes:
        found.append({"latents": space, **_recipe(spaces[space], recipe, table)})
        print(found[-1], flush=True)
    return found


def _recipe(latents: np.ndarray, recipe: Recipe, table: pd.DataFrame) -> dict:
    nuisances = nuisance_columns(table, recipe.regress_out)
    made = [group(latents, recipe, nuisances, 100 * seed) for seed in range(SEEDS)]
    figures = {"method": recipe.method, "clusters": recipe.count, "taken out": recipe.regress_out}
    return figures | {"silhouette": silhouette(made[0].features, made[0].labels)} | _agreement([one.labels for one in made], table)


def _agreement(labels: list[np.ndarray], table: pd.DataFrame) -> dict[str, float]:
    """Mean agreement of all pairs, and mean association with the nuisances."""
    ari = [adjusted_rand_score(*pair) for pair in itertools.combinations(labels, 2)]
    found = pd.DataFrame([associations(one, table) for one in labels]).mean()
    return {"ARI": float(np.mean(ari))} | {name: float(found[name]) for name in SHOWN}


def training_seeds(crops: np.ndarray, table: pd.DataFrame, folder: Path, count: int, epochs: int) -> list[dict]:
    """Agreement between clusters of networks trained with different seeds for a few epochs: the whole recipe anew each time."""
    hparams, labels = networks(epochs, 6)["CAE-20"], {}
    for seed in range(1, count + 1):
        latents = encode(trained(f"CAE-20 seed {seed}", hparams, crops, folder, seed)[0], crops)
        for clusters, out in itertools.product(COUNTS, TAKEN_OUT):
            made = group(latents, Recipe("kmeans", clusters, regress_out=out), nuisance_columns(table, out), seed)
            labels.setdefault((clusters, out), []).append(made.labels)
    return [
        {"latents": f"CAE-20, {epochs} epochs", "clusters": clusters, "taken out": out, **_agreement(found, table)}
        for (clusters, out), found in labels.items()
    ]


TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flipped": lambda crop: crop[:, ::-1],
    "turned 90°": lambda crop: np.rot90(crop),
    "turned 180°": lambda crop: np.rot90(crop, 2),
    "turned 10°": lambda crop: _turned(crop, 10),
    "turned 37°": lambda crop: _turned(crop, 37),
}


def _turned(crop: np.ndarray, angle: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D(((SIZE_PX - 1) / 2, (SIZE_PX - 1) / 2), angle, 1)
    return cv2.warpAffine(crop, matrix, (SIZE_PX, SIZE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def retrieval(encoders: dict[str, Callable], known: dict[str, np.ndarray], crops: np.ndarray, queries: int) -> list[dict]:
    """Share of copies that find their original among all crops in the first five, by Euclidean distance."""
    chosen = np.sort(np.random.default_rng(2).choice(len(crops), min(queries, len(crops)), replace=False))
    found = []
    for name, encoder in encoders.items():
        base = (known[name] if name in known else encoder(crops)).astype(np.float64)
        line = {"encoder": name, "length": base.shape[1]}
        for what, turn in TURNS.items():
            asked = encoder(np.stack([turn(crops[number]) for number in chosen])).astype(np.float64)
            distance = (base**2).sum(1) - 2 * asked @ base.T
            rank = (distance < distance[np.arange(len(chosen)), chosen][:, None]).sum(1)
            line[what] = float((rank < 5).mean())
        found.append(line)
        print(line, flush=True)
    return found


def encoders_of(trained_ones: dict[str, LatentNetwork], crops: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    flat = crops.reshape(len(crops), -1).astype(np.float32)
    components = PCA(20, svd_solver="randomized", random_state=0).fit(flat)
    torch.manual_seed(0)
    frozen = {"model_name": "backbone", "backbone": "mobilenetv3_small_050", "pretrained": False, "max_epochs": 0}
    backbone = build_network(row(**frozen, batch_size=1, lr=1e-3, optimizer="Adam")).eval()
    encoders: dict[str, Callable] = {"20 principal components": lambda some: components.transform(some.reshape(len(some), -1))}
    for name, network in {**trained_ones, "mobilenetv3_small, frozen, random weights": backbone}.items():
        encoders[name] = lambda some, network=network: encode(network, some)
        whole = LatentNetwork(network.pixels, network.model, "dihedral").eval()
        encoders[f"{name}, mean of 8"] = lambda some, whole=whole: encode(whole, some)
    return encoders


def table_text(rows: list[dict]) -> str:
    names = list(dict.fromkeys(name for one in rows for name in one))
    lines = [names, ["---"] * len(names), *([_cell(one.get(name)) for name in names] for one in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path, help="crops, or with --mosaic a crater list")
    parser.add_argument("--mosaic", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "cratermill-benchmarks")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--mae-epochs", type=int, default=20)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--training-seeds", type=int, default=0, help="also train so many CAEs and compare their clusters")
    parser.add_argument("--seed-epochs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.mosaic:
        show(of_a_mosaic(options), options.json)
        return
    crops, table = read(options.crops, options.limit)
    rows = networks(options.epochs, options.mae_epochs)
    made = {name: trained(name, hparams, crops, options.folder) for name, hparams in rows.items()}
    nets = {name: network for name, (network, _) in made.items()}
    latents = {name: kept_latents(name, network, crops, options.folder) for name, network in nets.items()}
    result = {
        "reconstruction": reconstruction(*made["CAE-20"], rows["CAE-20"], crops),
        "hidden patches": masked(*made["MAE small"], crops),
        "latents from saved weights differ by at most": reproducible(nets["CAE-20"], rows["CAE-20"], crops, options.folder),
        "clusters": clusterings({RAW: small(crops), **latents}, table),
        "retrieval": retrieval(encoders_of(nets, crops), latents, crops, options.queries),
    }
    if options.training_seeds:
        trials = training_seeds(crops, table, options.folder, options.training_seeds, options.seed_epochs)
        result["clusters of networks trained anew"] = trials
    show(result, options.json)


def show(result: dict, path: Path | None) -> None:
    for name, found in result.items():
        print(f"\n{name}\n\n{table_text(found) if isinstance(found, list) else found}")
    if path:
        path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
