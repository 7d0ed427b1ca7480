"""Craters by expression, derived columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import read_catalogue


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    table = pd.DataFrame({"lon": [0, 10, 20, 30], "lat": [0, 70, -5, 8], "diam_km": [4, 50, 60, 90.0], "state": ["a", "a", "b", "a"]})
    path = tmp_path_factory.mktemp("list") / "craters.csv"
    table.assign(depth=[1.0, 2, 3, np.nan]).rename(columns={"depth": "depth (km)"}).to_csv(path, index=False)
    return path


def test_expressions_over_standard_and_own_columns(path):
    found = read_catalogue(path, where='radius_m > 2e4 and abs(lat) < 60 or state == "b"')
    assert found["lon"].tolist() == [20, 30] and found.index.tolist() == [0, 1]
    assert read_catalogue(path, where="not (diam_km > 5)")["FID"].tolist() == read_catalogue(path)["FID"].tolist()[:1]


def test_rows_that_lack_a_value_are_not_chosen_and_said(path, capsys):
    found = read_catalogue(path, columns={"ratio": "depth__km_ / diam_km"}, where="not ratio > 1")
    assert found["lon"].tolist() == [0, 10, 20] and "1 of 4 rows lack a value" in capsys.readouterr().err
    np.testing.assert_allclose(found["ratio"], [1 / 4, 2 / 50, 3 / 60])


def test_what_chooses_nothing_or_names_what_is_not_there_is_refused(path):
    with pytest.raises(InputError, match="holds for none of the 4"):
        read_catalogue(path, where="lat > 89")
    with pytest.raises(InputError, match="names radius"):
        read_catalogue(path, where="radius > 2")
    with pytest.raises(InputError, match="can't be called 'lon'"):
        read_catalogue(path, columns={"lon": "lat + 1"})
