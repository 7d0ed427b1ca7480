import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cratermill.batch import state, workspace
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze, load
from cratermill.batch.signals import StopFlag
from cratermill.batch.workspace import Stopped, check_products
from cratermill.core.errors import InputError

from . import fake


def frozen(root, specs, **options):
    return load(freeze(fake.plan_of(root, specs, **options)))


def test_publishes_in_one_step(root):
    plan = frozen(root, [{"steps": 3}])
    seen = []

    def science(plan, cell, workspace):
        seen.append((workspace.folder.name, plan.product(cell).exists()))
        return fake.science(plan, cell, workspace)

    result = run_cell(plan, 0, science)
    assert (result.state, result.exit_code) == ("done", 0) and seen == [("0.part", False)]
    made = json.loads((root / "log/products/0/cell.json").read_text())
    assert made["fingerprint"] == plan.cells[0].fingerprint and made["params"] == {"steps": 3}
    assert made["made_with"]["python"] == plan.provenance["python"]
    assert sorted(path.name for path in (root / "log/products").iterdir()) == ["0"]
    record = json.loads(plan.state_path(0).read_text())
    assert record["progress"] == {"step": 3, "steps": 3} and record["cpu_s"] >= 0 and record["max_rss_mb"] > 1


@pytest.mark.parametrize(
    ("do", "kind", "exit_code", "cause"),
    [
        ("fail", "error", 1, "the loss is NaN\nNext: lower the learning rate"),
        ("crash", "crash", 1, "ZeroDivisionError: unexpected"),
        ("hungry torch", "oom", 1, "there is too little memory: [enforce fail at alloc_cpu.cpp:117]"),
        ("hungry GPU", "oom", 1, "OutOfMemoryError: CUDA out of memory"),
        ("hungry system", "oom", 1, "there is too little memory"),
        ("full", "disk", 1, "No space left while writing the work of cell 0"),
    ],
)
def test_failures_leave_a_record_and_no_product(root, do, kind, exit_code, cause, capfd):
    plan = frozen(root, [{"do": do}])
    result = run_cell(plan, 0, fake.science)
    assert (result.state, result.kind, result.exit_code) == ("failed", kind, exit_code) and result.cause.startswith(cause)
    read = state.read_state(plan, plan.cells[0])
    assert (read.state, read.kind, read.cause) == ("failed", kind, result.cause)
    assert not plan.product(plan.cells[0]).exists()
    assert ("Traceback" in capfd.readouterr().err) == (do != "fail")


def test_log_gets_everything_even_from_other_processes(root, capfd):
    plan = frozen(root, [{}])

    def science(plan, cell, workspace):
        os.write(1, b"from a library\n")
        os.system("echo from a child; echo complaint >&2")
        return {}

    run_cell(plan, 0, science, log_to_file=True)
    run_cell(plan, 0, science, log_to_file=True)
    log = plan.log_path(0).read_text()
    assert all(text in log for text in ("from a library", "from a child", "complaint", f"process {os.getpid()}"))
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_needs(root):
    plan = frozen(root, [{"do": "fail"}, {}, {"needs": [0, 1]}, {"needs": [0, 1], "soft": True}])
    run_cell(plan, 1, fake.science)
    hard, soft = run_cell(plan, 2, fake.science), run_cell(plan, 3, fake.science)
    assert (hard.state, hard.cause, hard.exit_code) == ("blocked", "needs cell 0", 1)
    assert soft.state == "done"
    assert state.read_state(plan, plan.cells[2]).state == "blocked"


def test_stop_is_resumable(root):
    plan = frozen(root, [{"steps": 5}])
    with StopFlag() as stop:

        def science(plan, cell, workspace):
            os.kill(os.getpid(), signal.SIGUSR2)
            return fake.science(plan, cell, workspace)

        result = run_cell(plan, 0, science, stop=stop)
    assert (result.state, result.exit_code) == ("stopped", 75)
    assert state.read_state(plan, plan.cells[0]).state == "stopped"
    assert run_cell(plan, 0, fake.science).state == "done"
    assert fake.lines(root / "trace/0.steps") == ["1", "2", "3", "4", "5"]


def test_what_breaks_because_of_a_stop_is_no_failure(root):
    def science(plan, cell, workspace):
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")

    result = run_cell(frozen(root, [{}]), 0, science)
    assert result.state == "stopped" and "DataLoader worker" in result.cause


def test_second_interrupt_ends_at_once(root):
    def science(plan, cell, workspace):
        os.kill(os.getpid(), signal.SIGINT)
        assert workspace.stop_requested
        os.kill(os.getpid(), signal.SIGINT)

    plan, before = frozen(root, [{}]), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_cell(plan, 0, science)
    assert state.read_state(plan, plan.cells[0]).state == "stopped"
    assert signal.getsignal(signal.SIGINT) is before


