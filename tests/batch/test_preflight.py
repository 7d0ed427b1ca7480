"""Preflight without Slurm: what would keep a launch from going well is said before anything is queued."""

from pathlib import Path

import pytest

from cratermill.batch import preflight, probe, provenance, scheduler
from cratermill.batch.profile import Container, Profile, Resources
from cratermill.core.errors import InputError


def test_failing_preflight_names_all_problems(root, read_only):
    read_only(root)
    checks = preflight.check_profile(root, Profile(name="here", executor="local"), {})
    with pytest.raises(InputError, match=r"2 problem\(s\), so nothing was submitted:\n  write in log/: .*\n  write in results/"):
        preflight.require(checks)


def test_no_scheduler_here(root, monkeypatch):
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(InputError, match="There is no squeue on this machine\nNext: use a login node"):
        scheduler.queue()
    assert preflight.check_jobs(Profile(name="x"), {"train": Resources()})[0].ok is False


def test_image_of_a_container(tmp_path):
    image = tmp_path / "it.sif"
    profile = Profile(name="x", container=Container(image=str(image)))
    assert "build it: apptainer build" in preflight.check_container(tmp_path, profile)[0].detail
    image.touch()
    assert preflight.check_container(tmp_path, profile)[0].ok and preflight.check_container(tmp_path, Profile(name="x")) == []
    assert "colon or comma" in preflight.check_container(Path("/a:b"), profile)[0].detail


def test_times_of_partitions(monkeypatch):
    monkeypatch.setattr(scheduler, "ask", lambda *_: "main*|1-12:30:00\nshort|2:30\nlong|infinite\n")
    assert scheduler.time_limits() == {"main": 2190, "default": 2190, "short": 2.5, "long": float("inf")}


@pytest.mark.parametrize(
    ("asked", "profile", "said"),
    [
        ({"time_min": 31}, {}, "time_min 31 is more than partition default allows: 30 minutes"),
        ({"time_min": 31}, {"partition": "main,long"}, None),
        ({"time_min": 61, "partition": "main,long"}, {"partition": "days"}, "partition main,long allows: 60 minutes"),
    ],
)
def test_more_time_than_a_partition_gives(monkeypatch, asked, profile, said):
    monkeypatch.setattr(scheduler, "time_limits", lambda: {"default": 30, "main": 30, "long": 60, "days": 2880})
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/sbatch")
    monkeypatch.setattr(scheduler, "test_only", lambda *_: None)
    (check,) = preflight.check_jobs(Profile(name="x", **profile), {"train": Resources(**asked)})
    assert check.ok is (said is None) and (said or "") in check.detail


def test_folders_that_slurm_cannot_write_in():
    assert all(preflight.check_name(Path(name)).ok for name in ("/a b/it's 100%", "/ü/$(x)", "/new\nline"))
    assert not any(preflight.check_name(Path(name)).ok for name in ("/a\\b", "/5%\n"))


NODE = {"node": "n1", "python": "3.12", "executable": "/v/python", "writable": True, "detail": "", "gpus": 1}


@pytest.mark.parametrize(
    ("said", "gpus", "problem"),
    [
        ({}, 1, None),
        ({"gpus": 0}, 0, None),
        ({"gpus": 0}, 1, "torch sees no GPU"),
        ({"writable": False, "detail": "/p: Read-only file system"}, 0, "can't write: /p: Read-only file system"),
        ({"code_sha256": "0"}, 0, "isn't the one here"),
    ],
)
def test_what_a_node_said(said, gpus, problem):
    check = probe.judge({**NODE, "code_sha256": provenance.code_hash(), **said}, gpus)
    assert check.ok is (problem is None) and "n1: Python 3.12 at /v/python" in check.detail and (problem or "") in check.detail
