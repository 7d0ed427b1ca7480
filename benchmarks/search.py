"""Search against random rows at equal cost, on synthetic planets: best validation score, and that row's test score.

python benchmarks/search.py [--seeds 5] [--trials 18] [--epochs 6] [--keep DIR]

Every seed is a planet, a search on it, and as many random rows of the same columns, trained to the end, as the search's epochs would have
paid for: pairs. One split, one iteration; the tests' score is looked at only here.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from scipy.special import stdtrit

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import Plan, freeze
from cratermill.core.files import read_json, write_text
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.search import Search, open_search
from cratermill.synthetic import synthesise

TABLE = Path(__file__).resolve().parents[1] / "configs" / "demo" / "ejecta_version_hparams.csv"
PLANET = {"body": "mercury", "shape": (512, 1024), "n_fresh": 16, "tile_shape_px": (16, 32), "tiles_per_crater": (5, 8)}
COLUMNS = {
    "lr": {"low": 1e-5, "high": 0.1, "log": True},
    "batch_size": [4, 8, 16, 32],
    "loss": ["dice", "focal", "bce"],
    "distance_mode": ["absolute", "ratio", "rank"],
    "log_dist": [False],
    "num_1_point95": [None],
    "OPT_AdamW_weight_decay": {"low": 1e-4, "high": 1.0, "log": True},
}
FIRST_PLANET = 2026
SCORES = ("validation F1", "test F1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=18)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = (options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        pairs = np.array([pair(root / f"planet-{seed}", seed, options.trials, options.epochs) for seed in range(options.seeds)])
    for what, differences in zip(SCORES, (pairs[:, 0] - pairs[:, 1]).T, strict=True):
        mean, count = differences.mean(), len(differences)
        half = stdtrit(count - 1, 0.975) * differences.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
        above = f"{np.sum(differences > 0)} of {count} above"
        print(f"{what}: search minus random rows {mean:+.3f} (95 % {mean - half:+.3f} to {mean + half:+.3f}), {above}")


def make_project(root: Path, seed: int, epochs: int) -> None:
    synthesise(root / "data" / "planet", **PLANET, seed=FIRST_PLANET + seed)
    with TABLE.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    row |= {"max_epochs": str(epochs), "tile_size_px": "32", "test-set": "[0]", "trainings_per_test": "1", "scheduler": ""}
    row |= {
        "MDL_Unet_encoder_name": "resnet18",
        "MDL_Unet_decoder_channels": "[32, 24, 16, 8, 8]",
        "LR_StepLR_step_size": "",
        "LR_StepLR_gamma": "",
    }
    path = root / "configs" / "rows.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    prepare(write(root, "random", {}))


def write(root: Path, name: str, search: dict) -> Path:
    content = {"name": name, "seed": 0, "data": "data/planet", "body": "mercury", "splits": {"count": 1, "test_fraction": 0.25}}
    content |= {
        "train": {"ejecta": {"table": "configs/rows.csv", "splits": [0], "iterations": 1}},
        "trainer": {"accelerator": "cpu", "logger": []},
    }
    content["search"] = {"family": "ejecta", "from": 900, "columns": COLUMNS} | search
    return write_text(root / "configs" / f"{name}.yaml", yaml.safe_dump(content))


def in_this_process(plan: Plan) -> int:
    freeze(plan)
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        print(f"{plan.run} {cell.key} {result.state} {result.cause or ''}", flush=True)
    return 0


def scores(one: Search, version: int) -> tuple[float, float]:
    """Validation and test score of a row."""
    path = one.own_config([]).project.cell_product("ejc", version, "train", 0, 0) / "cell.json"
    metrics = (read_json(path) or {}).get("metrics") or {}
    return metrics.get("val_F1_Score", np.nan), metrics.get("F1_Score", np.nan)


def pair(root: Path, seed: int, trials: int, epochs: int) -> list[tuple[float, float]]:
    """Validation and test score of the row that a search found, and of the best of as many random rows as its epochs pay for."""
    import optuna

    make_project(root, seed, epochs)
    keys = {"trials": trials, "parallel": 4, "min_epochs": max(1, epochs // 3), "eta": 3}
    one = open_search(write(root, "searched", keys), in_this_process, print)
    # Another seed of the configuration would draw other splits.
    one.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    begun = time.process_time()
    best = scores(one, one.go()["best"])
    took = time.process_time() - begun
    with one.table.open(newline="", encoding="utf-8") as file:
        spent = sum(int(row["max_epochs"]) for row in csv.DictReader(file))
    rows = round(spent / epochs)
    other = open_search(write(root, "random", {"trials": rows, "parallel": rows}), in_this_process, print)
    other.study.sampler = optuna.samplers.RandomSampler(seed=seed)
    rival = scores(other, other.go()["best"])
    said = ", ".join(f"{what} {mine:.3f} against {theirs:.3f}" for what, mine, theirs in zip(SCORES, best, rival, strict=True))
    print(f"seed {seed}: {spent} epochs = {rows} rows; {said}; the search took {took:.0f} s of CPU time", flush=True)
    return [best, rival]


if __name__ == "__main__":
    main()
