"""What a run leaves in results/ and log/, and how versions are compared."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cratermill.core.errors import WorkError
from cratermill.core.files import write_json
from cratermill.core.paths import Project
from cratermill.core.statistics import interval
from cratermill.families import get_family
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.summarise import done_cells, name_products, summarise
from cratermill.pipeline.summarised import require_complete
from tests.pipeline.conftest import copy_project


def test_results_and_log_have_the_names_that_notebooks_read(trained):
    config = load_config(trained)
    results, log = config.project.results, config.project.log
    for short, version in (("conn", 3), ("ejc", 8)):
        folder = results / f"{short}_results" / f"version_{version}"
        names = ["test_metrics.csv", "eval_metrics.csv", "best-checkpoint_test-set-0.ckpt", "best-norm_test-set-0.npy"]
        names += [f"best-checkpoint_test-set-0_iteration-{iteration}.ckpt" for iteration in (0, 1)]
        assert all((folder / name).is_file() for name in names)
        kept = log / f"{short}_log" / f"version_{version}"
        for iteration in (0, 1):
            tag = f"test-set-0_iteration-{iteration}"
            assert (kept / "checkpoints" / f"best-checkpoint_{tag}.ckpt").is_file()
            assert (kept / "norms" / f"norm_{tag}.npy").is_file()
            assert json.loads((kept / "tests" / f"results_{tag}.json").read_text())["iteration"] == iteration
    assert (log / "conn_log" / "version_3" / "positions" / "eval-pos_test-set-0_iteration-1.csv").is_file()
    assert (log / "ejc_log" / "version_8" / "tests" / "eval_conn-version-3_test-set-0_iteration-0.json").is_file()
    for fid in range(1, 6):
        table = pd.read_csv(results / "conn_results" / "version_3" / "conn_positions" / f"conn-pos_test-set-0_crater-{fid}.csv")
        assert {"eval_pos_index", "x", "y", "height", "width", "train_intersect", "votes"} <= set(table) and (table["votes"] >= 0.5).all()


def test_tables_hold_one_row_per_cell(trained):
    results = load_config(trained).project.results
    table = pd.read_csv(results / "ejc_results" / "version_8" / "test_metrics.csv")
    assert list(table)[:9] == ["test-set", "iteration", "loss", "Accuracy", "F1_Score", "IoU", "Precision", "Recall", "epochs_run"]
    assert table[["test-set", "iteration"]].to_numpy().tolist() == [[0, 0], [0, 1]]
    evaluated = pd.read_csv(results / "ejc_results" / "version_8" / "eval_metrics.csv")
    assert (evaluated["conn_version"] == 3).all() and {"test_F1_Score", "conn_F1_Score", "test_conn_F1_Score"} <= set(evaluated)
    assert evaluated["test_F1_Score"].between(0, 1).all()
    voted = pd.read_csv(results / "conn_results" / "version_3" / "eval_metrics.csv")
    assert voted["iteration"].astype(str).tolist() == ["0", "1", "vote"]


def test_best_checkpoint_is_that_of_the_best_validation_score(trained):
    config = load_config(trained)
    table = pd.read_csv(config.project.results / "ejc_results" / "version_8" / "test_metrics.csv")
    best = table.loc[table["val_F1_Score"].idxmax(), "iteration"]
    folder = config.project.results / "ejc_results" / "version_8"
    assert (folder / "best-checkpoint_test-set-0.ckpt").read_bytes() == (
        folder / f"best-checkpoint_test-set-0_iteration-{best}.ckpt"
    ).read_bytes()


def test_missing_cells_are_named_after_all_else_is_written(trained, tmp_path):
    config = load_config(copy_project(trained, tmp_path))
    plan = plan_training(config)
    gone = next(cell for cell in plan.cells if cell.stage == "train" and cell.params["family"] == "ejecta")
    shutil.rmtree(plan.root / gone.product)
    shutil.rmtree(config.project.results)
    missing = [(cell.key, cell.params) for cell in plan.cells if not (plan.root / cell.product / "cell.json").exists()]
    made = summarise(config, missing, plan)
    assert made["missing"] == [gone.key]
    board = pd.read_csv(config.project.results / "ejc_results" / "leaderboard.csv")
    assert board["missing"].tolist() == [gone.key] and board["cells"].tolist() == [2]
    with pytest.raises(WorkError, match=gone.key):
        require_complete(made)


def test_summarising_again_names_what_is_missing_once(trained, tmp_path):
    from cratermill.batch.plan import freeze

    plan = plan_training(load_config(copy_project(trained, tmp_path)))
    freeze(plan)
    gone = next(cell for cell in plan.cells if cell.stage == "train")
    shutil.rmtree(plan.root / gone.product)
    command = [sys.executable, "-W", "ignore", "-m", "cratermill", "summarise", plan.run]
    told = subprocess.run(command, cwd=plan.root, capture_output=True, text=True, check=False)
    assert told.returncode == 1 and told.stderr.count(f"1 cell is missing: {gone.key}") == 1
    told = subprocess.run([*command, "--json"], cwd=plan.root, capture_output=True, text=True, check=False)
    found = json.loads(told.stdout)
    assert told.returncode == 1 and found["missing"] == [gone.key] and "results/ejc_results/version_8" in found["results"]


def test_a_summary_is_made_again_where_something_has_changed_and_never_else(trained, tmp_path):
    from cratermill.batch.plan import freeze

    plan = plan_training(load_config(copy_project(trained, tmp_path)))
    freeze(plan)
    code = (
        "import sys, json; from pathlib import Path; from cratermill.cli.runs import find_plan\n"
        "from cratermill.pipeline.launch import summarise_run; made = summarise_run(find_plan(sys.argv[1]))\n"
        "print(json.dumps([made['results'], [name for name in ('pandas', 'matplotlib', 'torch') if name in sys.modules]]))"
    )

    def again():
        told = subprocess.run([sys.executable, "-c", code, plan.run], cwd=plan.root, capture_output=True, text=True, check=True)
        return json.loads(told.stdout.splitlines()[-1])

    table = plan.root / "results" / "ejc_results" / "version_8" / "test_metrics.csv"
    cell = next(plan.product(cell) / "cell.json" for cell in plan.cells if cell.stage == "train")
    (first, loaded), before = again(), table.stat().st_mtime_ns
    assert "pandas" in loaded, "the project has moved"
    assert again() == [first, []] and table.stat().st_mtime_ns == before
    table.unlink()
    assert "pandas" in again()[1] and table.exists(), "what is gone is made again"
    assert again() == [first, []]
    other = cell.parents[1] / "test-set-0_iteration-7"
    shutil.copytree(cell.parent, other)
    assert "pandas" in again()[1], "cells of other runs count, too"


@pytest.mark.parametrize("odd", ["", "[]", '{"stage": "train"}', '{"stage": "train", "params": {}, "metrics": null}'])
def test_one_odd_record_of_a_cell_keeps_no_others_from_being_summarised(tmp_path, capsys, odd):
    config, family = SimpleNamespace(project=Project(tmp_path)), get_family("ejecta")
    for iteration in (0, 1):
        params = {"split": 0, "iteration": iteration, "hparams": {}}
        path = config.project.cell_product(family.short, 3, "train", 0, iteration) / "cell.json"
        write_json(path, {"stage": "train", "params": params, "metrics": {"F1_Score": 0.5}})
    path.write_text(odd)
    assert done_cells(config, family, 3)["iteration"].tolist() == [0]
    assert ("no whole record of a cell" in capsys.readouterr().err) == bool(odd)


def test_cells_of_rows_that_no_longer_validate_are_said_to_have_no_further_names(tmp_path, capsys):
    config, family = SimpleNamespace(project=Project(tmp_path)), get_family("ejecta")
    params = {"split": 0, "iteration": 0, "family": "ejecta", "version": 3, "hparams": {"model": "a net of old"}}
    for iteration in (0, 1):
        path = config.project.cell_product(family.short, 3, "train", 0, iteration) / "cell.json"
        write_json(path, {"stage": "train", "params": params | {"iteration": iteration}, "metrics": {}})
    name_products(config, family, 3, done_cells(config, family, 3))
    assert capsys.readouterr().err.count("ejecta version 3: rows of its cells are no longer valid (") == 1


def test_interval_is_students_over_split_means():
    splits, values = np.array([0, 0, 1, 1, 2, 2]), np.array([0.5, 0.6, 0.7, 0.6, 0.4, 0.6])
    mean, error, low, high = interval(splits, values)
    means = [0.55, 0.65, 0.5]
    expected = stats.t.interval(0.95, 2, loc=np.mean(means), scale=stats.sem(means))
    assert (mean, error) == pytest.approx((np.mean(means), stats.sem(means)))
    assert (low, high) == pytest.approx(expected)


def test_interval_with_one_split_is_over_iterations_and_with_one_value_unknown():
    assert interval(np.array([4, 4, 4]), np.array([0.1, 0.2, 0.3]))[1] == pytest.approx(stats.sem([0.1, 0.2, 0.3]))
    assert math.isnan(interval(np.array([4]), np.array([0.1]))[1])
