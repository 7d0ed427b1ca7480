"""What the pages say is there: links, commands, options, files, columns and keys."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml
from pydantic import BaseModel

from cratermill.cli import app
from cratermill.config import RunConfig
from tests.docs import columns

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*/README.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```(?:sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(cratermill [^`]+)`")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    gone = [link for link in LINK.findall(text(page)) if "://" not in link and not (page.parent / link).exists()]
    assert not gone


def commands(page: Path) -> list[str]:
    """Lines of a page that begin with cratermill, in blocks and between backticks; comments and continued input left out."""
    blocks = [line.strip() for block in FENCE.findall(text(page)) for line in block.splitlines()]
    lines = [part.strip() for line in blocks for part in line.split(";") if part.strip().startswith("cratermill ")]
    return lines + INLINE.findall(text(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page):
    wrong = [command for command in commands(page) if not known(command)]
    assert not wrong


def known(command: str) -> bool:
    """Whether each verb is there and takes the options that follow it; words after the last verb are arguments."""
    here = typer.main.get_command(app)
    for word in shlex.split(command.replace("…", ""), comments=True)[1:]:
        if word.startswith("-"):
            options = {name for parameter in here.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if word.split("=")[0] not in options | set(here.get_help_option_names(typer.Context(here))):
                return False
        elif hasattr(here, "commands"):
            verbs = [part for part in word.split("|") if part]
            if not all(verb in here.commands for verb in verbs):
                return False
            here = here.commands[verbs[0]]
    return True


def test_a_wrong_command_would_be_noticed():
    assert not known("cratermill lunch train") and not known("cratermill launch train CONFIG --executer slurm")
    assert known("cratermill launch train CONFIG --executor slurm  # comment") and known("cratermill status --help")


def test_scripts_named_in_the_pages_are_there():
    named = {name for page in PAGES for name in re.findall(r"bash ((?:slurm/|tests/)?[a-z_]+\.sh)", text(page))}
    assert named and not [name for name in named if not (ROOT / name).exists()]


def test_every_column_is_explained():
    pages = columns.pages()
    assert {name for page in pages.values() for name, _ in columns.TABLE.findall(page)} == set(columns.tables())
    assert all(page == columns.filled(page) for page in pages.values()), "run: python -m tests.docs.columns"


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of a configuration's keys, as docs/config.md writes them."""
    from cratermill.config import FamilyRun
    from cratermill.core.models import models_in

    found = []
    for name, field in model.model_fields.items():
        inner = next(iter(models_in(field.annotation)), None)
        if name == "maps":
            inner = None  # its keys are those of map
        dotted = f"{prefix}{name}.<family>." if inner is FamilyRun else f"{prefix}{name}."
        found += keys(inner, dotted) if inner else [f"{prefix}{name}"]
    return found


def test_every_key_of_a_configuration_is_explained():
    page = text(ROOT / "docs" / "config.md")
    assert not [key for key in keys(RunConfig) if f"`{key}`" not in page]


def test_the_benchmarks_named_are_there():
    scripts = set(re.findall(r"`([a-z_]+\.py)`", text(ROOT / "docs" / "benchmarks.md")))
    assert scripts and all((ROOT / "benchmarks" / name).exists() for name in scripts)


def test_yaml_in_the_pages_is_yaml():
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL):
            assert isinstance(yaml.safe_load(block), dict), page.name


ENGINES = {
    "torch": ("training/loop.py", "multi-gpu.md"),
    "submitit": ("batch/by_submitit.py", "submitit.md"),
    "terratorch": ("networks/segmenter.py", "families.md"),
    "torchgeo": ("networks/backbones.py", "families.md"),
    "xarray": ("geo/arrays.py", "api.md"),
    "rioxarray": ("api.py", "api.md"),
    "dask": ("geo/blocks.py", "rasters.md"),
    "dask_jobqueue": ("batch/dask_cluster.py", "rasters.md"),
    "numexpr": ("core/formulas.py", "formulas.md"),
    "imgaug": ("samples/augment.py", "families.md"),
    "pandas": ("craters/catalogue.py", "api.md"),
}
"""Libraries that carry a feature: the module that does it, and the page that names them."""


@pytest.mark.parametrize("package", ENGINES)
def test_named_libraries_do_the_work_that_the_pages_say(package):
    module, page = ENGINES[package]
    assert package.replace("_", "-") in text(ROOT / "docs" / page).lower()
    assert calls_of(ROOT / "code" / "cratermill" / module, package), f"{module} never calls {package}"


def calls_of(path: Path, package: str) -> list[str]:
    """Calls in a module of what it imports from a package when it runs, whatever it is called there."""
    tree = ast.parse(text(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {(one.asname or one.name).split(".")[0] for one in node.names if one.name.split(".")[0] == package}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == package:
            bound |= {one.asname or one.name for one in node.names}
    called = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [name for name in called if name.split(".")[0] in bound]


def test_a_library_that_is_only_named_would_be_noticed(tmp_path):
    (tmp_path / "x.py").write_text(
        "import dask\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import xarray\nxarray.open_zarr()\n"
    )
    assert not calls_of(tmp_path / "x.py", "dask") and not calls_of(tmp_path / "x.py", "xarray")


def test_the_picture_of_the_wings_shows_their_imports():
    """Imports between the folders and files directly in the package, also those in functions, without arrows that follow from others."""
    package, imports = ROOT / "code" / "cratermill", {}
    for path in package.rglob("*.py"):
        place = path.relative_to(package).with_suffix("").parts
        for node in ast.walk(ast.parse(text(path))):
            if isinstance(node, ast.ImportFrom) and node.level == len(place):
                found = {node.module.split(".")[0]} if node.module else {name.name for name in node.names}
                imports.setdefault(place[0], set()).update(found - {place[0], "__version__"})

    def reached(wing: str) -> set[str]:
        return set().union(*({one} | reached(one) for one in imports.get(wing, ())))

    arrows = {(wing, one) for wing, ones in imports.items() for one in ones if not any(one in reached(other) for other in ones)}
    picture = re.search(r"```mermaid\n(.*?)```", text(ROOT / "docs" / "design.md"), re.DOTALL)[1]
    assert set(re.findall(r"(\w+) --> (\w+)", picture)) == {arrow for arrow in arrows if not arrow[0].startswith("__")}
