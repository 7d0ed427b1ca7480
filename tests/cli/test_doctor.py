import json

import pytest

from cratermill.cli import doctor
from cratermill.cli.doctor import FAIL, OK, WARN, Finding


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH with nothing but the scripts that a test writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name, text):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    return write


def test_this_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "devices", lambda: [Finding("torch", OK, "2.15")])  # importing it takes long
    assert doctor.report(tmp_path, as_json=True) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"python", "packages", "torch", "cpu", "memory", "disk", "data", "weights", "slurm"} <= {found["name"] for found in findings}
    assert all(found["state"] in (OK, WARN) for found in findings)


def test_exit_code_and_next_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda folder: [Finding("packages", FAIL, "missing: timm", "bash install.sh")])
    assert doctor.report(tmp_path) == 1
    assert capsys.readouterr().out == f"fail  packages     missing: timm\n{'':<19}Next: bash install.sh\n"


def test_devices_here():
    found = {finding.name: finding for finding in doctor.devices()}
    assert found["torch"].state == OK
    assert found["gpu"].state in (OK, WARN)


def test_packages(tmp_path, monkeypatch):
    assert [finding.state for finding in doctor.packages(tmp_path)] == [OK]
    (tmp_path / "requirements.lock").write_text("# made by uv\nnumpy==1.0\npandas==0.1 ; sys_platform == 'linux'\n")
    other = next(iter(doctor.packages(tmp_path)))
    assert other.state == WARN
    assert "(locked: 1.0)" in other.found
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "timm" else "1.0")
    missing = next(iter(doctor.packages(tmp_path)))
    assert (missing.state, missing.found, missing.next_step) == (FAIL, "missing: timm", "bash install.sh")


def test_packages_without_bytecode_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "COMPILED", ("numpy",))
    assert [finding.state for finding in doctor.bytecode()] == [OK]
    (tmp_path / "freshly_copied.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "COMPILED", ("numpy", "freshly_copied"))
    finding = next(iter(doctor.bytecode()))
    assert (finding.state, "freshly_copied" in finding.found, "compileall" in finding.next_step) == (WARN, True, True)


def test_foreign_packages_on_the_path_are_named(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/opt/site/packages")
    finding = next(iter(doctor.python_version()))
    assert finding.state == WARN
    assert "/opt/site/packages" in finding.found


def test_folders(tmp_path):
    blocked = tmp_path / "results"
    blocked.write_text("a file in the way")
    found = {finding.name: finding.state for finding in doctor.folders(tmp_path)}
    assert found == {"data": OK, "results": FAIL, "log": OK}


def test_little_memory_and_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_memory_bytes", lambda: 2 * 2**30)
    assert next(iter(doctor.memory())).state == WARN
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**30})())
    assert next(iter(doctor.disk(tmp_path))).state == WARN


def test_no_slurm(tools):
    assert [finding.found for finding in doctor.slurm()] == ["none here; runs use this machine"]


def test_slurm_without_controller(tools):
    tools("sbatch", "echo slurm 22.05.8")
    tools("sinfo", "exit 1")
    assert [(finding.name, finding.state) for finding in doctor.slurm()] == [("slurm", WARN)]


def test_slurm_without_accounting(tools):
    tools("sbatch", "echo slurm 22.05.8")
    tools("sinfo", "echo 'gpu* 1-00:00:00 gpu:2'; echo 'gpu* 1-00:00:00 gpu:2'")
    tools("sacct", "exit 1")
    slurm, sacct = doctor.slurm()
    assert slurm.found == "slurm 22.05.8; partitions (time limit, gres): gpu* 1-00:00:00 gpu:2"
    assert sacct.state == OK