def test_remains_of_other_parameters_are_not_resumed(root):
    old = frozen(root, [{"steps": 3, "rate": 1}])
    part = root / "log/products/0.part"

    def stopping(plan, cell, workspace):
        (workspace.folder / "last.ckpt").write_text("[2, 1.0]")
        (workspace.folder / "deep").mkdir(exist_ok=True)
        raise Stopped

    run_cell(old, 0, stopping)
    assert (part / "last.ckpt").exists()
    new = frozen(root, [{"steps": 3, "rate": 2}])
    run_cell(new, 0, fake.science)
    assert fake.lines(root / "trace/0.steps") == ["1", "2", "3"]
    assert not (root / "log/products/0/deep").exists()


@pytest.mark.parametrize("moment", ["sync_files", "name_product", "_rename"])
def test_killed_while_publishing(root, moment):
    """Killed (-9) at any step of publishing, the next attempt ends with the whole product and repeats no finished work."""
    plan = frozen(root, [{"steps": 2}])
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "import fake\nfrom cratermill.batch import cell, disk, workspace\nfrom cratermill.batch.plan import load\n"
        "owner, name = (disk, sys.argv[3]) if sys.argv[3] == 'sync_files' else (workspace.Workspace, sys.argv[3])\n"
        "setattr(owner, name, lambda *a: os.kill(os.getpid(), 9))\n"
        "cell.run_cell(load(sys.argv[2]), 0, fake.science)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(fake.HERE.parent), str(plan.path), moment], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert state.read_state(plan, plan.cells[0]).state == "lost" and not plan.product(plan.cells[0]).exists()
    assert run_cell(plan, 0, fake.science).state == "done"
    assert fake.lines(root / "trace/0.steps") == ["1", "2"]
    assert sorted(path.name for path in (root / "log/products/0").iterdir()) == ["best.ckpt", "cell.json"]


def test_a_replacement_killed_halfway_is_undone(root):
    plan = frozen(root, [{"always": True}])
    product = plan.product(plan.cells[0])
    run_cell(plan, 0, fake.science)
    product.rename(workspace.old_folder(product))
    check_products(plan)
    assert state.is_done(plan, plan.cells[0])
    assert run_cell(plan, 0, fake.science).state == "done"
    assert sorted(path.name for path in product.parent.iterdir()) == ["0"]


def test_other_parameters_are_refused_or_moved_aside(root):
    run_cell(frozen(root, [{"net": {"lr": 0.1, "width": 3}}]), 0, fake.science)
    changed = frozen(root, [{"net": {"lr": 0.2, "width": 3}}])
    with pytest.raises(InputError, match=r"products/0: net\.lr: 0\.1 → 0\.2\nNext: give the changed row a new version"):
        check_products(changed)
    check_products(changed, overwrite=True)
    assert run_cell(changed, 0, fake.science).state == "done"
    kept = [path for path in (root / "log/products").iterdir() if ".replaced-" in path.name]
    assert len(kept) == 1 and json.loads((kept[0] / "cell.json").read_text())["params"]["net"]["lr"] == 0.1


def test_busy_cell_is_not_run_twice(root):
    plan = frozen(root, [{"steps": 2, "hold_at": 1}])
    holder = subprocess.Popen([sys.executable, str(fake.HERE), "--cell", str(plan.path), "0"], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + fake.PATIENCE_S
        while not fake.lines(root / "trace/0.steps") and time.monotonic() < until:
            time.sleep(0.05)
        result = run_cell(plan, 0, fake.science, wait_s=0)
        assert (result.kind, result.exit_code) == ("busy", 75) and f"process {holder.pid} on" in result.cause
        assert state.read_state(plan, plan.cells[0]).state == "running"
    finally:
        holder.terminate()
    assert holder.wait(fake.PATIENCE_S) == 75 and len(fake.lines(root / "trace/0.begun")) == 1


def test_full_disk(small_disk):
    plan = frozen(small_disk, [{}])

    def science(plan, cell, workspace):
        (workspace.folder / "best.ckpt").write_bytes(bytes(400_000))

    result = run_cell(plan, 0, science, log_to_file=True)
    assert (result.state, result.kind) == ("failed", "disk")
    assert "No space left while writing" in result.cause and "finished cells are kept" in result.cause
    (plan.product(plan.cells[0]).with_name("0.part") / "best.ckpt").unlink()
    assert run_cell(plan, 0, fake.science).state == "done"


def test_unwritable_product_folder(root, read_only):
    plan = frozen(root, [{}])
    (root / "log/products").mkdir()
    read_only(root / "log/products")
    result = run_cell(plan, 0, fake.science)
    assert (result.state, result.exit_code) == ("failed", 2) and "Can't write the work of cell 0" in result.cause


def test_forked_helpers_end_by_the_signal_their_parent_only_notes():
    reader, writer = os.pipe()
    with StopFlag() as stop:
        child = os.fork()
        if child == 0:
            os.write(writer, b"!")  # a signal that comes while Python is still forking is lost
            time.sleep(300)
            os._exit(0)
        os.read(reader, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert not stop
