"""Looks at whole runs: what hasn't changed isn't read again, by this process or another, and what has changed is."""

import json
import os
import shutil

import pytest

from cratermill.batch import snapshot, state
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze, load
from cratermill.batch.snapshot import Snapshot, read_states
from cratermill.core.files import write_json

from . import fake


@pytest.fixture
def run(root):
    """A run with two cells done, one failed and one waiting, an hour ago."""
    plan = load(freeze(fake.plan_of(root, [{}, {"n": 1}, {"do": "fail"}, {"n": 3}])))
    for index in range(3):
        run_cell(plan, index, fake.science)
    grow_old(plan)
    return plan


def grow_old(plan):
    for path in [*plan.folder.rglob("*"), *(plan.root / "log/products").glob("*")]:
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)


@pytest.fixture
def read(monkeypatch):
    """Which records and products are read."""
    seen = []
    for name in ("read_record", "is_done"):
        ours = getattr(state, name)
        monkeypatch.setattr(
            state, name, lambda plan, what, ours=ours, name=name: seen.append((name, getattr(what, "index", what))) or ours(plan, what)
        )
    return seen


@pytest.fixture(autouse=True)
def another_process():
    snapshot._memories.clear()
    yield snapshot._memories.clear


def test_only_what_changed_is_read_again(run, read):
    assert [cell.state for cell in read_states(run)] == ["done", "done", "failed", "waiting"]
    assert set(read) == {("read_record", n) for n in range(3)} | {("is_done", n) for n in range(2)}
    read.clear()
    assert [cell.state for cell in read_states(run)] == ["done", "done", "failed", "waiting"] and read == []
    shutil.rmtree(run.product(run.cells[0]))
    (run.product(run.cells[1]) / "cell.json").unlink()
    state.note(run, run.cells[2], "blocked", "needs another")
    found = read_states(run)
    assert [(cell.state, cell.cause) for cell in found[:3]] == [
        ("waiting", "its product is gone"),
        ("waiting", "its product is gone"),
        ("blocked", "needs another"),
    ]


def test_what_was_written_a_moment_ago_is_read_again(run, read, monkeypatch):
    monkeypatch.setattr(snapshot, "YOUNG_NS", 1_800_000_000_000)  # less than the age of the rest, and longer than anything stalls
    state.note(run, run.cells[2], "failed", "one")
    read_states(run)
    read.clear()
    read_states(run)
    assert read == [("read_record", 2)]


def test_what_ends_while_somebody_looks_is_done(run):
    now = Snapshot(run)
    run_cell(run, 3, fake.science)  # after products were looked at
    assert now.state(run.cells[3]).state == "done"


@pytest.mark.parametrize("look", [lambda plan: Snapshot(plan).state(plan.cells[0]), lambda plan: state.read_state(plan, plan.cells[0])])
def test_a_process_that_ended_well_a_moment_ago_is_not_lost(root, monkeypatch, look):
    plan = load(freeze(fake.plan_of(root, [{}])))
    state.Record(plan, plan.cells[0]).open()

    def ends_now(record, now=None):
        run_cell(plan, 0, fake.science)
        return False

    monkeypatch.setattr(state, "is_alive", ends_now)
    assert look(plan).state == "done"


def test_cells_of_other_parameters_are_not_done(run):
    made = run.product(run.cells[0]) / "cell.json"
    made.write_text(json.dumps(json.loads(made.read_text()) | {"fingerprint": "another"}))
    assert read_states(run)[0].state == "waiting"


def test_another_process_knows_by_a_file_what_is_done(run, read, another_process, monkeypatch):
    monkeypatch.setattr(snapshot, "WORTH_WRITING", 2)
    first = read_states(run)
    assert (run.folder / snapshot.NAME).exists()
    another_process()
    read.clear()
    assert read_states(run) == first and read == [("read_record", 2)]
    shutil.rmtree(run.product(run.cells[1]))
    assert [cell.state for cell in read_states(run)[:2]] == ["done", "waiting"]


@pytest.mark.parametrize("cells", ["", "7", '{"0": [1]}', '{"99": [1, 2, 3, 4, 5, 6, 7, 8]}'])
def test_an_odd_file_is_no_file(run, cells):
    (run.folder / snapshot.NAME).write_text(f'{{"format": 1, "cells": {cells}}}')
    assert [cell.state for cell in read_states(run)] == ["done", "done", "failed", "waiting"]


def test_a_snapshot_says_what_single_questions_say(run):
    write_json(run.state_path(3), {"state": "running", "pid": 1, "host": "elsewhere", "heartbeat": 0, "progress": {"step": 1}})
    now = Snapshot(run)
    for cell in run.cells:
        assert now.is_done(cell) == state.is_done(run, cell)
        assert now.state(cell).state == state.read_state(run, cell).state
