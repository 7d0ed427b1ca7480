"""Crater lists counted, from files and from maps: areas, ages, what is asked for."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.craters.catalogue import write_catalogue
from cratermill.geo.bodies import get_body
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
