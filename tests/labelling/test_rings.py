"""Crater lists as rings: edited as in QGIS, and taken back."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.craters.catalogue import read_catalogue
from cratermill.labelling.rings import Changes, read_rings, ring, take_rings, write_rings
from tests.tiny import BODY

LIST = pd.DataFrame(
    {
        "crat_FID": [3, 5, 8, 9],
        "lon": [179.9, -20, 40, 100],
        "lat": [0, 70, -45, 10],
        "radius_m": [90e3, 40e3, 30e3, 20e3],
        "note": list("abcd"),
    }
)


def listed(folder, suffix: str):
    path = folder / f"craters{suffix}"
    if suffix == ".csv":
        LIST.to_csv(path, index=False)
    else:
        points = shapely.points(LIST["lon"], LIST["lat"])
        gpd.GeoDataFrame(LIST, geometry=points, crs=BODY.geographic_crs()).to_file(path)
    return path


def test_rings_give_back_the_craters_they_were_made_of(tmp_path):
    write_rings(listed(tmp_path, ".gpkg"), tmp_path / "rings.gpkg", BODY)
    back = read_rings(tmp_path / "rings.gpkg", BODY)
    away = BODY.distance_m(back["lon"], back["lat"], LIST["lon"], LIST["lat"])
    assert back["FID"].tolist() == [3, 5, 8, 9] and (away < 1e-3 * LIST["radius_m"]).all()
    assert np.allclose(back["radius_m"], LIST["radius_m"], rtol=2e-3)
    with pytest.raises(InputError, match="there already"):
        write_rings(listed(tmp_path, ".gpkg"), tmp_path / "rings.gpkg", BODY)


def test_craters_around_a_pole_have_no_ring_and_stay(tmp_path):
    pole = pd.DataFrame({"crat_FID": [11], "lon": [30], "lat": [-89.5], "radius_m": [60e3], "note": ["e"]})
    pd.concat([LIST, pole]).to_csv(tmp_path / "craters.csv", index=False)
    assert write_rings(tmp_path / "craters.csv", tmp_path / "rings.gpkg", BODY) == (4, [11])
    changes = take_rings(tmp_path / "rings.gpkg", tmp_path / "craters.csv", tmp_path / "new.csv", BODY)
    assert changes == Changes([], [], [], [])
    back = read_catalogue(tmp_path / "new.csv", BODY).set_index("FID")
    assert back.loc[11, ["lon", "lat", "radius_m", "note"]].tolist() == [30, -89.5, 60e3, "e"] and len(back) == 5


@pytest.mark.parametrize("suffix", [".csv", ".gpkg"])
def test_edited_rings_become_a_list(tmp_path, suffix):
    craters, rings, out, run = listed(tmp_path, suffix), tmp_path / "rings.gpkg", tmp_path / f"new{suffix}", CliRunner()
    answer = run.invoke(app, ["label", "rings", str(listed(tmp_path, ".gpkg")), str(rings)])
    assert answer.exit_code == 0, answer.output
    frame = gpd.read_file(rings).set_index("crat_FID", drop=False)
    frame.loc[5, "geometry"] = ring(-18, 69, 40e3, BODY)
    frame.loc[8, "geometry"] = ring(40, -45, 36e3, BODY)
    extra = gpd.GeoDataFrame({"crat_FID": [None]}, geometry=[ring(-179.95, 20, 25e3, BODY)], crs=frame.crs)
    pd.concat([frame.drop(index=9), extra], ignore_index=True).to_file(rings, layer="rings")
    changes = take_rings(rings, craters, out, BODY)
    assert changes == Changes(added=[10], moved=[5], resized=[8], deleted=[9])
    back = read_catalogue(out, BODY).set_index("FID")
    assert sorted(back.index) == [3, 5, 8, 10] and back.loc[3, "note"] == "a"
    assert np.allclose(back.loc[3, ["lon", "lat", "radius_m"]].astype(float), [179.9, 0, 90e3], rtol=1e-12)
    assert abs(back.loc[5, "lon"] + 18) < 0.01 and abs(back.loc[10, "lon"] + 179.95) < 0.01 and abs(back.loc[8, "radius_m"] - 36e3) < 100
    answer = run.invoke(app, ["label", "rings-import", str(rings), str(craters)])
    if suffix == ".csv":  # it doesn't say its body
        assert answer.exit_code == 2 and "--mosaic" in answer.output
    else:
        assert answer.exit_code == 0 and "added: 1 (10)" in answer.output and (tmp_path / "craters_edited.gpkg").exists()
