"""Notebooks of docs/, run from top to bottom as their reader would, but for cells tagged ``slow``."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"


def run_notebook(name: str, project: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, after it was run in a project's folder; an error of a cell is raised."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "slow" not in cell.metadata.get("tags", [])]
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(project)}}).execute()
    return notebook


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """What the code cells printed or returned, as text."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return ["".join(str(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in cell.outputs) for cell in cells]
