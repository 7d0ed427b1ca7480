import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cratermill.batch import snapshot
from cratermill.batch.local import LocalExecutor, leases
from cratermill.batch.plan import freeze, load
from cratermill.batch.slot import close_parents
from cratermill.core.errors import InputError, WorkError

from . import fake


def launch(root, specs, workers=1, **options):
    plan = load(freeze(fake.plan_of(root, specs)))
    return LocalExecutor(plan, workers=workers, work=fake.WORK, **options).submit()


def start_executor(plan, workers=1, says=subprocess.PIPE):
    """An executor in a process group of its own, as a shell would start it."""
    command = [sys.executable, str(fake.HERE), "--run", str(plan.path), str(workers)]
    return subprocess.Popen(command, stdout=says, stderr=subprocess.STDOUT, text=True, process_group=0)


def wait_for(condition):
    until = time.monotonic() + fake.PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "never happened"
        time.sleep(0.05)


@contextlib.contextmanager
def going_on_once(condition, go):
    """Beside the block cells that hold are told to go on once the condition is true; when it never is, they are too, and the test fails."""

    def wait():
        try:
            wait_for(condition)
        finally:
            go()

    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(wait)
        yield
    waiting.result()


def at_work(root, *indices):
    """Whether these cells have begun."""
    return all((root / f"trace/{index}.begun").exists() for index in indices)


def states(plan):
    return [cell.state for cell in snapshot.read_states(plan)]


def products(root):
    return sorted(path.name for path in (root / "log" / "products").iterdir())


def test_runs_in_order_of_needs_and_relaunch_does_nothing(root):
    specs = [{}, {}, {"needs": [0, 1], "stage": "evaluate"}, {"needs": [2], "stage": "summarise"}]
    result = launch(root, specs, workers=2)
    assert result.exit_code == 0 and result.counts == {"done": 4}
    assert states(result.plan) == ["done"] * 4
    made = json.loads((root / "log/products/2/cell.json").read_text())
    assert made["metrics"]["steps"] == 1 and made["run"] == result.plan.run and made["seconds"] >= 0
    assert products(root) == ["0", "1", "2", "3"]
    assert not (root / "log/products/0/last.ckpt").exists() and not (root / "log/products/0/.lock").exists()
    assert launch(root, specs).exit_code == 0
    assert fake.lines(root / "trace/0.begun") == fake.lines(root / "trace/0.begun")[:1]


def test_one_worker_serves_many_cells(root):
    result = launch(root, [{"n": n} for n in range(4)])
    pids = {json.loads((root / f"log/products/{n}/cell.json").read_text())["metrics"]["pid"] for n in range(4)}
    assert result.exit_code == 0 and len(pids) == 1


def test_workers_come_when_more_can_be_done(root):
    """One cell opens two others: whoever ended it takes one, and another worker comes for the other, which both wait for."""
    with going_on_once(lambda: at_work(root, 1, 2), lambda: fake.go(root)):
        assert launch(root, [{}, *({"needs": [0], "n": n, "steps": 2, "hold_at": 1} for n in (1, 2))], workers=2).exit_code == 0
    pids = {json.loads((root / f"log/products/{n}/cell.json").read_text())["metrics"]["pid"] for n in (1, 2)}
    assert len(pids) == 2


WARM = """
import os, time
from pathlib import Path

def preload(stages):
    (Path(os.environ["TRACE"]) / "loaded").open("a").write(f"{os.getpid()} {','.join(sorted(stages))}\\n")

def science(plan, cell, workspace):
    (plan.root / f"begun-{cell.index}").write_text("")
    until = time.monotonic() + cell.params.get("patience_s", 0)
    while time.monotonic() < until and not all((plan.root / name).exists() for name in cell.params["until"]):
        workspace.report(step=0)
        time.sleep(0.05)
    return {"parent": os.getppid(), "pid": os.getpid(), "group": os.getpgid(0), "folder": os.getcwd(), "told": os.environ.get("TOLD")}
"""


@pytest.fixture
def warm(root, monkeypatch):
    """Work that says where it was loaded, and the metrics of a run of it."""
    (root / "warm.py").write_text(WARM)
    monkeypatch.setenv("TRACE", str(root))

    def run(name, specs, workers=2):
        plan = load(
            freeze(fake.plan_of(root, [{**spec, "product": f"log/products/{name}-{n}"} for n, spec in enumerate(specs)], name=name))
        )
        result = LocalExecutor(plan, workers=workers, work=f"{root / 'warm.py'}:science").submit()
        assert result.exit_code == 0, result.troubles()
        return [json.loads((plan.product(cell) / "cell.json").read_text())["metrics"] for cell in plan.cells]

    yield run
    close_parents()


