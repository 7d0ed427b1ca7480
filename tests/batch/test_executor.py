"""One interface, two executors: wanted, describe, submit, observe; a third one from a package."""

import re
import sys
from pathlib import Path

import pytest

from cratermill.batch import cluster, status
from cratermill.batch import executor as executors
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import EXECUTORS, Profile, load_profile
from cratermill.core.errors import InputError

from . import fake
from .test_slurm import slurm  # noqa: F401 - a fixture


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_profile_names_its_executor(root, slurm, name):  # noqa: F811
    plan = load(freeze(fake.plan_of(root, [{}, {"needs": [0], "stage": "evaluate"}])))
    made = executors.executor_of(plan, Profile(name="x", executor=name), lambda _: None)
    run = made.observe()
    assert [cell.state for cell in run.states] == ["waiting", "waiting"] and not run.active(0) and not run.done(0)
    assert made.wanted(run) == [0, 1]
    assert made.describe(run)["run"] == plan.run
    assert hasattr(made, "submit") and not list(plan.folder.glob("slurm/*.json")), "so far it only looked"


PAGE = Path(__file__).parents[2] / "docs" / "another-scheduler.md"
BLOCK = re.compile(r"```(?:python|yaml|toml)\n# (\S+)\n(.*?)```", re.DOTALL)
PBS = """#!/bin/sh
'''exec' "{python}" "$0" "$@"  # as pip writes it: a line that begins with #! can't hold a path with blanks
' '''
import os, subprocess, sys
from pathlib import Path
name, held = Path(sys.argv[0]).name, Path({folder!r}) / "held"
held.mkdir(exist_ok=True)
if name == "qselect":
    print("\\n".join(path.name for path in held.iterdir()))
elif name == "qdel":
    (held / sys.argv[1]).unlink()
else:
    with (held.parent / "asked").open("a") as asked:
        number = asked.tell()
        asked.write(" ".join(sys.argv[1:]) + "\\n")
    print(f"{{number}}.hall")
    if "HOLD" in os.environ:
        (held / f"{{number}}.hall").touch()
    else:
        words = sys.argv[sys.argv.index("cell") + 1 :]
        sys.exit(subprocess.run([{python!r}, {fake!r}, "--cell", *words], stdout=subprocess.DEVNULL).returncode and 0)
"""


@pytest.fixture
def pbs(root, monkeypatch):
    """The page's package, installed, beside commands that run a job at once, or with $HOLD keep it in the queue."""
    site = root / "site"
    for name, content in BLOCK.findall(PAGE.read_text()):
        path = (root if name.startswith("configs/") else site) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    info = site / "cratermill_pbs-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cratermill-pbs\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[cratermill.executors]\npbs = cratermill_pbs:PbsExecutor\n")
    monkeypatch.syspath_prepend(site)
    for name in ("qsub", "qselect", "qdel"):
        command = root / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(PBS.format(python=sys.executable, folder=str(root), fake=str(fake.HERE)))
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(root / "bin"), prepend=":")
    yield
    sys.modules.pop("cratermill_pbs", None)


def test_another_scheduler_is_one_file(root, pbs, monkeypatch, capsys):
    plan = fake.plan_of(root, [{}, {}, {"needs": [0, 1], "stage": "evaluate"}])
    profile = load_profile("hall", root)
    assert cluster.dry_run(plan, profile, as_json=True) == 0 and '"jobs": 2' in capsys.readouterr().out

    monkeypatch.setenv("HOLD", "1")
    assert cluster.launch(plan, profile) == 0
    assert f"cratermill status {plan.run}" in capsys.readouterr().out
    plan = load(plan.path)
    first, second = (root / "asked").read_text().splitlines()
    assert (
        "select=1:ncpus=4:mem=16384mb -l walltime=4:00:00" in first
        and f"cell {plan.path} 0 1" in first
        and "depend=afterany:0.hall" in second
    )
    assert [cell.state for cell in cluster.observer(plan)(plan).states] == ["queued"] * 3
    assert [row["state"] for row in status.list_runs(root)] == ["queued"]
    assert cluster.launch(plan, profile) == 0 and len((root / "asked").read_text().splitlines()) == 2, "nothing is sent twice"
    assert cluster.cancel(plan, {0}) == [0] and [cell.state for cell in cluster.observer(plan)(plan).states] == [
        "waiting",
        "waiting",
        "queued",
    ]
    assert cluster.cancel(plan) == [2]

    monkeypatch.delenv("HOLD")
    capsys.readouterr()
    assert cluster.launch(plan, profile, wait=True) == 0
    assert "3 done" in capsys.readouterr().out and (root / "log/products/2/best.ckpt").exists()


def test_unknown_executors_are_refused_with_the_names_there_are(root, pbs):
    (root / "configs/clusters/hall.yaml").write_text("executor: lsf\n")
    with pytest.raises(InputError, match="executor = 'lsf'.*pbs, local, slurm"):
        load_profile("hall", root)
