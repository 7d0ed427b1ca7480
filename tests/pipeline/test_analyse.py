"""A map's folder analysed: its files, its page, nothing twice, and whatever it was made of found again."""

import json
import shutil

import geopandas
import pandas as pd
import pytest
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.config import AnalysisOptions
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.pipeline.analyse import run_analysis
from tests.analysis import cases

EJMAPS = [
    *("radius", "invalid", "blanket_radius", "area", "blanket_area", "rays_area", "max_distance"),
    *(f"distance_{share}" for share in (99, 95, 90, 75, 50, 25)),
    *("bar_x", "bar_y", "ray_bar_x", "ray_bar_y"),
    *(f"{name}_sect{number}" for name in ("area", "distmax", "ray") for number in range(8)),
    *("blanket_band1", "blanket_band2", "ray_band1", "ray_band2"),
]
"""Columns of EJMAP's tables, in their order, with the bands of this mosaic."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with data and a map whose masks are the truth."""
    root = tmp_path_factory.mktemp("it's a project")
    (root / "configs").mkdir()
    cases.write_world(root / "data" / "world", fids=(1, 4, 12))
    folder = root / "results" / "output_masks" / "the map"
    folder.mkdir(parents=True)
    for path in (root / "data" / "world" / "masks").iterdir():
        shutil.copy(path, folder / f"cylindrical_{path.name}")
    drawn = root / "data" / "world" / "cyl_data"
    drawn.mkdir()
    shutil.copy(root / "data" / "world" / "masks" / "mask_crater_4.tif", drawn)
    shutil.rmtree(root / "data" / "world" / "masks")
    write_json(folder / "provenance.json", {"config": {"data": "data/world", "map": {"versions": {}}}})
    table = pd.DataFrame({"crat_FID": [1, 4, 12], "area_km2": [5.0, 9.0, 0.0]})
    table.to_csv(folder / "craters.csv", index=False)
    pd.DataFrame({"FID_a": [1], "FID_b": [4], "overlap_km2": [300.0]}).to_csv(folder / "overlaps_pairs.csv", index=False)
    return root


def test_a_map_is_analysed_from_what_it_was_made_of(project, monkeypatch):
    monkeypatch.chdir(project)
    answer = CliRunner().invoke(app, ["analyse", "the map", "--pictures", "1", "--min-size", "20", "--json"])
    assert answer.exit_code == 0, answer.output
    refused = CliRunner().invoke(app, ["analyse", "the map", "--where", "radius_m > 2e4"])
    assert refused.exit_code == 2 and "where: the map is a map of ejecta" in refused.output
    found = json.loads(answer.stdout)
    assert (found["craters"], found["with_ejecta"], found["drawn"], found["done"]) == (3, 2, 1, "now")
    folder = project / "results" / "output_masks" / "the map"
    assert all((folder / name).exists() for name in found["files"])
    assert {"analysis/crater_4.png", "analysis/overlaps.png", "analysis/radii.png"} <= set(found["files"])
    overlaps, clean, drawn = (pd.read_csv(folder / f"analysis_{name}.csv", index_col="crat_FID") for name in ("overlaps", "clean", "hm"))
    assert [*overlaps.columns[: len(EJMAPS)]] == EJMAPS and list(overlaps) == list(clean) == list(drawn)
    assert {"blanket_radius_m", "max_distance_m", "area_km2", "rays_area_km2"} <= set(overlaps.columns[len(EJMAPS) :])
    # The drawn mask is the mapped one, without the neighbour that takes ground from it.
    pd.testing.assert_series_equal(drawn.loc[4].drop("invalid"), overlaps.loc[4].drop("invalid"))
    assert not drawn.loc[4, "invalid"] and overlaps.loc[4, "invalid"]
    layer = geopandas.read_file(folder / "analysis.gpkg", layer="analysis_clean")
    assert list(layer["crat_FID"]) == [1, 4, 12] and layer.crs.is_geographic
    assert "Crater 4" in (folder / "analysis.html").read_text()
    again = run_analysis(folder, options=AnalysisOptions(min_size=20, pictures=1))
    assert again["done"] == "before" and again["files"] == found["files"]


def test_other_masks_write_into_results_not_into_data(project, monkeypatch):
    monkeypatch.chdir(project)
    found = run_analysis(project / "data" / "world", options=AnalysisOptions(pictures=0))
    assert (project / "results" / "analysis" / "world" / "analysis_overlaps.csv").exists() and found["craters"] == 1
    assert not list((project / "data").rglob("analysis*"))


def test_a_map_to_correct_names_its_configuration(project, monkeypatch):
    monkeypatch.chdir(project)
    config, folder = project / "configs" / "my own.yaml", project / "results" / "output_masks" / "the map"
    words = ["label", "correct", "the map", "--craters", "1", "--tiles", "2", "--into", "corrections"]
    made = json.loads((folder / "provenance.json").read_text())
    write_json(folder / "provenance.json", made | {"config": made["config"] | {"name": "mine"}})
    named = ("mine", "data/world", "'configs/my own.yaml'")
    for name, data, said in (("another", "data/world", "CONFIG"), ("mine", "data/other", "CONFIG"), named):
        config.write_text(f"name: {name}\ndata: {data}\n")
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0 and f"cratermill label import {said} --from corrections" in answer.stdout, answer.output
    write_json(folder / "provenance.json", made)


def test_what_is_missing_is_asked_for(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(InputError, match="there is no map other") as caught:
        run_analysis("other")
    assert "the map" in str(caught.value)
    shutil.copy(project / "data" / "world" / "cyl_data" / "mask_crater_4.tif", tmp_path)
    with pytest.raises(InputError, match="which mosaic its masks lie on"):
        run_analysis(tmp_path)
    with pytest.raises(InputError, match="which craters its masks belong to"):
        run_analysis(tmp_path, mosaic=project / "data" / "world" / "mosaics" / "cylindrical_mosaic.tif")
    with pytest.raises(InputError, match="the mosaic .* is missing"):
        run_analysis(tmp_path, mosaic=tmp_path / "none.tif")
    with pytest.raises(InputError, match="3 names for the 2 band"):
        run_analysis(project / "data" / "world", options=AnalysisOptions(pictures=0, band_names=["a", "b", "c"]), into=tmp_path / "out")
