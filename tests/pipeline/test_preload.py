"""What the parent of a launch's workers loads for them."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

from cratermill.pipeline import LIBRARIES, STAGES, run_cell


def test_whatever_is_loaded_beforehand_exists():
    """A name that was misspelt, or has gone from a library, is passed over without a word."""
    assert LIBRARIES.keys() == STAGES.keys()
    missing = [name for names in LIBRARIES.values() for name in names if importlib.util.find_spec(name) is None]
    assert not missing


def test_loading_is_spoken_of_by_the_first_cell_of_a_process_alone(tmp_path, monkeypatch):
    told: list[str] = []
    workspace = SimpleNamespace(report=lambda doing: told.append(doing))
    plan, cell = SimpleNamespace(config={"name": "x", "data": "data"}, root=tmp_path), SimpleNamespace(stage="map")
    module = SimpleNamespace(run=lambda *_: {"done": 1})
    monkeypatch.delitem(sys.modules, "cratermill.pipeline.mapping", raising=False)
    monkeypatch.setattr("importlib.import_module", lambda name: monkeypatch.setitem(sys.modules, name, module) or module)
    assert run_cell(plan, cell, workspace) == run_cell(plan, cell, workspace) == {"done": 1}
    assert told == ["loading libraries", "loading networks", "loading networks"]
