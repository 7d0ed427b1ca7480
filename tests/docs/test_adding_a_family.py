"""The family of docs/adding-a-family.md, built from that page as a package of its own, from its table to the leaderboard."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.core.errors import InputError
from cratermill.families import FAMILIES, family_names, get_family
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import wanted_rows
from tests.tiny import tiny_data

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-family.md"
BLOCK = re.compile(r"```(?:python|csv|yaml|toml)\n# (\S+)\n(.*?)```", re.DOTALL)


def install(site: Path, name: str, entry_points: str) -> None:
    """What an installer leaves behind of a package's metadata."""
    info = site / f"{name}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder on the path of imports; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "cratermill_tone"]:
        del sys.modules[name]


def test_the_page_makes_a_family_that_trains(site, tmp_path):
    root = tmp_path / "project"
    for name, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        path = (root if name.startswith("configs/") else site) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    entry = re.search(r'entry-points."cratermill.families"\]\n(.*?)\n', (site / "pyproject.toml").read_text() + "\n")[1].replace('"', "")
    install(site, "cratermill_tone", f"[cratermill.families]\n{entry}\n")
    tiny_data(root / "data" / "tiny")

    config = load_config(root / "configs" / "tone.yaml")
    assert family_names() == [*FAMILIES, "tone"]
    family, rows = get_family("tone"), wanted_rows(config)["tone"]
    assert family.prepare(config, rows, lambda *_: None)["made"] == ["tone 16 px"]
    assert family.prepare(config, rows, lambda *_: None)["made"] == []
    plan = plan_training(config)
    freeze(plan)
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"
    board = pd.read_csv(root / "results" / "tone_results" / "leaderboard.csv")
    assert 0 < board["error_mean"].iloc[0] < 60
    shape = (root / "configs" / "tone.yaml").read_text()
    (root / "configs" / "tone.yaml").write_text(yaml.safe_dump(yaml.safe_load(shape) | {"train": {"tome": {"table": "x"}}}))
    with pytest.raises(InputError, match="unknown family 'tome'; valid: tone"):
        load_config(root / "configs" / "tone.yaml")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("odd = nowhere_at_all:Odd", "can't be imported"),
        ("odd = json:JSONDecoder", "is no Family"),
        ("ejecta = json:JSONDecoder", None),
    ],
)
def test_packages_that_bring_no_family(site, entry, said):
    install(site, "odd", f"[cratermill.families]\n{entry}\n")
    if said is None:
        assert get_family("ejecta").name == "ejecta", "those that come along can't be replaced"
        return
    with pytest.raises(InputError, match=said):
        get_family("odd")
