"""Crater lists against each other: by themselves, and of a map that knows its mosaic and its area."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.config import CompareOptions
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.craters.outputs import write_craters
from cratermill.geo.bodies import get_body
from cratermill.geo.box import Box
from cratermill.pipeline.compare_lists import compare_lists
from cratermill.report.contact_sheet import COLUMNS, SIDE_PX
from cratermill.report.sheet import GAP_PX, TITLE_PX
from cratermill.synthetic import synthesise
from tests.craters.test_frequencies import population


def test_lists_against_each_other(tmp_path, monkeypatch):
    diameters, random = population("moon-neukum-2001", 3.5, 1e5, seed=4, smallest_km=0.8), np.random.default_rng(0)
    places = {"lon": random.uniform(-180, 180, len(diameters)), "lat": random.uniform(-60, 60, len(diameters))}
    craters = pd.DataFrame({**places, "radius_m": diameters * 500})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    moon = get_body("moon")
    write_catalogue(tmp_path / "truth.gpkg", craters, moon)
    write_catalogue(tmp_path / "half.gpkg", craters.iloc[::2], moon)
    answer = CliRunner().invoke(app, ["compare", "half.gpkg", "truth.gpkg", "--diameters", "0.8", "100", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["Precision_strict"] == 1 and found["Recall_strict"] == pytest.approx(0.5, abs=0.01)
    assert found["Recall_strict_low"] < 0.5 < found["Recall_strict_high"]
    assert (tmp_path / "results" / "analysis" / "half" / "compare_truth" / "scores_by_size.csv").exists()
    with pytest.raises(InputError, match="has no crater from 900 to 1000 km"):
        compare_lists(tmp_path / "half.gpkg", tmp_path / "truth.gpkg", CompareOptions(diameters=(900, 1000)))
    write_catalogue(tmp_path / "mars.gpkg", craters, get_body("mars"))
    with pytest.raises(InputError, match="another ellipsoid"):
        compare_lists(tmp_path / "mars.gpkg", tmp_path / "truth.gpkg", CompareOptions())
    assert not (tmp_path / "results" / "analysis" / "half" / "compare_truth" / "new.png").exists()  # no mosaic
    # A map's list knows its body, though its CSV doesn't.
    (tmp_path / "map").mkdir()
    write_craters(tmp_path / "map", craters.iloc[::2], moon, None)
    craters.to_csv("truth.csv", index=False)
    assert compare_lists(tmp_path / "map", tmp_path / "truth.csv", CompareOptions(diameters=(0.8, 100)))["Precision_strict"] == 1
    with pytest.raises(InputError, match="none of these says on which body"):
        compare_lists(tmp_path / "truth.csv", tmp_path / "truth.csv", CompareOptions())


@pytest.mark.parametrize("suffix", [".gpkg", ".csv"])
def test_a_map_on_which_nothing_was_found_has_scores(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    craters = pd.DataFrame({"lon": [1.0, 2, 3], "lat": [1.0, 2, 3], "radius_m": [5e3, 6e3, 8e3]})
    write_catalogue(tmp_path / "truth.gpkg", craters, get_body("moon"))
    write_catalogue(tmp_path / f"nothing{suffix}", craters.iloc[:0], get_body("moon"))
    found = compare_lists(tmp_path / f"nothing{suffix}", tmp_path / "truth.gpkg", CompareOptions())
    assert found["Recall_strict"] == 0 and (found["from_km"], found["to_km"]) == (10, 16)
    with pytest.raises(InputError, match="lists no craters"):
        read_catalogue(tmp_path / f"nothing{suffix}")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A map of the eastern half of a synthetic planet that found all craters there but the worn ones, and ten where there are none."""
    root = tmp_path_factory.mktemp("project")
    (root / "configs").mkdir()
    synthesise(root / "data" / "planet", shape=(64, 128), seed=3, n_fresh=5, bands=1)
    truth = pd.read_csv(root / "data" / "planet" / "catalogue.csv")
    east = Box(0, -90, 180, 90)
    found = truth[(truth["degradation_state"] > 1) & east.holds(truth["lon"], truth["lat"])].assign(confidence=0.8)
    new = pd.DataFrame({"lon": np.linspace(5, 175, 10), "lat": 89.0, "diameter_km": 9.0, "confidence": 0.5})
    folder = root / "results" / "output_masks" / "the map"
    folder.mkdir(parents=True)
    pd.concat([found, new])[list(new)].to_csv(folder / "craters.csv", index=False)
    write_json(folder / "provenance.json", {"bounds": asdict(east), "config": {"data": "data/planet", "map": {}}})
    return root


def test_a_map_is_compared_in_its_area_and_shows_what_is_new_and_missed(project, monkeypatch):
    monkeypatch.chdir(project)
    answer = CliRunner().invoke(app, ["compare", "the map", "data/planet/catalogue.csv", "--json"])
    assert answer.exit_code == 0, answer.output
    found, folder = json.loads(answer.stdout), project / "results" / "output_masks" / "the map" / "compare_catalogue"
    truth = pd.read_csv("data/planet/catalogue.csv").query("0 <= lon < 180")
    assert found["known"] == len(truth) and found["found"] - found["found_right"] == 10
    shares = {one["class"]: one["Recall"] for one in found["by_class"]}
    assert list(shares) == ["1", "2", "3", "4"] and min(shares["2"], shares["3"], shares["4"]) == 1 and shares["1"] == 0
    assert all((folder / name).exists() for name in found["files"])
    page = (folder / "index.html").read_text()
    assert page.count("<img") == 3 and "Found by class" in page and "Scores by latitude" in page
    for name, rows in (("new.png", 2), ("missed.png", 5)):
        with Image.open(folder / name) as sheet:
            assert sheet.size == (COLUMNS * (SIDE_PX + GAP_PX) - GAP_PX, TITLE_PX + rows * (SIDE_PX + TITLE_PX))
    spoken = CliRunner().invoke(app, ["compare", "the map", "data/planet/catalogue.csv"]).output
    assert f"degradation_state 1: 0 of {(truth['degradation_state'] == 1).sum()} found" in spoken


def test_what_counts_and_by_what_is_chosen(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    given = project / "results" / "output_masks" / "the map", project / "data" / "planet" / "catalogue.csv"
    found = compare_lists(*given, CompareOptions(by="fresh", where="lat < 60"), into=tmp_path)
    assert [one["class"] for one in found["by_class"]] == ["0", "1"] and found["found"] == found["found_right"]
    assert pd.read_csv(tmp_path / "scores_by_latitude.csv")["latitude_to"].max() == 60
    with pytest.raises(InputError, match="has no column depth") as caught:
        compare_lists(*given, CompareOptions(by="depth"), into=tmp_path)
    assert "degradation_state" in str(caught.value)


def test_a_mosaic_of_another_body_is_refused(project, tmp_path):
    synthesise(tmp_path / "moon", body="moon", shape=(64, 128), n_fresh=2, bands=1)
    given = project / "results" / "output_masks" / "the map", project / "data" / "planet" / "ejc_data" / "fresh_craters.gpkg"
    with pytest.raises(InputError, match="another ellipsoid"):
        compare_lists(*given, CompareOptions(), mosaic=tmp_path / "moon" / "mosaics" / "cylindrical_mosaic.tif", into=tmp_path)
