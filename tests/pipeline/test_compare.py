"""Comparing a map with truth, from folders to files: names and columns, truth of every kind, what can't be used."""

import json
import shutil
from html import unescape

import numpy as np
import pandas as pd
import pytest
import rasterio
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.config import CompareOptions
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.core.models import checked
from cratermill.geo.bodies import Body
from cratermill.geo.grid import pixel_areas_m2
from cratermill.pipeline.compare import run_comparison
from tests.analysis import cases

EJMAP = ["Name", "F1", "F1_tiles", "Precision", "Precision_tiles", "Recall", "Recall_tiles"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with truth of two craters, drawn tiles of one, and a map that has them and one more."""
    root = tmp_path_factory.mktemp("it's a comparison")
    (root / "configs").mkdir()
    data = cases.write_world(root / "data" / "world", fids=(1, 4))
    folder = root / "results" / "output_masks" / "the map"
    folder.mkdir(parents=True)
    for fid in (1, 4):
        mask = cases.read(data / "masks" / f"mask_crater_{fid}.tif")[0] > 0
        cases.write_mask(folder / f"cylindrical_mask_crater_{fid}.tif", np.roll(mask, 4, axis=1), cases.grid())
    cases.write_mask(folder / "cylindrical_mask_crater_12.tif", np.zeros(cases.SHAPE, bool), cases.grid())
    (data / "cyl_data").mkdir()
    shutil.copy(data / "masks" / "mask_crater_4.tif", data / "cyl_data")
    row, col = (round(float(at)) for at in cases.grid().rowcol_of_lonlat(*cases.CRATERS[4][:2]))
    tiles = pd.DataFrame({"pos_index": [0], "x": [col + 10], "y": [row - 12], "height": [24], "width": [24]})
    tiles.to_csv(data / "ejc_data" / "human_positions.csv", index=False)
    write_json(folder / "provenance.json", {"config": {"data": "data/world", "map": {"versions": {}}}})
    return root


@pytest.fixture(scope="module")
def compared(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        answer = CliRunner().invoke(app, ["compare", "the map", "data/world/masks", "--pictures", "1", "--scales", "2,5", "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout), project / "results" / "output_masks" / "the map" / "compare_masks"


def test_ejmaps_tables_and_ours(compared):
    found, folder = compared
    metrics = pd.read_csv(folder / "dl_hm_metrics.csv")
    assert set(EJMAP) <= set(metrics) and metrics["Name"].tolist() == [1, 4]
    assert metrics["F1_tiles"].isna().tolist() == [True, False] and metrics["F1_tiles"][1] == 1
    assert 0.5 < found["F1_low"] <= found["F1"] <= found["F1_high"] < 1 and found["F1_of_craters_min"] == metrics["F1"].min()
    for score in ("precision", "recall", "f1"):
        squares, rings = (pd.read_csv(folder / f"dl_hm_{score}_{part}.csv") for part in ("sq", "ring"))
        assert list(squares) == ["Name", "1", "4"] and squares["Name"].tolist() == [f"Square {number}" for number in (1, 2, 3, 4)]
        assert rings["Ring"].tolist() == ["Blanket_HM", "Blanket_DL", *map(str, range(1, 11))]
        column = {"precision": "Precision", "recall": "Recall", "f1": "F1"}[score]
        np.testing.assert_allclose(rings[["1", "4"]].iloc[-1], metrics[column])  # the last circle holds all
    assert list(pd.read_csv(folder / "blankets.csv"))[:5] == ["Name", "dl_radius", "hm_radius", "dl_quantile", "hm_quantile"]
    parts = pd.read_csv(folder / "scores.csv")
    assert {"all", "quadrant", "ring", "distance", "overlap", "scale"} == set(parts["by"])
    assert parts.loc[parts["by"] == "scale", "part"].tolist() == ["2 px", "5 px"]
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png") == 3 and "95 %" in page
    # The truth of crater 4 is the mask that the fixture put among the training's, and that is said.
    assert found["learned_from"] == [4] and any("learned from" in note and note in unescape(page) for note in found["notes"])


def test_a_raster_says_where_map_and_truth_differ(compared, project):
    found, folder = compared
    truth = {fid: cases.read(project / "data" / "world" / "masks" / f"mask_crater_{fid}.tif")[0] > 0 for fid in (1, 4)}
    mapped = {fid: np.roll(mask, 4, axis=1) for fid, mask in truth.items()}
    alone = np.any([mapped[fid] & ~truth[fid] for fid in truth], axis=0)
    missed = np.any([truth[fid] & ~mapped[fid] for fid in truth], axis=0)
    either = np.any([*truth.values(), *mapped.values()], axis=0)
    expected = np.where(alone & missed, 4, np.where(alone, 2, np.where(missed, 3, either)))
    assert set(np.unique(expected)) == {0, 1, 2, 3, 4}
    with rasterio.open(folder / "difference_all.tif") as file:
        assert np.array_equal(file.read(1), expected) and file.colormap(1)[2] == (213, 94, 0, 255)
    row_km2 = pixel_areas_m2(cases.grid()) / 1e6
    assert found["difference_km2"]["truth_alone"] == pytest.approx(row_km2 @ (expected == 3).sum(1))
    assert "different craters" in (folder / "index.html").read_text()


def test_two_maps_against_each_other(project, monkeypatch):
    monkeypatch.chdir(project)
    found = run_comparison("the map", "the map", options=CompareOptions(scales=[], pictures=0), into=project / "itself")
    assert (found["F1"], found["F1_low"], found["craters"]) == (1.0, 1.0, 3) and len(found["notes"]) == 1
    with rasterio.open(project / "itself" / "difference_all.tif") as file:
        assert set(np.unique(file.read(1))) == {0, 1}


def test_a_map_of_another_mosaic_of_the_body(project, monkeypatch):
    """Twice the resolution, and columns that begin on another meridian: the same ejecta but for half a pixel."""
    monkeypatch.chdir(project)
    fine = cases.grid(first_lon=-90.0).resized((960, 1920))
    folder = project / "results" / "output_masks" / "a later mosaic"
    for fid in (1, 4):
        mask = np.roll(cases.disc_and_ray(*cases.polar(fine, *cases.CRATERS[fid])), 8, axis=1)
        cases.write_mask(folder / f"cylindrical_mask_crater_{fid}.tif", mask, fine)
    cases.write_cog(project / "fine.tif", np.zeros((1, *fine.shape), np.uint8), fine)
    write_json(folder / "provenance.json", {"config": {"data": "data/world", "map": {"versions": {}, "mosaic": "fine.tif"}}})
    found = run_comparison("the map", "a later mosaic", options=CompareOptions(scales=[2], pictures=1), into=project / "dates")
    assert found["F1"] > 0.97 and found["craters"] == 2 and "compared at the map's" in found["notes"][0]
    assert "is a map itself" in found["notes"][1]
    share = {name: km2 / sum(found["difference_km2"].values()) for name, km2 in found["difference_km2"].items()}
    assert share["both"] > 0.9 and share["map_alone"] < 0.06


def test_truth_that_cannot_be_used_is_named(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    options = CompareOptions(scales=[], pictures=0)
    on = cases.grid()
    other = tmp_path / "other craters"
    cases.write_mask(other / "mask_crater_9.tif", np.ones(cases.SHAPE, bool), on)
    with pytest.raises(InputError, match="no crater in common: the map's FIDs are 1, 4, 12, those of the truth 9"):
        run_comparison("the map", other, options=options)
    cases.write_mask(other / "mask_crater_4.tif", np.ones(cases.SHAPE, bool), on)
    cases.write_mask(other / "mask_crater_77.tif", np.ones(cases.SHAPE, bool), on)
    found = run_comparison("the map", other, options=options, into=tmp_path / "odd")
    assert any("list lacks them, so they are left out: 77" in note for note in found["notes"]) and found["not_mapped"] == [9]
    assert "left out: 77" in (tmp_path / "odd" / "index.html").read_text()
    empty = tmp_path / "empty"
    cases.write_mask(empty / "mask_crater_1.tif", np.zeros(cases.SHAPE, bool), on)
    with pytest.raises(InputError, match="holds no ejecta"):
        run_comparison("the map", empty, options=options)
    foreign = tmp_path / "foreign"
    cases.write_mask(foreign / "mask_crater_1.tif", np.ones(cases.SHAPE, bool), cases.grid(body=Body("other", 2e6, 2e6)))
    with pytest.raises(InputError, match="another ellipsoid"):
        run_comparison("the map", foreign, options=options)
    finer = tmp_path / "finer"
    cases.write_mask(finer / "mask_crater_1.tif", np.ones((960, 1920), bool), on.resized((960, 1920)))
    with pytest.raises(InputError, match="has pixels of"):
        run_comparison("the map", finer, options=options)
    with pytest.raises(InputError, match="is no truth"):
        run_comparison("the map", project / "data" / "world" / "ejc_data" / "fresh_craters.csv", options=options)
    with pytest.raises(InputError, match="scales"):
        checked(CompareOptions, {"scales": [1]}, "options")
