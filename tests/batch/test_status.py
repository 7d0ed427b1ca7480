import io
import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from cratermill.batch import state, status
from cratermill.batch.cell import run_cell
from cratermill.batch.estimate import describe, describe_text, duration_text
from cratermill.batch.observe import PlainObserver, RichObserver, make_observer, progress_text
from cratermill.batch.plan import freeze, load
from cratermill.batch.todo import todo
from cratermill.core.files import read_json, write_json

from . import fake

SPECS = [{}, {"do": "fail"}, {"needs": [1], "key": "[bold]hostile[/x] name"}, {"needs": [0, 1], "soft": True, "stage": "summarise"}]


@pytest.fixture
def run(root):
    plan = load(freeze(fake.plan_of(root, SPECS)))
    for index in (0, 1, 2):
        run_cell(plan, index, fake.science)
    return plan


def test_counts_and_json(run, capsys):
    assert status.show(run, as_json=True) == 1, "as without --json"
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"failed": 1, "blocked": 1, "waiting": 1, "done": 1} and not found["finished"]
    assert found["cells"][1]["cause"].startswith("the loss is NaN") and found["cells"][0]["seconds"] >= 0


def test_table_names_what_needs_eyes(run, capsys):
    assert status.show(run) == 1
    said = capsys.readouterr().out
    assert "the loss is NaN" in said and "[bold]hostile[/x] name" in said and "needs cell 1" in said
    assert "train: 1 failed, 1 blocked, 1 done" in said and "lower the" not in said


def test_watch_ends_when_nothing_can_move(run, capsys):
    assert status.show(run, watch=True) == 1
    assert "1 failed" in capsys.readouterr().out


def test_lost_when_the_process_is_gone_or_silent(run):
    cell = run.cells[0]
    (run.product(cell) / "cell.json").unlink()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    record = {**read_json(run.state_path(0)), "state": "running", "pid": child.pid, "pid_started": "1"}
    write_json(run.state_path(0), record)
    assert state.read_state(run, cell).state == "lost"
    for age, expected in ((10, "running"), (state.SILENT_S + 1, "lost")):
        write_json(run.state_path(0), {**record, "host": "elsewhere", "heartbeat": time.time() - age})
        assert state.read_state(run, cell).state == expected


def test_a_product_that_vanished_is_to_be_made_again(run):
    (run.product(run.cells[0]) / "cell.json").unlink()
    assert state.read_state(run, run.cells[0]).state == "waiting"


def test_half_a_record_is_no_record(run):
    run.state_path(1).write_text('{"state": "fai')
    assert state.read_state(run, run.cells[1]).state == "waiting"


def test_thousand_cells_within_a_second(root):
    plan = load(freeze(fake.plan_of(root, [{"n": n} for n in range(1000)])))
    for cell in plan.cells:
        state.note(plan, cell, state.FAILED, "x")
    began = time.process_time()
    assert status.collect(plan)["counts"] == {"failed": 1000}
    assert time.process_time() - began < 1


def test_estimate_from_earlier_cells(run, root):
    other = fake.plan_of(root, [{"n": n} for n in range(3)], name="other")
    described = describe(other, workers=2)
    assert described["stages"][0]["todo"] == 3 and described["seconds"] is not None
    assert "3 cells to do" in describe_text(described) and "with 2 worker(s)" in describe_text(described)
    unknown = describe(fake.plan_of(root, [{"stage": "map"}], name="third"), gpus=lambda stage: 1)
    assert unknown["seconds"] is None and "no estimate yet" in describe_text(unknown)
    assert (
        "unknown, since no cell of these was finished on such a machine yet: map" in describe_text(unknown) and unknown["gpu_hours"] is None
    )
    assert "disk and files: unknown" in describe_text(unknown)


