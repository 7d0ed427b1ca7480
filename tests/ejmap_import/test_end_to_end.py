"""From EJMAP's folder to trained, evaluated and summarised cells, without prepare in between, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.cli import app
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config


@pytest.fixture
def run(root: Path, monkeypatch):
    monkeypatch.chdir(root)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_import_then_train(whole, root, run):
    done = run("import-ejmap", whole, "--into", "data/mercury", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["brought"]["craters"] == 5
    for table in (root / "configs" / "mercury").glob("*.csv"):
        # One iteration of one epoch each; without the connections of another version the true ones are evaluated.
        table.write_text(table.read_text().replace(",3,20,True,[0],2,", ",1,20,True,[0],1,"))
    plan = plan_training(load_config(root / "configs" / "mercury" / "mercury.yaml"))
    freeze(plan)
    assert [cell.stage for cell in plan.cells] == ["train", "train", "evaluate", "evaluate", "summarise"]
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"
    scores = pd.read_csv(root / "results" / "ejc_results" / "version_8" / "eval_metrics.csv")
    assert scores["F1_Score"].between(0, 1).all()


def test_what_is_said(whole, root, run):
    done = run("import-ejmap", whole, "--dry-run")
    assert done.exit_code == 0 and "this would be imported" in done.stdout and "craters with drawn ejecta" in done.stdout
    done = run("import-ejmap", root / "nothing here")
    assert done.exit_code == 2 and "there is no folder" in done.stderr


def test_a_refused_checkpoint_ends_in_exit_code_1(folder, root, run):
    path = folder / "results" / "ejc_results" / "version_8" / "best-checkpoint_test-set-0_iteration-0.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    done = run("import-ejmap", folder, "--into", "data/mercury")
    assert done.exit_code == 1 and "Refused: ejecta version 8" in done.stderr
    assert (root / "data" / "mercury" / "conn_data" / "az_positions_all.csv").exists()


def test_a_full_disk_is_said_and_the_data_stay_unused(whole, root, run, small_disk):
    done = run("import-ejmap", whole, "--into", small_disk / "mercury")
    assert done.exit_code == 1 and "no space left" in done.stderr
    assert not json.loads((small_disk / "mercury" / "prepared.json").read_text())["import"]["complete"]
    assert not list(small_disk.rglob("*.tmp*"))


def test_a_project_that_cant_be_written_is_said(whole, root, run, read_only):
    read_only(root)
    done = run("import-ejmap", whole, "--into", "data/mercury")
    assert done.exit_code == 2 and "not allowed to use" in done.stderr