def test_workers_are_forked_from_one_process_that_loaded_what_they_need(root, warm, monkeypatch):
    # Each of the first two is at work until the other one is, too.
    both = {"until": ["begun-0", "begun-1"], "patience_s": fake.PATIENCE_S}
    cells = warm("one", [both, both, {"stage": "map"}])
    assert len({cell["pid"] for cell in cells}) == 2 and all(cell["group"] == cell["pid"] for cell in cells)
    (root / "elsewhere").mkdir()
    monkeypatch.chdir(root / "elsewhere")
    monkeypatch.setenv("TOLD", "later")
    again = warm("two", [{}])[0]
    assert again["folder"] == str(root / "elsewhere") and again["told"] == "later", "a worker is as one started now"
    loaded = (root / "loaded").read_text().split("\n")[:-1]
    assert loaded == [f"{cells[0]['parent']} map,train"] and {cell["parent"] for cell in [*cells, again]} == {cells[0]["parent"]}
    warm("three", [{"stage": "composite"}])
    assert (root / "loaded").read_text().endswith(" composite\n"), "another stage, another parent"


def test_the_end_of_the_parent_ends_no_cell(root, warm):
    def kill():
        os.kill(int((root / "loaded").read_text().split()[0]), signal.SIGKILL)
        (root / "killed").touch()

    with going_on_once((root / "begun-0").exists, kill):
        cells = warm("one", [{"until": ["killed"], "patience_s": fake.PATIENCE_S}, {}], workers=1)
    assert cells[0]["pid"] == cells[1]["pid"], "its worker went on"


def test_failures_stop_only_what_needs_them(root):
    specs = [
        {"do": "fail"},
        {"do": "crash"},
        {},
        {"needs": [0], "stage": "evaluate", "key": "hard"},
        {"needs": [0, 1, 2], "soft": True, "always": True, "stage": "summarise"},
        {"needs": [3], "key": "harder"},
    ]
    result = launch(root, specs)
    assert result.exit_code == 1
    assert [result.states[n] for n in range(6)] == ["failed", "failed", "done", "blocked", "done", "blocked"]
    assert states(result.plan) == ["failed", "failed", "done", "blocked", "done", "blocked"]
    troubles = {key: cause for key, _, cause in result.troubles()}
    assert troubles["cell 0"].startswith("the loss is NaN") and troubles["cell 1"] == "ZeroDivisionError: unexpected"
    assert troubles["hard"] == "needs cell 0" and troubles["harder"] == "needs hard"
    assert "Traceback" in result.plan.log_path(1).read_text() and "Traceback" not in result.plan.log_path(0).read_text()
    assert "doing fail" in result.plan.log_path(0).read_text()
    # Mended, the relaunch does the failed ones, what they blocked, and what is always done; not what is done.
    (root / "mended").touch()
    again = launch(root, specs)
    assert [again.states[n] for n in range(6)] == ["done", "failed", "done", "done", "done", "done"]
    assert len(fake.lines(root / "trace/2.begun")) == 1 and len(fake.lines(root / "trace/4.begun")) == 2


def test_a_summary_of_unchanged_cells_costs_nothing(root):
    specs = [{}, {}, {"needs": [0, 1], "soft": True, "always": True, "stage": "summarise"}]
    launch(root, specs)
    assert launch(root, specs).exit_code == 0 and len(fake.lines(root / "trace/2.begun")) == 1
    shutil.rmtree(root / "log/products/1")
    assert launch(root, specs).exit_code == 0 and len(fake.lines(root / "trace/2.begun")) == 2


def test_a_killed_worker_fails_its_cell_alone(root):
    result = launch(root, [{"do": "kill"}, {}, {}])
    assert [result.states[n] for n in range(3)] == ["failed", "done", "done"]
    assert "SIGKILL" in result.causes[0]
    read = snapshot.read_states(result.plan)[0]
    assert (read.state, read.kind) == ("failed", "killed") and "SIGKILL" in read.cause


def test_workers_that_cannot_start_end_the_run_with_their_last_words(root):
    plan = load(freeze(fake.plan_of(root, [{}, {}])))
    executor = LocalExecutor(plan, work="no_such_module:work")
    with pytest.raises(WorkError, match="No module named 'no_such_module'"):
        executor.submit()
    assert states(plan) == ["waiting", "waiting"]