def test_costs_follow_from_recorded_rates(root):
    """GPU-hours, time for so many jobs at a time, disk and files, against a computation by hand."""
    done = fake.plan_of(root, [{"n": n} for n in range(3)], name="measured")
    for cell, seconds in zip(done.cells, (50, 100, 900), strict=True):
        state.note(done, cell, state.DONE, seconds=seconds, bytes=2_000_000, files=3)
        record = state.read_record(done, cell.index)
        write_json(done.state_path(cell.index), record | {"seconds": seconds, "gpu": True})
    found = describe(fake.plan_of(root, [{"n": n} for n in range(10, 20)], name="other"), gpus=lambda stage: 2)
    assert found["gpu_hours"] == pytest.approx(10 * 100 * 2 / 3600) and found["clock_s"]["4"] == 300 and found["clock_s"]["16"] == 100
    assert (found["bytes"], found["files"], found["unknown"]) == (20_000_000, 30, [])
    for cell in done.cells:  # what ran without a GPU says nothing of jobs with one
        write_json(done.state_path(cell.index), state.read_record(done, cell.index) | {"gpu": False})
    slow = fake.plan_of(root, [{"n": n} for n in range(10, 20)], name="other")
    assert describe(slow, gpus=lambda stage: 2)["gpu_hours"] is None and describe(slow, gpus=lambda stage: 2)["unknown"]
    assert describe(slow, gpus=lambda stage: 0)["gpu_hours"] == 0 and describe(slow)["seconds"] == 1000
    assert "about 20 MB in 30 files" in describe_text(found) and "0.556 GPU-hours" in describe_text(found)


def test_durations():
    told = [duration_text(seconds) for seconds in (0.44, 45, 720, 12_000, 190_000)]
    assert told == ["0.4 s", "45 s", "12 min", "3 h 20 min", "2 d 4 h"]


def test_progress_text():
    assert (
        progress_text({"epoch": 3, "epochs": 10, "step": 7, "loss": 0.123456, "rate": "12/s"})
        == "epoch 3/10, step 7, loss 0.1235, rate 12/s"
    )
    told = {"epoch": 3, "epochs": 10, "metric": 0.5, "metric_name": "F1_Score", "history": [0.1, None, 0.3, 0.5], "steps_per_s": 2.5}
    told |= {"left_s": 90, "gpu": 87, "gpu_gb": 11.2}
    assert progress_text(told) == "epoch 3/10, F1_Score 0.5 ▁ ▄█, 2.5 steps/s, 90 s left, GPU 87 %, 11.2 GB"
    assert progress_text({"doing": "loading networks"}) == "loading networks …"
    assert progress_text(None) == "" and progress_text({"step": 7, "metric": None}) == "step 7"


def test_observers(root):
    now = todo(fake.plan_of(root, [{}, {"key": "[red]x"}]))
    stream = io.StringIO()
    plain = make_observer(stream)
    assert isinstance(plain, PlainObserver)
    for observer in (replace_clock(plain), RichObserver()):
        observer.start(now)
        observer.cell(0, state.RUNNING, None)
        observer.cell(0, state.RUNNING, {"epoch": 1, "epochs": 2})
        observer.cell(0, state.DONE, None)
        observer.cell(1, state.RUNNING, None)
        observer.cell(1, state.FAILED, "because\nof this")
        observer.close(True)
    said = stream.getvalue()
    assert "cell 0  epoch 1/2" in said and "[1/2] cell 0  done" in said and "[2/2] [red]x  FAILED: because\n" in said
    assert "interrupted" in said


def replace_clock(observer):
    observer.every_s = 0
    return observer


def test_queued_while_an_executor_holds_the_run(root, monkeypatch):
    plan = load(freeze(fake.plan_of(root, [{}, {"needs": [0]}])))
    assert [cell.state for cell in status.local_run(plan).states] == ["waiting", "waiting"]
    monkeypatch.setattr("cratermill.batch.locks.is_executing", lambda plan: True)
    assert [cell.state for cell in status.local_run(plan).states] == ["queued", "waiting"]
    assert replace(status.local_run(plan).states[0]).key == "cell 0"
