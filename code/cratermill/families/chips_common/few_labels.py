"""Scores against the number of labels: the semi-supervised GAN, pseudo-labels and the plain CNN on the same draws of labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...core.files import read_json, write_table
from ...report.images import save_figure

if TYPE_CHECKING:
    from ...core.paths import Project

SHOWN = {"Accuracy": "accuracy", "Balanced_Accuracy": "balanced accuracy", "Macro_F1": "macro F1"}
COLOURS = {"SGAN": "#d9480f", "SGAN, unshared": "#b58900", "pseudo-labels": "#2b8a3e", "CNN": "#1f6fb4", "chip CNN": "#495057"}
METHODS = {"sgan": "SGAN", "sgan_unshared": "SGAN, unshared", "cnn": "CNN"}
NAME = "few_labels"


def draw_few_labels(project: Project) -> Path | None:
    """``few_labels.csv`` and ``few_labels.png`` in ``results/sgan_results/`` from every trained row that hides labels; None without any."""
    scores = collected(project)
    if scores.empty:
        return None
    folder = project.family_results("sgan")
    table = summarised(scores)
    write_table(folder / f"{NAME}.csv", table)
    return picture(folder / f"{NAME}.png", table)


def collected(project: Project) -> pd.DataFrame:
    """One row per done train cell of both families that hides labels: method, version, labels, split, iteration, scores on test chips."""
    found = []
    for short in ("sgan", "chip_classifier"):
        for path in sorted(project.version_log(short, 0).parent.glob("version_*/cells/train_*/cell.json")):
            made = None if path.parent.suffix else read_json(path)
            hparams = made["params"]["hparams"] if made else {}
            if made and hparams.get("labels") is not None:
                one = {name: made["params"][name] for name in ("version", "split", "iteration")}
                scores = {name: made["metrics"][name] for name in SHOWN}
                found.append({"method": method_of(hparams), "labels": hparams["labels"], **one, **scores})
    return pd.DataFrame(found)


def method_of(hparams: dict) -> str:
    if "method" in hparams:
        return METHODS[hparams["method"]]
    return "pseudo-labels" if hparams["rounds"] > 1 else "chip CNN"


def summarised(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and Student's 95 % interval over the draws (split, iteration), per version."""
    from ...core.statistics import interval

    rows = []
    for (method, labels, version), one in scores.groupby(["method", "labels", "version"]):
        row = {"method": method, "labels": labels, "version": version, "draws": len(one)}
        for name in SHOWN:
            mean, _, low, high = interval(one["split"].to_numpy(), one[name].to_numpy(float))
            row |= {f"{name}_mean": mean, f"{name}_ci95_low": low, f"{name}_ci95_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def picture(path: Path, table: pd.DataFrame) -> Path:
    """Three panels. Of several versions of a method with equally many labels the first is drawn: choosing the best would be choosing on
    test chips. All of them stand in the table."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    methods = [name for name in COLOURS if name in set(table["method"])]
    for axes, (score, title) in zip(figure.subplots(1, 3), SHOWN.items(), strict=True):
        for number, method in enumerate(methods):
            drawn = table[table["method"] == method].sort_values("version").groupby("labels").head(1).sort_values("labels")
            mean = drawn[f"{score}_mean"].to_numpy()
            spread = np.nan_to_num([mean - drawn[f"{score}_ci95_low"], drawn[f"{score}_ci95_high"] - mean])
            # Slightly beside each other, so that intervals don't hide one another.
            places = drawn["labels"] * 1.03**number
            axes.errorbar(places, mean, yerr=spread, marker="o", capsize=3, label=method, color=COLOURS[method])
        axes.set(xscale="log", xlabel="labels", ylabel=f"{title} on test chips")
        ticks = sorted(table["labels"].unique())
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle("Mean and 95 % interval over draws of labels", fontsize=10)
    return save_figure(figure, path, dpi=110)
