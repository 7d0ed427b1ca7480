"""The demo as a stranger runs it, on a smaller planet and with fewer epochs."""

import csv
import shutil

import pytest

from cratermill.core.errors import InputError
from cratermill.pipeline import demo

PLANET = {"body": "mercury", "shape": (128, 256), "seed": 3, "n_fresh": 10, "train_fraction": 0.9}


def shortened(table, rows, **changes):
    """The first rows of a table with some cells changed."""
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))[:rows]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows({**line, **changes} for line in lines)


@pytest.fixture
def project(tmp_path, project_folder, monkeypatch):
    folder = tmp_path / "a demo's project"
    shutil.copytree(project_folder / "configs", folder / "configs")
    config = folder / "configs" / "demo" / "demo.yaml"
    config.write_text(config.read_text().replace("[32, 64]", "[16, 32]").replace("eval_size_px: 32", "eval_size_px: 16"))
    changes = {"max_epochs": "1", "trainings_per_test": "1", "test-set": "[0]", "batch_size": "4"}
    shortened(folder / "configs" / "demo" / "connection_version_hparams.csv", 1, **changes)
    shortened(folder / "configs" / "demo" / "ejecta_version_hparams.csv", 1, **changes)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(demo, "PLANET", PLANET)
    return folder


@pytest.mark.slow
def test_planet_to_map_and_again(project, capfd):
    assert demo.run_demo() == 0
    said = capfd.readouterr().out
    assert [line[:5] for line in said.splitlines() if line.startswith("[") and line[2] == "/"] == [f"[{step}/3]" for step in (1, 2, 3)]
    assert "Precision" in said and "10 craters" in said, "the demo ends with the truth"
    named = [line.split()[-1] for line in said[said.index("Look at:") :].splitlines()[1:-1]]
    assert all((project / name).exists() for name in named)
    assert {"preview.png", "index.html", "leaderboard.csv"} <= {name.rpartition("/")[2] for name in named}
    assert not list(project.rglob("*.part"))
    assert demo.run_demo() == 0
    again = capfd.readouterr().out
    assert "train_" not in again, "nothing is trained twice"


def test_demo_needs_its_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "code" / "cratermill" / "demo.py"))
    with pytest.raises(InputError, match="clone"):
        demo.find_demo()
