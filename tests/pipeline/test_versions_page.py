"""The page that compares versions: complete, small, and honest about what may be compared."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from cratermill.config import Cost
from cratermill.core.files import write_json, write_table
from cratermill.core.paths import Project
from cratermill.families import get_family
from cratermill.pipeline.leaderboard import leaderboard
from cratermill.pipeline.training_page import write_training_page
from cratermill.pipeline.versions_page import write_versions_page

DATA = ("Mercury · a.tif · data/a · 11111111", "Moon · b.tif · data/b · 22222222")


def make_versions(project, versions, splits, iterations, curves_of=4):
    """Versions whose score grows with lr, the last third of them on another planet; some have no weight decay."""
    random = np.random.default_rng(3)
    for version in range(versions):
        place = pd.DataFrame([(s, i) for s in range(splits) for i in range(iterations)], columns=["test-set", "iteration"])
        scores = np.clip(0.4 + 0.3 * version / versions + 0.02 * random.standard_normal(len(place)), 0, 1).round(4)
        table = place.assign(test_F1_Score=scores, data_set=DATA[3 * version >= 2 * versions])
        folder = project.version_results("ejc", version)
        write_table(folder / "eval_metrics.csv", table)
        write_table(folder / "test_metrics.csv", place.assign(runtime=360.0 * (version + 1), gpu_name="cpu", val_F1_Score=scores))
        hparams = {"version": version, "lr": 10.0 ** -(version % 4), "encoder": ["resnet18", "resnet34"][version % 2], "loss": "Dice"}
        hparams |= {"val_metric": "F1_Score", "weight_decay": None if version % 3 else 0.01, "keywords": {"OPT_AdamW_eps": version * 1e-8}}
        write_json(folder / "hparams.json", hparams)
        write_json(folder / "missing.json", [])
        for row in place[:: max(1, len(place) // curves_of)].itertuples():
            cell = project.cell_product("ejc", version, "train", row[1], row[2])
            write_table(
                cell / "curve.csv",
                pd.DataFrame({"epoch": range(5), "loss": 0.5, "train_loss": 0.4, "F1_Score": scores[:5] if len(scores) >= 5 else 0.5}),
            )
            write_json(cell / "cell.json", {})
            cell = project.cell_product("ejc", version, "evaluate", row[1], row[2])
            write_table(cell / "eval_craters.csv", pd.DataFrame({"crat_FID": [3, 7], "F1_Score": [0.25, 0.75]}))
            write_json(cell / "cell.json", {})
    leaderboard(project, get_family("ejecta"))
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_versions(Project(tmp_path_factory.mktemp("it's here")), 6, 2, 2)


def figures(text):
    return {name: json.loads(spec) for spec, name in re.findall(r'const f = (\{.*\}); Plotly\.newPlot\("([a-z_]*\d*_?\d*)"', text)}


def test_figures_hold_the_scores_of_one_data_set_each(project):
    path = write_versions_page(project, get_family("ejecta"), Cost(watts=500, eur_per_kwh=0.2))
    text = path.read_text()
    found = figures(text)
    assert {"against0", "parallel0", "splits0", "craters0", "cost0", "curves0_0", "against1"} <= set(found)
    trace = found["against0"]["data"][0]
    assert len(trace["x"]) == 4 and trace["y"] == sorted(trace["y"], reverse=True)
    board = pd.read_csv(project.family_results("ejc") / "leaderboard.csv")
    expected = board[board["data_set"] == DATA[0]]["test_F1_Score_mean"]
    assert trace["y"] == pytest.approx(expected.tolist(), abs=1e-4)
    names = [button["label"] for button in found["against0"]["layout"]["updatemenus"][0]["buttons"]]
    assert {"lr", "encoder", "weight_decay", "OPT_AdamW_eps"} <= set(names) and "loss" not in names  # alike in all
    # 4 cells of (version + 1) × 0.1 hours, .5 kW, .2 € per kWh; the best version of this planet is number 3
    assert found["cost0"]["data"][0]["x"][0] == pytest.approx(4 * 4 * 0.1 * 0.5 * 0.2)
    assert found["craters0"]["data"][0]["z"][0] == [0.25, 0.75]
    assert 'href="versions.html"' in write_training_page(project, get_family("ejecta")).read_text()


def test_nothing_comes_of_nothing_and_text_cannot_end_the_script(project, tmp_path):
    assert write_versions_page(Project(tmp_path), get_family("ejecta")) is None
    folder = project.version_results("ejc", 0)
    hparams = json.loads((folder / "hparams.json").read_text())
    write_json(folder / "hparams.json", hparams | {"encoder": "</script><b>"})
    text = write_versions_page(project, get_family("ejecta")).read_text()
    assert "</script><b>" not in text and "<\\/script>" in text
    write_json(folder / "hparams.json", hparams)
