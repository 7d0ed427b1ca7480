"""What a configuration asks of a finished map, as cells of a plan: it is done on the map's folder, and the files are named."""

import shutil
from types import SimpleNamespace

from cratermill.core.files import read_json, write_json
from cratermill.pipeline import asked
from cratermill.pipeline.load_config import parse_config
from tests.analysis import cases


def test_analysis_and_comparison_name_the_files_that_must_stay(tmp_path):
    data = cases.write_world(tmp_path / "data" / "world", fids=(1,))
    folder = tmp_path / "results" / "output_masks" / "the map"
    folder.mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    shutil.copy(data / "masks" / "mask_crater_1.tif", folder / "cylindrical_mask_crater_1.tif")
    asks = {"versions": {"ejecta": 1}, "analyse": True, "compare": "data/world/masks"}
    write_json(folder / "provenance.json", {"config": {"data": "data/world", "map": {"versions": {}}}})
    config, reports = parse_config({"name": "x", "data": "data/world", "map": asks}, tmp_path), []
    workspace = SimpleNamespace(keep_going=lambda: None, report=lambda **told: reports.append(told))
    found = {}
    for stage in ("analyse", "compare"):
        cell = SimpleNamespace(stage=stage, params={"map": 0, "name": "the map"})
        found[stage] = asked.run(config, None, cell, workspace)
    assert found["analyse"]["craters"] == found["compare"]["craters"] == 1 and reports
    assert found["compare"]["F1"] == 1 == read_json(folder / "compare_masks" / "scores.json")["F1"]
    assert found["compare"]["results"] == ["results/output_masks/the map/compare_masks/index.html"]
    assert all((tmp_path / name).is_relative_to(folder) and (tmp_path / name).exists() for one in found.values() for name in one["results"])
    assert len(found["analyse"]["results"]) > 3 and str(tmp_path) not in str(found)
