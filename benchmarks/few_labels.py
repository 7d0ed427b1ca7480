"""Few labels on real chips: pseudo-labels against the first stage, the semi-supervised GAN against the plain CNN, paired by draws.

python benchmarks/few_labels.py CHIPS --classes non-crater crater [--trim-px 1] [--part classifier|sgan] [--draws 5] [--seed 2026]
    [--keep DIR]

CHIPS is a zip or folder of class folders. Copies are dropped first, so that no test chip has one in training; the test split is drawn from
the seed and scored once per trained cell. With --keep, what is done already is not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.core.files import read_json, write_text
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_training, prepare
from cratermill.pipeline.load_config import load_config

TABLES = Path(__file__).resolve().parents[1] / "configs"
PARTS = {"classifier": "chip_classifier", "sgan": "sgan"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chips", type=Path)
    parser.add_argument("--classes", nargs="+", default=["non-crater", "crater"])
    parser.add_argument("--trim-px", type=int, default=0)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--versions", type=int, nargs="+")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for part in options.part or list(PARTS):
            run(root.resolve(), PARTS[part], options)
        report(root.resolve())


def run(root: Path, family: str, options: argparse.Namespace) -> None:
    """Prepare, train, evaluate and summarise one family in a project of its own, in this process."""
    data = {"chips": str(options.chips.resolve()), "classes": options.classes, "duplicates": "drop", "trim_px": options.trim_px}
    table = root / "configs" / f"{family}_version_hparams.csv"
    write_text(table, (TABLES / table.name).read_text(encoding="utf-8"))
    one = {"table": str(table.relative_to(root)), "data": data, "iterations": options.draws}
    if options.versions:
        one["versions"] = options.versions
    content = {"name": family, "seed": options.seed, "data": "data/chips", "train": {family: one}, "trainer": {"accelerator": "cpu"}}
    config = root / "configs" / f"{family}.yaml"
    write_text(config, yaml.safe_dump(content, sort_keys=False))
    print(prepare(config)[family], flush=True)
    plan = plan_training(load_config(config))
    freeze(plan)
    for cell in plan.cells:
        begun = time.monotonic()
        result = run_cell(plan, cell.index, science)
        print(f"{cell.key} {result.state} {time.monotonic() - begun:.0f} s {result.cause or ''}", flush=True)
        if result.state == "stopped":
            raise SystemExit("stopped; with --keep the same command goes on")


def report(root: Path) -> None:
    scores = {short: scores_of(root, short) for short in ("chip_classifier", "sgan")}
    if len(scores["chip_classifier"]):
        stages(scores["chip_classifier"])
    if len(scores["sgan"]):
        methods(scores["sgan"])


def scores_of(root: Path, short: str) -> pd.DataFrame:
    """One row per evaluated cell: its hyper-parameters, the scores on test chips, and those of its own validation chips (``val_``)."""
    rows = []
    for path in sorted((root / "log" / f"{short}_log").glob("version_*/cells/evaluate_*/cell.json")):
        made, trained = read_json(path), read_json(path.parents[1] / path.parent.name.replace("evaluate", "train") / "cell.json")
        kept = {name: value for name, value in trained["metrics"].items() if name.startswith("val_") or name in ("runtime", "parameters")}
        rows.append({**made["params"]["hparams"], **kept, **made["metrics"], "version": made["params"]["version"]})
    return pd.DataFrame(rows)


def paired(first: np.ndarray, second: np.ndarray) -> str:
    """Mean of the differences second − first and Student's 95 % interval."""
    difference = np.asarray(second) - np.asarray(first)
    half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    return f"{difference.mean():+.3f} ({difference.mean() - half:+.3f} … {difference.mean() + half:+.3f})"


def stages(scores: pd.DataFrame) -> None:
    """Second stage against first on the same test chips; and what each row's own validation chips made of it."""
    table(
        "version, labels, leak, seeds, stage 1 macro F1, stage 2, difference (95 %), accuracy of both, own validation, inflation (95 %), "
        "pseudo-labels, of these right, seconds"
    )
    for version, one in scores[scores["rounds"] > 1].groupby("version"):
        labels = "all" if one["labels"].isna().all() else int(one["labels"].iloc[0])
        first, second, own = (one[name] for name in ("stage1_Macro_F1", "Macro_F1", "val_Macro_F1"))
        accuracies = f"{one['stage1_Accuracy'].mean():.3f} → {one['Accuracy'].mean():.3f}"
        pseudo = f"{one['pseudo_labels'].mean():.0f}", f"{one['pseudo_accuracy'].mean():.3f}", f"{one['runtime'].mean():.0f}"
        means = [f"{values.mean():.3f}" for values in (first, second, own)]
        ours = paired(first, second), accuracies, means[2], paired(second, own)
        row(version, labels, bool(one["leaky_resplit"].iloc[0]), len(one), *means[:2], *ours, *pseudo)


def methods(scores: pd.DataFrame) -> None:
    """Every method against the plain CNN on the same draws of labels."""
    score = "Balanced_Accuracy"
    table("labels, method, version, draws, balanced accuracy, minus the CNN's (95 %), accuracy, macro F1, seconds")
    for labels, some in scores.groupby("labels"):
        plain = some[some["method"] == "cnn"].set_index("iteration")
        for (method, version), one in some.groupby(["method", "version"]):
            one = one.set_index("iteration")
            both = one.index.intersection(plain.index)
            against = paired(plain.loc[both, score], one.loc[both, score]) if method != "cnn" and len(both) > 1 else ""
            means = [f"{one[name].mean():.3f}" for name in (score, "Accuracy", "Macro_F1")]
            row(int(labels), method, version, len(one), means[0], against, *means[1:], f"{one['runtime'].mean():.0f}")


def table(columns: str) -> None:
    names = columns.split(", ")
    print("\n| " + " | ".join(names) + " |\n|" + "---|" * len(names))


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
