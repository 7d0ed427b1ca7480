"""install.sh, uninstall.sh and the launcher on a copy of the project; uv and conda are played by short scripts.

That the real uv builds the real environment is shown by every run of tests/run.sh.
"""

import resource
import shutil
import subprocess
import sys

import pytest

SCRIPTS = ["install.sh", "uninstall.sh", "slurm/launch_training.sh", "slurm/launcher.sh", "tests/run.sh"]
SOURCES = ["pyproject.toml", "environment.yml", "requirements.lock", "requirements-dev.lock"]

# Plays uv: notes its arguments, makes what the real one would make, fails with $UV_FAILS_WITH when told.
FAKE_UV = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$FAKE_CALLS"
if [ "$1" != --version ] && [ -n "${UV_FAILS_WITH:-}" ]; then echo "error: $UV_FAILS_WITH" >&2; exit 2; fi
case "$1 $2" in
  "venv "*)
    mkdir -p .venv/bin
    printf '#!/bin/sh\\nexit 0\\n' >.venv/bin/python
    chmod +x .venv/bin/python ;;
  "pip install")
    printf '#!/usr/bin/env bash\\nprintf "[%%s]" "$@"; echo; pwd\\n' >.venv/bin/cratermill
    chmod +x .venv/bin/cratermill ;;
esac
"""

FAKE_CONDA = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$FAKE_CALLS"
if [ "$1" = --version ]; then exit 0; fi
mkdir -p .venv/bin .venv/conda-meta
printf '#!/bin/sh\\nexit 0\\n' >.venv/bin/python
cp .venv/bin/python .venv/bin/cratermill
chmod +x .venv/bin/*
"""

# Plays a Python whose `-m venv` and `pip install` put that uv into .tools.
PYTHON_THAT_BRINGS_UV = """#!/usr/bin/env bash
case "$*" in
  *version_info*) echo 3.11 ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *"pip install"*) cp "$(command -v uv.txt)" .tools/uv/bin/uv ;;
esac
"""


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


class Copy:
    """A copy of the project's scripts in a folder with an awkward name, and a PATH that holds only what a test puts there."""

    def __init__(self, tmp_path, source):
        self.root = tmp_path / "it's a $HOME copy"
        self.bin, self.calls_file = tmp_path / "bin", tmp_path / "calls"
        self.bin.mkdir()
        for name in SCRIPTS + SOURCES:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, self.root / name)
        for folder in ("data", "results", "log"):
            (self.root / folder).mkdir()
            (self.root / folder / "README.md").write_text("kept")
        self.python("python3.11", "3.11")

    def python(self, name, version):
        """Put a Python of that version on the PATH; it answers only the question for its version."""
        return script(self.bin / name, f'#!/bin/sh\ncase "$*" in *version_info*) echo {version} ;; *) exit 1 ;; esac\n')

    def tool(self, name, text):
        script(self.bin / name, text)

    def run(self, name, *arguments, cwd="/", **environment):
        env = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.root.parent), "FAKE_CALLS": str(self.calls_file), **environment}
        command = ["bash", str(self.root / name), *arguments]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def calls(self):
        return [line for line in self.calls_file.read_text().splitlines() if line != "--version"] if self.calls_file.exists() else []

    def names(self):
        return sorted(path.name for path in self.root.iterdir())


