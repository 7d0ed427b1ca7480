"""Searching for rows: proposed by Optuna, judged by validation, pruned, within a budget, gone on with after a kill."""

import csv
import math

import pytest
import yaml

from cratermill.batch.state import is_done
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.families import get_family
from cratermill.pipeline import search as module
from cratermill.pipeline.search import describe, open_search

SEARCH = {
    "family": "ejecta",
    "from": 0,
    "columns": {"lr": {"low": 1e-5, "high": 0.1, "log": True}, "batch_size": [4, 8]},
    "trials": 8,
    "parallel": 4,
    "min_epochs": 6,
    "eta": 2,
}


class Cluster:
    """Trains nothing: scores rise with epochs and fall with the distance of lr from a thousandth."""

    def __init__(self, dies_after=math.inf):
        self.trained, self.dies_after = [], dies_after

    def __call__(self, plan):
        for cell in plan.cells:
            assert cell.stage == "train" and not is_done(plan, cell)
            if len(self.trained) >= self.dies_after:
                raise KeyboardInterrupt
            row = cell.params["hparams"]
            score = 0.9 - 0.1 * abs(math.log10(row["lr"]) + 3) + row["max_epochs"] / 1000
            # A test score that says the contrary: nobody must look at it.
            metrics = {"val_F1_Score": score, "test_F1_Score": 1 - score, "F1_Score": 1 - score, "runtime": 360.0}
            write_json(plan.product(cell) / "cell.json", {"fingerprint": cell.fingerprint, "params": cell.params, "metrics": metrics})
            self.trained.append((cell.params["version"], row["max_epochs"]))
        return 0


@pytest.fixture
def project(tmp_path, project_folder, monkeypatch):
    monkeypatch.setattr(module, "prepared_or_refuse", lambda *_: None)
    monkeypatch.setattr(type(get_family("ejecta")), "data_fingerprint", lambda *_: "data")
    folder = tmp_path / "configs"
    folder.mkdir()
    table = folder / "ejecta_version_hparams.csv"
    table.write_bytes((project_folder / "configs" / "ejecta_version_hparams.csv").read_bytes())

    def write(**changes):
        content = {"name": "mine", "data": "data", "search": SEARCH | changes}
        content["train"] = {"ejecta": {"table": "configs/ejecta_version_hparams.csv", "splits": [0], "iterations": 2}}
        (folder / "mine.yaml").write_text(yaml.safe_dump(content))
        return folder / "mine.yaml"

    return write


def rows_of(one):
    return {int(row["version"]): row for row in csv.DictReader(one.table.open())}


def test_rows_are_trained_pruned_by_validation_and_shown(project):
    cluster = Cluster()
    one = open_search(project(), cluster, lambda _: None)
    found = one.go()
    rows = rows_of(one)
    assert one.rungs == [6, 12, 24, 48, 60] and found["trials"]["complete"] + found["trials"]["pruned"] == 8 and found["trials"]["pruned"]
    assert found["cells"] == len(cluster.trained) < 8 * 5 * 2 and len({version for version, _ in cluster.trained}) == len(rows)
    assert rows[found["best"]]["max_epochs"] == "60" and rows[found["best"]]["model_name"] == "Unet"
    full = [row for row in rows.values() if row["max_epochs"] == "60"]
    assert float(rows[found["best"]]["lr"]) == min((float(row["lr"]) for row in full), key=lambda lr: abs(math.log10(lr) + 3))
    page = one.config.root / found["page"]
    assert page == one.config.root / "results/ejc_results/search-mine/search.html" and "validation F1_Score" in page.read_text()
    assert f"<dt>Best</dt><dd>version {found['best']}, validation F1_Score {found['score']:.4g}" in page.read_text()
    assert "ejc_results/search-mine/search.html" in (one.config.root / "results/index.html").read_text()
    again = Cluster()
    assert open_search(project(), again, lambda _: None).go()["best"] == found["best"] and not again.trained


def test_a_killed_search_goes_on_without_training_anything_twice(project):
    expected = open_search(project(), Cluster(), lambda _: None)
    dying = Cluster(dies_after=11)
    with pytest.raises(KeyboardInterrupt):
        open_search(project(), dying, lambda _: None).go()
    rest = Cluster()
    found = open_search(project(), Skipping(rest), lambda _: None).go()
    assert not set(dying.trained[:10]) & set(rest.trained[1:]) and found["trials"].get("running", 0) == 0
    assert expected.keys.trials == sum(found["trials"].values())


class Skipping:
    """As executors do: what is done isn't done again."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __call__(self, plan):
        import dataclasses

        return self.cluster(dataclasses.replace(plan, cells=[cell for cell in plan.cells if not is_done(plan, cell)]))


def test_the_budget_ends_it_and_a_larger_one_goes_on(project):
    said = []
    for cluster, trained in ((Cluster(), 8), (Cluster(), 0)):  # given again, nothing more is spent
        first = open_search(project(budget={"cells": 8}), cluster, said.append)
        assert first.go()["cells"] == 8 and "budget of 8 cells is spent" in said[-1] and len(cluster.trained) == trained
    assert open_search(project(), Skipping(Cluster()), said.append).go()["trials"].keys() <= {"complete", "pruned"}


def test_a_dry_run_says_what_a_budget_leaves_of_the_search(project):
    def said(**budget):
        return describe(open_search(project(budget=budget), None, None))

    assert "the budget of 8 cells ends the search earlier, after the first 4 rows or so" in said(cells=8)
    assert "not even the first trials" in said(cells=3) and "within the budget of 9999" in said(cells=9999)
    assert said(hours=1.5).endswith("it ends once 1.5 hours have been trained")


def test_what_it_may_take_and_what_is_wrong_is_said_first(project):
    assert "2 cells per row" in describe(open_search(project(), None, None)) and "6 → 12" in describe(open_search(project(), None, None))
    for changes, said in (
        ({"columns": {"lrr": [1]}}, "no column lrr"),
        ({"from": 98765}, "no version 98765"),
        ({"family": "sgan"}, "sgan"),
    ):
        with pytest.raises(InputError, match=said):
            open_search(project(**changes), Cluster(), print).go()
        with pytest.raises(InputError, match=said):
            describe(open_search(project(**changes), None, None))
    with pytest.raises(InputError, match="trialz"):
        open_search(project(trialz=3), Cluster(), print)
