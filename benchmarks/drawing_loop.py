"""The whole loop with real networks, command by command: draw, train, map, correct the map, train again; each map against whole true masks.

From the project's folder: ``python -m benchmarks.drawing_loop``. A minute of CPU time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import rasterio

from cratermill.core.paths import DataFolder
from cratermill.labelling.drawing_folder import DrawingFolder
from tests.labelling.test_drawing import draw
from tests.tiny import CONFIG, CRATERS, EJECTA, tiny_data

Run = Callable[..., str]
"""Runs ``cratermill`` with these words in the project's folder, and returns what it printed."""


def undrawn_project(root: Path) -> Path:
    """A project with a mosaic and craters that nobody has drawn yet; the truth in ``root/whole/cyl_data``. Returns its configuration."""
    tiny_data(root / "whole")
    data = DataFolder(tiny_data(root / "data" / "tiny"))
    for path in (*(data.root / "cyl_data").iterdir(), data.human_mask, data.human_positions):
        path.unlink()
    gpd.read_file(data.craters).assign(train=0).to_file(data.craters)
    config = root / "configs" / "tiny.yaml"
    config.parent.mkdir()
    (config.parent / "ejecta.csv").write_text(EJECTA.replace("True,[0],2,3,False", "True,[0],1,,False").replace("0.1,3,20", "0.1,5,20"))
    family = "train: {ejecta: {table: configs/ejecta.csv}}\nmap: {versions: {ejecta: 8}, split: 0}\n"
    config.write_text(CONFIG.replace("count: 2", "count: 1") + family)
    return config


def map_and_compare(run: Run, config: Path, name: str, *options: str) -> float:
    """F1 of a map of all craters against their whole true masks, after training on what is drawn now."""
    run("launch", "all", config, "--set", f"map.name={name}", *options)
    return float(json.loads(run("compare", name, "truth", "--min-size", "0", "--pictures", "0", "--json"))["F1"])


def drawn(folder: Path, root: Path) -> None:
    """What a person does in QGIS, by GDAL."""
    for fid in DrawingFolder(folder).fids():
        draw(DrawingFolder(folder), fid, rasterio.open(root / "whole" / "cyl_data" / f"mask_crater_{fid}.tif").read(1))


def loop(root: Path, run: Run, fids: tuple[int, ...] = tuple(CRATERS)) -> tuple[float, float]:
    """F1 of the first map, and of the second. ``fids``: craters that are mapped, corrected and compared."""
    config = undrawn_project(root)
    config.write_text(config.read_text().replace("split: 0", f"split: 0, craters: {list(fids)}"))
    (root / "truth").mkdir()
    for fid in fids:
        shutil.copy(root / "whole" / "cyl_data" / f"mask_crater_{fid}.tif", root / "truth")
    data = DataFolder(root / "data" / "tiny")
    run("label", "start", config, "--craters", "1,3", "--tiles", "12", "--tile-px", "10", "20")
    drawn(data.drawing, root)
    run("label", "import", config, "--by", "Ada")
    first = map_and_compare(run, config, "first")

    run("label", "correct", "first", "--into", root / "corrections", "--tiles", "24")
    drawn(root / "corrections", root)
    run("label", "import", config, "--from", root / "corrections", "--by", "Bob")
    second = map_and_compare(run, config, "second", "--overwrite")

    log = pd.read_csv(data.drawing_log)
    assert set(log["by"]) == {"Ada", "Bob"} and log[log["by"] == "Bob"]["source"].str.startswith("map first ").all()
    return first, second


def command(root: Path, *words: object) -> str:
    answer = subprocess.run([sys.executable, "-m", "cratermill", *map(str, words)], cwd=root, capture_output=True, text=True)
    assert answer.returncode == 0, f"{words}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        print("F1 {:.3f}, then {:.3f}".format(*loop(Path(folder), lambda *words: command(Path(folder), *words))))
