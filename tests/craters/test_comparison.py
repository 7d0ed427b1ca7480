import numpy as np
import pandas as pd
import pytest

from cratermill.core.files import read_json
from cratermill.craters.catalogue import read_catalogue
from cratermill.craters.classes import classes_of
from cratermill.craters.comparison import compare, write_comparison
from cratermill.geo.bodies import get_body

MOON = get_body("moon")


def test_lists_are_compared_and_written(tmp_path):
    """Of 100 craters, those of class 1 are missed; one that is found lies beyond the largest size, and is no new one."""
    random = np.random.default_rng(0)
    known = pd.DataFrame(
        {"lon": random.uniform(-180, 180, 100), "lat": random.uniform(-60, 60, 100), "radius_m": np.geomspace(1e3, 2e4, 100)}
    )
    known = known.assign(degradation=np.arange(100) % 4 + 1)
    found = known[known["degradation"] > 1].drop(columns="degradation").assign(confidence=0.9)
    beyond = pd.DataFrame({"lon": [0.0, 10], "lat": [80.0, 80], "radius_m": [5e4, 5e3], "confidence": [1.0, 0.5]})
    found = pd.concat([found, beyond], ignore_index=True)
    radii = (500.0, 3e4)
    made = compare(found, known, radii, MOON, classes_of(known, None, np.ones(100, bool), "truth.csv"))
    files = write_comparison(tmp_path, made, MOON)
    assert all((tmp_path / name).exists() for name in files)
    scores = read_json(tmp_path / "scores.json")
    assert (scores["found_right"], scores["found"], scores["known_found"], scores["known"]) == (75, 76, 75, 100)
    table = pd.read_csv(tmp_path / "recall_by_class.csv")
    assert table[table["rule"] == "strict"]["Recall"].tolist() == [0, 1, 1, 1]
    assert len(read_catalogue(tmp_path / "missed_craters.gpkg", MOON)) == 25
    assert pd.read_csv(tmp_path / "new_craters.csv")["radius_m"].tolist() == [5e3]
    by_latitude = pd.read_csv(tmp_path / "scores_by_latitude.csv")
    assert set(by_latitude["rule"]) == {"strict", "lax", "box"} and by_latitude["known"].sum() == 300
    assert made.found_km.max() == pytest.approx(40) and len(made.known_km) == 100


def test_nothing_found_is_no_fault(tmp_path):
    known = pd.DataFrame({"lon": [0.0], "lat": [0.0], "radius_m": [1e3]})
    made = compare(known.iloc[:0].assign(confidence=[]), known, (0, 1e4), MOON)
    write_comparison(tmp_path, made, MOON)
    assert made.scores["Recall_strict"] == 0 and len(made.missed) == 1 and not len(made.new)
