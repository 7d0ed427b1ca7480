"""Search against random rows at equal cost, on the synthetic planet: best validation score, and that row's test score.

python benchmarks/search.py [--seeds 5] [--pool 48] [--trials 18] [--epochs 9] [--keep DIR]

Every seed is a search of its own. A pool of random rows, all trained to the end, is drawn from again and again: as many rows as a search's
epochs would have paid for. One split, one iteration; the tests' score is looked at only here.
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

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import Plan, freeze
from cratermill.core.files import read_json, write_text
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.search import RUNGS, Search, open_search
from cratermill.synthetic import synthesise

TABLE = Path(__file__).resolve().parents[1] / "configs" / "demo" / "ejecta_version_hparams.csv"
PLANET = {"body": "mercury", "shape": (512, 1024), "seed": 2026, "n_fresh": 16, "tile_shape_px": (16, 32), "tiles_per_crater": (10, 16)}
COLUMNS = {
    "lr": {"low": 1e-5, "high": 0.1, "log": True},
    "batch_size": [4, 8, 16, 32],
    "loss": ["dice", "focal", "bce"],
    "distance_mode": ["absolute", "ratio", "rank"],
    "log_dist": [False],
    "num_1_point95": [None],
    "OPT_AdamW_weight_decay": {"low": 1e-4, "high": 1.0, "log": True},
}
DRAWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pool", type=int, default=48)
    parser.add_argument("--trials", type=int, default=18)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = (options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        make_project(root, options.epochs)
        pool = random_rows(root, options.pool)
        for seed in range(options.seeds):
            compare(root, seed, options, pool)


def make_project(root: Path, epochs: int) -> None:
    synthesise(root / "data" / "planet", **PLANET)
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
    write(root, "pool", {})
    prepare(root / "configs" / "pool.yaml")


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


def random_rows(root: Path, count: int) -> np.ndarray:
    """(N, 2) scores of random rows: trials of Optuna's random sampler, without pruning."""
    import optuna

    one = open_search(write(root, "pool", {"trials": count, "parallel": count}), in_this_process, print)
    one.study.sampler = optuna.samplers.RandomSampler(seed=0)
    one.go()
    return np.array([scores(one, number * RUNGS) for number in range(count)])


def compare(root: Path, seed: int, options: argparse.Namespace, pool: np.ndarray) -> None:
    keys = {"trials": options.trials, "parallel": 4, "min_epochs": max(1, options.epochs // 3), "eta": 3}
    import optuna

    one = open_search(write(root, f"seed-{seed}", keys), in_this_process, print)
    # Another seed of the configuration would draw other splits.
    one.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    begun = time.monotonic()
    found = one.go()
    with one.table.open(newline="", encoding="utf-8") as file:
        epochs = sum(int(row["max_epochs"]) for row in csv.DictReader(file))
    best = scores(one, found["best"])
    rows = round(epochs / options.epochs)
    rng = np.random.default_rng(seed)
    whole = np.nan_to_num(pool, nan=0.0)
    chosen = np.array([max(whole[rng.choice(len(whole), rows, replace=False)], key=lambda row: row[0]) for _ in range(DRAWS)])
    says = ", ".join(
        f"{what} {mine:.3f} against {other.mean():.3f} ({np.quantile(other, 0.05):.3f} to {np.quantile(other, 0.95):.3f}), "
        f"better than {np.mean(mine > other) + np.mean(mine == other) / 2:.0%}"
        for what, mine, other in zip(("validation F1", "test F1"), best, chosen.T, strict=True)
    )
    print(f"seed {seed}: {epochs} epochs = {rows} rows; {says}; {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
