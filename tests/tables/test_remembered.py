"""What libraries say of themselves is kept on disk: checks of tables import none of them, and say the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cratermill.core import remembered as module
from cratermill.core.remembered import remembered

HEAVY = ("torch", "timm", "torchgeo", "terratorch", "segmentation_models_pytorch", "pandas", "numpy")
CHECK = f"""
import sys
from cratermill.cli import main
sys.argv = ["cratermill", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_rows_are_checked_without_their_libraries(project_folder):
    for family in ("ejecta", "connection"):
        table = project_folder / "configs" / f"{family}_version_hparams.csv"
        for _ in range(2):  # the first time may have to ask
            command = [sys.executable, "-c", CHECK, "versions", "check", str(table), "--family", family]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "all sound" in said and said.splitlines()[-1] == "[]"


def test_kept_until_a_package_changes(tmp_path, monkeypatch):
    monkeypatch.setenv(module.FOLDER_VARIABLE, str(tmp_path / "kept"))
    asked = []

    def make():
        asked.append(1)
        return {"names": ["a", "ü"]}

    def ask():
        module._mark.cache_clear()
        return remembered("test", ("a-package",), ("cratermill.core.remembered",), make)

    monkeypatch.setattr(module, "_version", lambda package: "1.0")
    assert ask() == ask() == {"names": ["a", "ü"]} and len(asked) == 1
    monkeypatch.setattr(module, "_version", lambda package: "1.1")
    assert ask() == {"names": ["a", "ü"]} and len(asked) == 2
    for path in (tmp_path / "kept").glob("*.json"):
        path.write_text(json.dumps({"value": 1})[:-2])
    ask()
    assert len(asked) == 3, "a broken file is made again"


def test_a_place_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(module.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    assert remembered("test", (), (), lambda: 7) == 7


@pytest.mark.parametrize("library", ["timm", "smp", "torchgeo"])
def test_the_kept_names_are_the_libraries_own(library):
    from cratermill.networks.listing import _look, listing

    assert json.loads(json.dumps(_look(library))) == listing(library)
