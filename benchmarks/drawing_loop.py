"""The whole loop with real networks: draw, train, map, correct the map, train again; scores on whole true masks, before and after.

From the project's folder: ``python -m benchmarks.drawing_loop``. Some 50 s of CPU time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import rasterio

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.config import CompareOptions
from cratermill.core.paths import DataFolder
from cratermill.labelling.verbs import Amount, Sources, correct, start, take_in
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.compare import run_comparison
from cratermill.pipeline.launch import plan_mapping, plan_training, prepare
from cratermill.pipeline.load_config import load_config
from tests.labelling.test_drawing import draw
from tests.tiny import CONFIG, EJECTA, tiny_data

TILE_PX = (10, 20)


def train_and_map(config: Path, truth: Path, name: str) -> float:
    """F1 of a map of all craters against their whole true masks, after training on what is drawn now."""
    text = config.read_text().partition("map:")[0] + f"map: {{versions: {{ejecta: 8}}, split: 0, name: {name}}}\n"
    config.write_text(text)
    prepare(config)
    for plan_of in (plan_training, plan_mapping):
        plan = plan_of(load_config(config))
        freeze(plan)
        for cell in plan.cells:
            result = run_cell(plan, cell.index, science)
            assert result.state == "done", f"{cell.key}: {result.cause}"
    folder = load_config(config).project.map_folder(name)
    return float(run_comparison(folder, truth, options=CompareOptions(scales=[], min_size=0, pictures=0), into=folder / "compared")["F1"])


def loop(tmp_path: Path) -> tuple[float, float]:
    """F1 of the first map, and of the second."""
    truth = tiny_data(tmp_path / "truth")
    masks = {fid: rasterio.open(truth / "cyl_data" / f"mask_crater_{fid}.tif").read(1) for fid in range(1, 6)}
    data = DataFolder(tiny_data(tmp_path / "data" / "tiny"))
    for path in (*(data.root / "cyl_data").iterdir(), data.human_mask, data.human_positions):
        path.unlink()
    gpd.read_file(data.craters).assign(train=0).to_file(data.craters)
    config = tmp_path / "configs" / "tiny.yaml"
    config.parent.mkdir()
    (config.parent / "ejecta.csv").write_text(EJECTA.replace("True,[0],2,3,False", "True,[0],1,,False").replace("0.1,3,20", "0.1,5,20"))
    config.write_text(CONFIG.replace("count: 2", "count: 1") + "train: {ejecta: {table: configs/ejecta.csv}}\n")
    sources = Sources(data, data.mosaic, data.craters)

    folder, _ = start(sources, craters=[1, 3], tile_px=TILE_PX, amount=Amount(tiles=12))
    for fid in (1, 3):
        draw(folder, fid, masks[fid])
    take_in(sources, by="Ada")
    first = train_and_map(config, truth, "first")

    made = load_config(config).project.map_folder("first")
    folder, _ = correct(sources, made, tmp_path / "corrections", amount=Amount(tiles=24))
    for fid in folder.fids():
        draw(folder, fid, masks[fid])
    take_in(sources, folder.root, by="Bob")
    second = train_and_map(config, truth, "second")

    log = pd.read_csv(data.drawing_log)
    assert set(log["by"]) == {"Ada", "Bob"} and log[log["by"] == "Bob"]["source"].str.startswith("map first ").all()
    return first, second


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        print("F1 {:.3f}, then {:.3f}".format(*loop(Path(folder))))
