"""What a configuration asks of a finished map, as cells of a plan: it is done on the map's folder, and the files are named."""

import shutil
from types import SimpleNamespace

import geopandas as gpd
import pandas as pd
import pytest

from cratermill.config import AnalysisOptions, CompareOptions, MapRuns
from cratermill.core.errors import InputError
from cratermill.core.files import read_json, write_json
from cratermill.pipeline import map_analysis
from cratermill.pipeline.load_config import parse_config
from cratermill.pipeline.plan_maps import truth_path
from tests.analysis import cases


def test_analysis_and_comparison_name_the_files_that_must_stay(tmp_path):
    data = cases.write_world(tmp_path / "data" / "world", fids=(1,))
    folder = tmp_path / "results" / "output_masks" / "the map"
    folder.mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    shutil.copy(data / "masks" / "mask_crater_1.tif", folder / "cylindrical_mask_crater_1.tif")
    asks = {"versions": {"ejecta": 1}, "analyse": {"pictures": 0}, "compare": ["other", {"truth": "data/world/masks", "scales": [3]}]}
    write_json(folder / "provenance.json", {"config": {"data": "data/world", "map": {"versions": {}}}})
    config, reports = parse_config({"name": "x", "data": "data/world", "map": asks}, tmp_path), []
    workspace = SimpleNamespace(keep_going=lambda: None, report=lambda **told: reports.append(told))
    found = {}
    for stage in ("analyse", "compare"):
        cell = SimpleNamespace(stage=stage, params={"map": 0, "name": "the map", "number": 1})
        found[stage] = map_analysis.run(config, None, cell, workspace)
    assert found["analyse"]["craters"] == found["compare"]["craters"] == 1 and reports
    assert found["compare"]["F1"] == 1 == read_json(folder / "compare_masks" / "scores.json")["F1"]
    assert found["compare"]["results"] == ["results/output_masks/the map/compare_masks/index.html"]
    assert all((tmp_path / name).is_relative_to(folder) and (tmp_path / name).exists() for one in found.values() for name in one["results"])
    scales = pd.read_csv(folder / "compare_masks" / "scores.csv").query("by == 'scale'")["part"].tolist()
    assert scales == ["3 px"] and not list(folder.glob("analysis/crater_*.png"))
    assert len(found["analyse"]["results"]) > 3 and str(tmp_path) not in str(found)


def test_a_crater_list_is_counted_and_matched(tmp_path):
    """Maps of craters hold lists instead of masks."""
    folder = tmp_path / "results" / "output_masks" / "a list"
    data = cases.write_world(tmp_path / "data" / "world", fids=())
    folder.mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    shutil.copy(data / "ejc_data" / "fresh_craters.csv", folder / "craters.csv")
    write_json(folder / "provenance.json", {"area_km2": 5e5, "config": {"data": "data/world"}})
    asks = {"versions": {"crater_unet": 1}, "analyse": {"area_km2": 2e5, "diameters": [50, 200]}, "compare": "truth.gpkg"}
    truth = pd.read_csv(folder / "craters.csv")
    frame = gpd.GeoDataFrame(truth, geometry=gpd.points_from_xy(truth["center_lon"], truth["center_lat"]), crs=cases.BODY.geographic_crs())
    frame.to_file(tmp_path / "truth.gpkg")
    config = parse_config({"name": "x", "data": "data/world", "map": asks}, tmp_path)
    workspace = SimpleNamespace(keep_going=lambda: None, report=lambda **told: None)
    found = {
        stage: map_analysis.run(config, None, SimpleNamespace(stage=stage, params={"map": 0, "name": "a list", "number": 0}), workspace)
        for stage in ("analyse", "compare")
    }
    assert found["analyse"]["area_km2"] == 2e5 and found["compare"]["F1_strict"] == 1
    assert all((tmp_path / name).exists() for one in found.values() for name in one["results"]) and found["compare"]["results"]


@pytest.mark.parametrize("given", [{"diameters": (1, 2)}, {"by": "depth"}, {"where": "lon < 0"}])
def test_options_of_lists_are_refused_for_ejecta(tmp_path, given):
    with pytest.raises(InputError, match=f"{next(iter(given))}: .* is a map of ejecta"):
        map_analysis.compared(tmp_path, tmp_path, CompareOptions(**given))


def test_options_of_ejecta_are_refused_for_lists(tmp_path):
    path = tmp_path / "craters.csv"
    path.write_text("lon,lat,diameter_km\n1,2,3\n")
    for given in ({"min_size": 5}, {"scales": []}, {"pictures": 0}, {"calibrate": "isotonic"}):
        with pytest.raises(InputError, match=f"{next(iter(given))}: craters.csv holds a crater list"):
            map_analysis.compared(path, path, CompareOptions(**given))
    with pytest.raises(InputError, match="craters: craters.csv holds a crater list"):
        map_analysis.compared(path, path, CompareOptions(), craters=path)
    with pytest.raises(InputError, match="band_names, drawn: craters.csv"):
        map_analysis.analysed(path, AnalysisOptions(band_names=["b1"]), drawn=tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("analyse", {"min_sise": 3}, "min_size"),
        ("analyse", {"pictures": -1}, "greater than or equal to 0"),
        ("compare", {"scales": [2]}, "truth: missing"),
        ("compare", {"truth": "x", "scales": [2, 2]}, "different whole numbers"),
        ("compare", {"truth": "x", "calibrate": "temprature"}, "'temperature' or 'isotonic'"),
    ],
)
def test_options_that_cannot_be_used_are_named(tmp_path, key, value, said):
    with pytest.raises(InputError, match=said):
        parse_config({"name": "x", "data": "d", "map": {"versions": {"ejecta": 1}, key: value}}, tmp_path)


def test_a_truth_that_is_not_there_is_said_before_anything_runs(tmp_path):
    config = parse_config({"name": "x", "data": "d", "map": {"versions": {"ejecta": 1}, "compare": "nowhere"}}, tmp_path)
    with pytest.raises(InputError, match=r"map.compare names nowhere.*no map of this name"):
        truth_path(config, "nowhere")
    assert MapRuns(versions={"ejecta": 1}, analyse=False).analyse is None
