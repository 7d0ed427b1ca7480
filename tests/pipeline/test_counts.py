"""Crater lists counted, from files and from maps: areas, ages, what is asked for."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.craters.outputs import write_craters
from cratermill.geo.bodies import body_of_crs, get_body
from cratermill.pipeline.counts import run_counts
from tests.craters.test_frequencies import population


@pytest.fixture(scope="module")
def craters():
    diameters = population("moon-neukum-2001", 3.5, 1e5, seed=4, smallest_km=0.8)
    random = np.random.default_rng(0)
    columns = {"lon": random.uniform(-180, 180, len(diameters)), "lat": random.uniform(-60, 60, len(diameters))}
    return pd.DataFrame({**columns, "radius_m": diameters * 500})


def test_a_list_has_the_age_that_it_was_made_with(craters, tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    write_catalogue(tmp_path / "mare.gpkg", craters, get_body("moon"))
    answer = CliRunner().invoke(app, ["analyse", "mare.gpkg", "--area-km2", "1e5", "--diameters", "1", "50", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["age"]["low_ga"] < 3.5 < found["age"]["high_ga"] and found["age"]["chronology"] == "Moon, Neukum et al. (2001)"
    folder = tmp_path / "results" / "analysis" / "mare"
    table = pd.read_csv(folder / "counts.csv")
    assert table["count"].sum() == len(craters) and {"R", "R_low", "cumulative_high", "differential"} <= set(table)
    assert (folder / "counts.png").stat().st_size > 1000
    spoken = CliRunner().invoke(app, ["analyse", "mare.gpkg", "--area-km2", "1e5"]).output
    assert f"{len(craters)} craters on 100,000 km²" in spoken and "model age 3." in spoken
    craters.to_csv("bare.csv", index=False)
    spoken = CliRunner().invoke(app, ["analyse", "bare.csv", "--area-km2", "1e5", "--diameters", "1", "50"]).output
    assert "no model age" in spoken and "--chronology moon" in spoken


def test_lists_are_joined(craters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    some = craters.iloc[:60].assign(confidence=0.8)
    (tmp_path / "map").mkdir()
    write_craters(tmp_path / "map", some, get_body("moon"), None)
    craters.iloc[40:100].assign(radius_m=craters["radius_m"] * 1.1).to_csv("people.csv", index=False)
    answer = CliRunner().invoke(app, ["join", "map", "people.csv", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["by_votes"] == {"1": 80, "2": 20}
    joined = read_catalogue(tmp_path / "results" / "analysis" / "joined_map_people" / "craters.gpkg")
    assert body_of_crs(joined.crs).name == "Moon" and len(joined) == 100
    both = joined[joined["votes"] == 2]
    assert np.allclose(both["confidence"], 0.9) and (both["spread_place_km"] < 1e-3).all()
    # Radii r and 1.1 r with weights .8 and 1: mean 1.0556 r, deviation .0497 r.
    assert np.allclose(both["spread_size_km"] / both["radius_m"] * 1e3, 0.0497 / 1.0556, rtol=1e-3)
    assert np.allclose(joined.loc[joined["votes"] == 1, "confidence"].unique(), [0.5, 0.4])
    assert "20 craters joined: 20 by 2" in CliRunner().invoke(app, ["join", "map", "people.csv", "--votes", "2", "--into", "both"]).output
    assert not (tmp_path / "both" / "craters.scc").exists()
    refused = CliRunner().invoke(app, ["join", "map", "people.csv", "--votes", "3"])
    assert refused.exit_code == 2 and "3 votes of 2 lists" in refused.output


def test_files_that_name_no_body_are_told_it(craters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    craters.iloc[:30].to_csv("one.csv", index=False)
    craters.iloc[10:40].to_csv("other.csv", index=False)
    silent = [CliRunner().invoke(app, [command, "one.csv", "other.csv"]) for command in ("join", "compare")]
    assert all(one.exit_code == 2 and "--body moon" in one.output for one in silent)
    joined = CliRunner().invoke(app, ["join", "one.csv", "other.csv", "--body", "Mars", "--json"])
    assert json.loads(joined.stdout)["by_votes"] == {"1": 20, "2": 20}
    assert body_of_crs(read_catalogue(tmp_path / "results" / "analysis" / "joined_one_other" / "craters.gpkg").crs).name == "Mars"
    assert "30 craters against 30" in CliRunner().invoke(app, ["compare", "one.csv", "other.csv", "--body", "mars"]).output
    assert "model age" in CliRunner().invoke(app, ["analyse", "one.csv", "--body", "mars"]).output
    write_catalogue(tmp_path / "moon.gpkg", craters.iloc[:30], get_body("moon"))
    for command in (["join", "one.csv"], ["compare", "one.csv"], ["analyse"]):
        refused = CliRunner().invoke(app, [*command, "moon.gpkg", "--body", "mars"])
        assert refused.exit_code == 2 and "another ellipsoid" in refused.output
    missing = CliRunner().invoke(app, ["join", "one.csv", "none.csv"])
    assert missing.exit_code == 2 and "no crater list none.csv" in missing.output


def test_maps_and_craterstats_files_know_their_area(craters, tmp_path):
    folder = tmp_path / "a map of craters"
    folder.mkdir()
    craters.to_csv(folder / "craters.csv", index=False)
    write_json(folder / "provenance.json", {"area_km2": 1e5})
    found = run_counts(folder, chronology="moon", diameters_km=(1, 50))
    assert found["area_km2"] == 1e5 and found["age"]["low_ga"] < 3.5 < found["age"]["high_ga"] and found["folder"] == str(folder)
    write_catalogue(tmp_path / "craters.scc", craters, get_body("moon"))
    whole = run_counts(tmp_path / "craters.scc", into=tmp_path / "out")
    assert whole["area_km2"] == pytest.approx(4 * np.pi * 1737.4**2, rel=1e-3)
    with pytest.raises(InputError, match="neither on which area"):
        run_counts(write_catalogue(tmp_path / "bare.csv", craters))
