import numpy as np
import pytest

from cratermill.craters.classes import Classes
from cratermill.craters.matching import STRICT
from cratermill.craters.score_tables import class_table, latitude_table, size_table
from cratermill.craters.scores import sectors, tally
from cratermill.geo.bodies import get_body

MOON = get_body("moon")


@pytest.fixture(scope="module")
def lists():
    """Craters of 10 and 20 km in all latitudes, the truth and what was found: all in the south, half of the 10 km ones in the north; and
    ten that no list has."""
    lon, lat = (one.ravel() for one in np.meshgrid(np.arange(-180.0, 180, 20), np.arange(-75.0, 76, 10)))
    truth = np.column_stack([lon, lat, np.where(np.arange(len(lon)) % 2, 5e3, 10e3)])
    north = (lat > 0) & (truth[:, 2] == 5e3)
    found = truth[~north | (np.cumsum(north) % 2 == 0)]
    new = np.column_stack([np.linspace(-179, 170, 10), np.full(10, 3.0), np.full(10, 5e3)])
    return np.vstack([found, new]), truth


@pytest.fixture(scope="module")
def strict(lists):
    found, truth = lists
    return tally(found, truth, STRICT, (0, np.inf), MOON, found_block=sectors(found), truth_block=sectors(truth))


def test_bands_of_latitude_say_where_craters_are_missed(lists, strict):
    found, truth = lists
    table = latitude_table(strict, "strict", found[:, 1], truth[:, 1])
    assert table["latitude_from"].tolist() == [-90, -60, -30, 0, 30, 60] and table["known"].sum() == len(truth)
    south, north = table[table["latitude_to"] <= 0], table[table["latitude_from"] >= 0]
    assert (south["Recall"] == 1).all() and (south["Recall_low"] == 1).all()
    assert north["Recall"].to_numpy() == pytest.approx(0.75, abs=0.03)
    assert (north["Recall_low"] < north["Recall"]).all() and (north["Recall_high"] > north["Recall"]).all()
    assert table["Precision"].tolist() == pytest.approx([1, 1, 1, 1 - 10 / table["found"].iloc[3], 1, 1])


def test_bins_of_size_and_their_halves(strict):
    table = size_table(strict, "strict", 1000.0)
    assert table["diameter_from"].tolist() == [8, 16] and table["Recall"].iloc[1] == 1 > table["Recall"].iloc[0]
    halves = size_table(strict, "strict", 1000.0, per_octave=2)
    assert halves["diameter_from"].tolist() == pytest.approx([8, 16]) and halves["diameter_to"].tolist() == pytest.approx(
        [8 * 2**0.5, 16 * 2**0.5]
    )
    assert halves["known"].tolist() == table["known"].tolist()


def test_classes_of_the_truth_have_recall_alone(lists, strict):
    truth = lists[1]
    classes = Classes("state", ["large", "small", "none"], (truth[:, 2] < 7e3).astype(int))
    table = class_table(strict, "strict", classes)
    assert list(table) == ["rule", "column", "class", "known", "known_found", "Recall", "Recall_low", "Recall_high"]
    assert table["class"].tolist() == ["large", "small"] and table["known_found"].iloc[0] == table["known"].iloc[0]
    assert table["Recall"].iloc[1] == pytest.approx(0.75) and table["known_found"].iloc[1] == round(0.75 * table["known"].iloc[1])


def test_of_no_crater_there_is_no_rate_and_no_draw_of_zero():
    """Twenty sectors have found craters, one alone has one of the list: its recall is 1 wherever it is told."""
    found = np.column_stack([np.arange(-180.0, 180, 18), np.zeros(20), np.full(20, 5e3)])
    truth = np.vstack([found[:1], [[0, 80, 50e3]]])
    one = tally(found, truth, STRICT, (0, np.inf), MOON, found_block=sectors(found), truth_block=sectors(truth))
    table = size_table(one, "strict", 1000.0)
    assert table["Recall_low"].iloc[0] == table["Recall_high"].iloc[0] == 1
    assert np.isnan(table["Precision"].iloc[-1]) and table["Recall"].iloc[-1] == 0
