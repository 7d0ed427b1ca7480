import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.craters.classes import classes_of

CRATERS = pd.DataFrame(
    {
        "lon": np.arange(16.0),
        "DEGRADATION_STATE": [4, 1, 3, 2] * 3 + [4, 1, np.nan, np.nan],
        "depth": np.r_[np.arange(15.0), np.nan],
        "name": [f"c{number}" for number in range(16)],
        "kind": ["fresh", "old "] * 8,
    }
)
ALL = np.ones(16, bool)


def classes(by=None, craters=CRATERS, counted=ALL):
    return classes_of(craters, by, counted, "truth.csv")


def test_degradation_is_found_by_its_usual_names():
    found = classes()
    assert (found.column, found.labels) == ("DEGRADATION_STATE", ["1", "2", "3", "4", "blank"])
    assert found.numbers.tolist() == [3, 0, 2, 1] * 3 + [3, 0, 4, 4]
    assert classes(craters=CRATERS.rename(columns={"DEGRADATION_STATE": "DEGRADATIO"})).column == "DEGRADATIO"  # as shapefiles cut it
    assert classes(craters=CRATERS[["lon", "name"]]) is None
    assert classes(craters=CRATERS[["lon", "name"]].rename(columns={"name": "class"})) is None  # a name for each is no class


def test_any_column_serves_that_is_named():
    assert classes("Kind").labels == ["fresh", "old"]
    quarters = classes("depth")
    assert quarters.labels == ["0 to 3.5", "3.5 to 7", "7 to 10.5", "10.5 to 14", "blank"]
    assert quarters.numbers.tolist() == [0] * 4 + [1] * 3 + [2] * 4 + [3] * 4 + [4]


def test_only_what_counts_decides_on_the_classes():
    counted = np.arange(16) >= 2
    assert classes("depth", counted=counted).labels[0].startswith("2 to")
    assert classes("DEGRADATION_STATE", counted=np.arange(16) < 2).labels == ["1", "4"]


def test_unknown_columns_and_texts_for_each_crater_are_refused():
    with pytest.raises(InputError, match="has no column deepness") as caught:
        classes("deepness")
    assert "DEGRADATION_STATE, depth, name, kind" in str(caught.value)
    with pytest.raises(InputError, match="16 different texts"):
        classes("name")