def test_kill_of_the_executor_loses_only_steps_since_the_checkpoint(root):
    plan = load(freeze(fake.plan_of(root, [{"steps": 40, "hold_at": 20}, {"needs": [0]}])))
    process = start_executor(plan)
    wait_for(lambda: len(fake.lines(root / "trace/0.steps")) == 20)
    process.kill()
    process.wait()
    process.stdout.close()
    assert products(root) == ["0.part"]
    begun = functools.partial(fake.lines, root / "trace/0.begun")
    # Relaunched at once: the orphan is still saving itself and holds the lock.
    with going_on_once(lambda: len(begun()) == 2, lambda: fake.go(root)):
        result = LocalExecutor(plan, work=fake.WORK).submit()
    assert result.exit_code == 0 and states(plan) == ["done", "done"]
    assert fake.lines(root / "trace/0.steps") == [str(n) for n in range(1, 41)]
    assert len(begun()) == 2


def test_kill_of_executor_and_worker_at_once(root):
    plan = load(freeze(fake.plan_of(root, [{"steps": 40, "hold_at": 20}])))
    process = start_executor(plan)
    wait_for(lambda: len(fake.lines(root / "trace/0.steps")) == 20)
    worker = int(fake.lines(root / "trace/0.begun")[0])
    os.kill(worker, signal.SIGSTOP)  # it must not save itself before it is killed, too
    process.kill()
    os.kill(worker, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_for(lambda: states(plan) == ["lost"])
    fake.go(root)
    assert LocalExecutor(plan, work=fake.WORK).submit().exit_code == 0
    steps = [int(step) for step in fake.lines(root / "trace/0.steps")]
    assert steps == list(range(1, 41))


def test_interrupt_saves_and_says_how_to_go_on(root):
    plan = load(freeze(fake.plan_of(root, [{"steps": 40, "hold_at": 20}, {"needs": [0]}, {}])))
    process = start_executor(plan)
    wait_for(lambda: len(fake.lines(root / "trace/0.steps")) >= 3)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=fake.PATIENCE_S)
    assert process.returncode == 130
    assert "go on from their last checkpoint" in said
    assert states(plan) == ["stopped", "waiting", "waiting"]
    done = len(fake.lines(root / "trace/0.steps"))
    assert json.loads((root / "log/products/0.part/last.ckpt").read_text())[0] == done


def test_second_launch_of_the_same_run_is_refused(root):
    plan = load(freeze(fake.plan_of(root, [{"steps": 40, "hold_at": 20}])))
    process = start_executor(plan)
    wait_for(lambda: states(plan) == ["running"])
    with pytest.raises(WorkError, match=f"executed by process {process.pid} .*\n.*status {plan.run} --watch"):
        LocalExecutor(plan, work=fake.WORK).submit()
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=fake.PATIENCE_S)


def test_two_runs_that_share_a_cell_do_it_once(root):
    shared = {"steps": 2, "hold_at": 1, "product": "log/products/shared"}
    one = load(freeze(fake.plan_of(root, [shared], name="one")))
    two = load(freeze(fake.plan_of(root, [shared, {"needs": [0]}], name="two")))

    def waiting():
        return sum("cell 0  another run is at it, waiting" in (root / name).read_text() for name in ("one.txt", "two.txt"))

    with (root / "one.txt").open("w") as first, (root / "two.txt").open("w") as second:
        processes = [start_executor(one, says=first), start_executor(two, says=second)]
        with going_on_once(waiting, lambda: fake.go(root)):
            assert [process.wait(fake.PATIENCE_S) for process in processes] == [0, 0]
    assert len(fake.lines(root / "trace/0.begun")) == 1
    assert products(root) == ["1", "shared"]
    assert waiting() == 1


def test_each_worker_has_its_own_gpu(root):
    # The first ones are at work until there are two.
    with going_on_once(lambda: sum(at_work(root, n) for n in range(4)) == 2, lambda: fake.go(root)):
        result = launch(root, [{"n": n, "hold_at": 0} for n in range(4)], workers=2, gpus=["3", "GPU-abc"])
    leased = {}
    for n in range(4):
        metrics = json.loads((root / f"log/products/{n}/cell.json").read_text())["metrics"]
        leased.setdefault(metrics["gpu"], set()).add(metrics["pid"])
    assert result.exit_code == 0
    assert set(leased) == {"3", "GPU-abc"} and all(len(pids) == 1 for pids in leased.values())


def test_leases():
    assert leases([], 4) == []
    assert leases(["0", "1"], 4, workers_per_gpu=2) == ["0", "1", "0", "1"]
    with pytest.raises(InputError, match="at most 2 with 2 GPU(.|\n)*workers_per_gpu: 2.*--profile"):
        leases(["0", "1"], 3)
    with pytest.raises(InputError, match="1 or more"):
        leases([], 0)


def test_only_some_cells_and_what_they_need(root):
    result = launch(root, [{}, {}, {"needs": [1]}], only=[2])
    assert result.exit_code == 0 and result.counts == {"done": 2, "waiting": 1}