def cpu_of_programs():
    """Seconds that programs which this process started have computed; other work on the machine doesn't lengthen them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def bare(tmp_path, project_folder):
    """No uv, no conda, and a system Python that counts only when a test asks for it."""
    copy = Copy(tmp_path, project_folder)
    for name in ("uv", "conda", "mamba", "micromamba", "python3", "python", "python3.12", "python3.13", "python3.14"):
        copy.tool(name, "#!/bin/sh\nexit 127\n")
    return copy


@pytest.fixture
def copy(bare):
    bare.tool("uv", FAKE_UV)
    bare.before = bare.names()
    return bare


def test_installs_once_and_only_into_ignored_folders(copy):
    first = copy.run("install.sh")
    assert first.returncode == 0, first.stderr
    assert "launch_training.sh" in first.stdout
    assert [call.split(" --")[0].split(" ")[0:2] for call in copy.calls()] == [["venv"], ["pip", "sync"], ["pip", "install"]]
    assert "requirements.lock" in copy.calls()[1]
    assert copy.names() == sorted([*copy.before, ".venv", ".tools"])
    spent = cpu_of_programs()
    second = copy.run("install.sh")
    assert cpu_of_programs() - spent < 2
    assert (second.returncode, len(copy.calls())) == (0, 3)
    assert "Nothing to do" in second.stdout
    assert copy.run("install.sh", "--quiet").stdout == ""


def test_dev_adds_to_what_is_there_and_stays(copy):
    copy.run("install.sh")
    copy.run("install.sh", "--dev")
    assert [call.split()[0:2] for call in copy.calls()[3:]] == [["pip", "sync"], ["pip", "install"]]
    assert "requirements-dev.lock" in copy.calls()[3]
    assert "Nothing to do" in copy.run("install.sh").stdout


def test_changed_lock_is_installed(copy):
    copy.run("install.sh")
    with (copy.root / "requirements.lock").open("a") as lock:
        lock.write("another==1.0\n")
    assert "Done" in copy.run("install.sh").stdout


def test_moved_folder_is_built_anew(copy):
    copy.run("install.sh")
    moved = copy.root.with_name("moved")
    copy.root.rename(moved)
    copy.root = moved
    copy.run("install.sh")
    assert sum(call.startswith("venv") for call in copy.calls()) == 2


def test_interrupted_installation_goes_on(copy):
    assert copy.run("install.sh", UV_FAILS_WITH="boom").returncode == 1
    assert copy.run("install.sh").returncode == 0
    assert "Nothing to do" in copy.run("install.sh").stdout


@pytest.mark.parametrize(
    ("failure", "given", "next_step"),
    [
        ("failed to copy: No space left on device (os error 28)", "the disk is full", "it goes on where it stopped"),
        ("Disk quota exceeded (os error 122)", "the disk is full", "it goes on where it stopped"),
        ("error sending request for url", "package index can't be reached", "login node"),
        ("dns error: failed to lookup address", "package index can't be reached", "login node"),
        ("failed to open file: Permission denied (os error 13)", "can't be written", "writable"),
        ("something else", "its last lines are above", "run install.sh again"),
    ],
)
def test_failures_say_what_to_do(copy, failure, given, next_step):
    answer = copy.run("install.sh", UV_FAILS_WITH=failure)
    assert answer.returncode == 1
    assert given in answer.stderr
    assert next_step in answer.stderr
    assert failure in (copy.root / ".tools" / "install.log").read_text()


def test_too_little_space_is_said_before_anything_is_made(copy):
    copy.tool("df", "#!/bin/sh\nprintf 'Filesystem\\nx 1 1 2048 1 /\\n'\n")
    answer = copy.run("install.sh")
    assert answer.returncode == 1
    assert "2 MB free" in answer.stderr
    assert copy.names() == copy.before


def test_no_python(copy):
    copy.tool("python3.11", "#!/bin/sh\nexit 127\n")
    answer = copy.run("install.sh")
    assert answer.returncode == 1
    assert "no Python 3.11 to 3.14 found" in answer.stderr
    assert "module load" in answer.stderr
    assert "--conda" in answer.stderr


def test_old_python_is_named_and_a_fitting_one_preferred(copy):
    copy.tool("python3.11", "#!/bin/sh\nexit 127\n")
    copy.python("python3", "3.9")
    assert "python3 is 3.9" in copy.run("install.sh").stderr
    copy.python("python3.12", "3.12")
    assert copy.run("install.sh").returncode == 0
    assert str(copy.bin / "python3.12") in copy.calls()[0]


def test_python_can_be_chosen(copy):
    chosen = copy.python("my python", "3.13")
    assert copy.run("install.sh", "--python", "./bin/my python", cwd=copy.root.parent).returncode == 0
    assert f"--python {chosen.parent}/my python" in copy.calls()[0].replace("/./", "/")
    refused = copy.run("install.sh", "--python", "3.9")
    assert refused.returncode == 1
    assert "--python 3.9 is not a Python 3.11 to 3.14" in refused.stderr


def test_unknown_option(copy):
    answer = copy.run("install.sh", "--devel")
    assert answer.returncode == 2
    assert "--devel" in answer.stderr
    assert "Usage" in answer.stderr


def test_foreign_environment_is_left_alone(copy):
    (copy.root / ".venv").mkdir()
    (copy.root / ".venv" / "precious").touch()
    assert "did not make it" in copy.run("install.sh").stderr
    copy.run("uninstall.sh")
    assert (copy.root / ".venv" / "precious").exists()


def test_brings_its_own_uv(bare):
    bare.tool("uv.txt", FAKE_UV)
    bare.tool("python3.11", PYTHON_THAT_BRINGS_UV)
    answer = bare.run("install.sh")
    assert answer.returncode == 0, answer.stderr
    assert "Fetching uv" in answer.stderr
    assert (bare.root / ".tools" / "uv" / "bin" / "uv").exists()
    assert len(bare.calls()) == 3
    bare.run("uninstall.sh")
    assert not (bare.root / ".tools").exists()


def test_python_without_venv_and_pip(bare):
    answer = bare.run("install.sh")
    assert answer.returncode == 1
    assert "apt-get install python3-venv" in answer.stderr


@pytest.mark.parametrize(("tool", "verbs"), [("conda", "env create"), ("mamba", "env create"), ("micromamba", "create --yes")])
def test_conda_when_asked(bare, tool, verbs):
    bare.tool(tool, FAKE_CONDA)
    answer = bare.run("install.sh", "--conda")
    assert answer.returncode == 0, answer.stderr
    assert bare.calls() == [f"{verbs} --prefix {bare.root}/.venv --file environment.yml"]
    assert "Nothing to do" in bare.run("install.sh").stdout
    with (bare.root / "environment.yml").open("a") as file:
        file.write("  - another\n")
    assert bare.run("install.sh").returncode == 0
    assert bare.calls()[1].split()[0] == ("install" if tool == "micromamba" else "env")


def test_no_conda_there(bare):
    answer = bare.run("install.sh", "--conda")
    assert answer.returncode == 1
    assert "neither micromamba, mamba nor conda found" in answer.stderr


def test_uninstall_removes_just_that(copy):
    copy.run("install.sh")
    for folder in ("data", "results", "log"):
        (copy.root / folder / "mine").mkdir()
    assert copy.run("uninstall.sh").returncode == 0
    assert copy.names() == copy.before
    assert all((copy.root / folder / "mine").exists() for folder in ("data", "results", "log"))
    assert copy.run("uninstall.sh").returncode == 0


def test_uninstall_deletes_data_only_when_told_twice(copy):
    copy.run("install.sh")
    for name in ("data/mine", "data/.hidden", "log/mine"):
        (copy.root / name).touch()
    refused = copy.run("uninstall.sh", "--data")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert (copy.root / ".venv").exists()
    assert copy.run("uninstall.sh", "--data", "--yes").returncode == 0
    assert [path.name for path in (copy.root / "data").iterdir()] == ["README.md"]
    assert (copy.root / "log" / "mine").exists()
    copy.run("uninstall.sh", "--all", "--yes")
    assert [path.name for path in (copy.root / "log").iterdir()] == ["README.md"]


def test_uninstall_takes_a_linked_folder_as_a_link(copy, tmp_path):
    copy.run("install.sh")
    elsewhere = tmp_path / "shared data"
    elsewhere.mkdir()
    (elsewhere / "mosaic.tif").touch()
    shutil.rmtree(copy.root / "data")
    (copy.root / "data").symlink_to(elsewhere)
    answer = copy.run("uninstall.sh", "--data", "--yes")
    assert answer.returncode == 0, answer.stderr
    assert f"Removed the link data; what it led to, {elsewhere}, is as it was." in answer.stdout
    assert not (copy.root / "data").is_symlink()
    assert (elsewhere / "mosaic.tif").exists()


def test_packages_are_compiled_at_installation(copy, bare):
    """Also where an older script installed them, and whatever Python is told in the environment."""
    copy.run("install.sh", PYTHONDONTWRITEBYTECODE="1")
    assert "--compile-bytecode" in copy.calls()[1]
    stamp = copy.root / ".tools" / "stamp"
    stamp.write_text(stamp.read_text().replace("bytecode=1\n", ""))
    assert "Done" in copy.run("install.sh").stdout
    bare.tool("conda", FAKE_CONDA.replace("exit 0\\n", 'echo "python $*" >>"$FAKE_CALLS"\\n'))
    assert bare.run("install.sh", "--conda", PYTHONDONTWRITEBYTECODE="1").returncode == 0
    assert [call for call in bare.calls() if "compileall" in call][0].startswith("python -m compileall -q -j 0")


def test_launcher_runs_the_demo_without_a_config(copy):
    answer = copy.run("slurm/launch_training.sh")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-2:] == ["[demo]", str(copy.root)]
    assert copy.run("slurm/launch_training.sh", "--workers", "2").stdout.splitlines()[0] == "[demo][--workers][2]"


def test_launcher_takes_a_config_from_where_the_user_stands(copy, tmp_path):
    folder = tmp_path / "my configs"
    folder.mkdir()
    (folder / "a run.yaml").touch()
    answer = copy.run("slurm/launch_training.sh", "a run.yaml", "--dry-run", cwd=folder)
    assert f"[launch][train][{folder}/a run.yaml][--executor][local][--dry-run]" in answer.stdout
    answer = copy.run("slurm/launch_training.sh", "configs/demo/demo.yaml")
    assert "[launch][train][configs/demo/demo.yaml][--executor][local]" in answer.stdout


def test_launcher_keeps_the_exit_code(copy):
    copy.run("install.sh")
    script(copy.root / ".venv" / "bin" / "cratermill", "#!/bin/sh\nexit 2\n")
    assert copy.run("slurm/launch_training.sh", "x.yaml").returncode == 2


def test_unwritable_folder(copy, read_only):
    read_only(copy.root)
    answer = copy.run("install.sh")
    assert answer.returncode == 1
    assert "can't be written" in answer.stderr


def test_this_project_is_installed_by_its_own_script(project_folder):
    if not (project_folder / ".tools" / "stamp").exists():
        pytest.skip(f"{sys.prefix} was not made by install.sh")
    answer = subprocess.run(["bash", str(project_folder / "install.sh"), "--dev"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
