"""The quick start runs; the notebook about maps is run where a map is (tests/pipeline/test_map.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.docs.notebooks import FOLDER, run_notebook, texts

ROOT = Path(__file__).parents[2]


def test_the_quick_start_runs(tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    said = texts(run_notebook("quick-start.ipynb", tmp_path))
    assert "mosaic" in said[1] and "dask.array" in said[1]
    assert "train" in said[-1] and "summarise" in said[-1]
    assert any("+proj=aeqd" in text and "True" in text for text in said)


def test_notebooks_are_kept_without_outputs():
    for path in FOLDER.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")], path.name
