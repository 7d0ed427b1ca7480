"""Which profile a launch runs by, and with how many workers."""

import importlib.util
import shutil

import pytest

from cratermill.core.errors import InputError
from cratermill.pipeline import LIBRARIES, STAGES, launch
from tests.batch import fake


@pytest.fixture
def calls(tmp_path, project_folder, monkeypatch):
    """A config beside the shipped profiles; what a launch would run is noted, not run."""
    shutil.copytree(project_folder / "configs" / "clusters", tmp_path / "configs" / "clusters")
    (tmp_path / "configs" / "clusters" / "two.yaml").write_text("executor: local\nworkers: 2\nworkers_per_gpu: 3\n")
    (tmp_path / "configs" / "run.yaml").write_text("name: run\ndata: data/none\n")
    monkeypatch.delenv("CRATERMILL_PROFILE", raising=False)
    monkeypatch.setattr(launch, "PLANNERS", {"train": lambda config: "plan"})
    noted = []
    monkeypatch.setattr(launch, "run_plan", lambda plan, **options: noted.append(options) or 0)
    monkeypatch.setattr("cratermill.batch.cluster.launch", lambda plan, site, **options: noted.append(site.name) or 0)
    noted.append(tmp_path / "configs" / "run.yaml")
    return noted


def run(calls, **options):
    assert launch.launch("train", calls[0], **options) == 0
    return calls[-1]


def test_this_machine_without_a_profile(calls):
    assert (run(calls)["workers"], run(calls, workers=4)["workers"]) == (1, 4)


def test_local_profile_says_how_many_workers(calls):
    found = run(calls, profile="two")
    assert (found["workers"], found["workers_per_gpu"]) == (2, 3)
    assert run(calls, profile="two", workers=1)["workers"] == 1


def test_cluster_profile_submits_unless_the_work_is_to_stay_here(calls):
    assert run(calls, profile="example") == "example"
    assert run(calls, profile="example", executor="slurm") == "example"
    assert run(calls, profile="example", executor="local")["workers"] == 1


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"executor": "pbs"}, "executor 'pbs'"),
        ({"executor": "slurm"}, "needs a profile"),
        ({"executor": "slurm", "profile": "two"}, "whose executor is local"),
        ({"profile": "exampel"}, "no profile 'exampel'"),
    ],
)
def test_what_does_not_go_together_is_refused(calls, options, given):
    with pytest.raises(InputError, match=given):
        launch.launch("train", calls[0], **options)
    assert len(calls) == 1


def test_freeze_writes_the_plan_and_runs_nothing(calls, monkeypatch, capsys):
    plan = fake.plan_of(calls[0].parents[1], [{"n": 1}, {"n": 2}, {"needs": [0, 1], "stage": "evaluate"}])
    monkeypatch.setattr(launch, "PLANNERS", {"train": lambda config: plan})
    monkeypatch.setattr("cratermill.batch.cluster.dry_run", lambda plan, site, as_json: 0)
    assert launch.launch("train", calls[0], profile="example", freeze_only=True, dry_run=True) == 0
    assert not plan.path.exists(), "a dry run writes nothing"
    assert launch.launch("train", calls[0], freeze_only=True) == 0
    said = capsys.readouterr().out
    assert plan.path.exists() and (plan.folder / "slurm").is_dir() and len(calls) == 1
    assert "--array=0-1 " in said and "--dependency=afterany:$job --array=2 " in said and "slurm/train.slurm log/runs/" in said


def test_what_is_loaded_before_workers_are_forked_is_there():
    names = {name for names in LIBRARIES.values() for name in names}
    names = {name if name.startswith("cratermill.") else name.partition(".")[0] for name in names}  # looking deeper would load them
    assert set(LIBRARIES) == set(STAGES)
    assert not [name for name in names if importlib.util.find_spec(name) is None], "what can't be loaded is left out without a word"
