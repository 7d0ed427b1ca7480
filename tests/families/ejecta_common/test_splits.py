"""Splits of pairs of crater and drawn tile: what is held out is seen by no network, and subsets lie within each other."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from cratermill.core.errors import InputError
from cratermill.families.ejecta_common.prepare import Preparation
from cratermill.families.ejecta_common.splits import require_splits
from cratermill.pipeline.load_config import parse_config
from tests.tiny import BODY, tiny_data

RUN = {"name": "t", "data": "data/tiny", "tiles": {"eval_size_px": 10}}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("splits")
    (root / "configs").mkdir()
    tiny_data(root / "data" / "tiny")
    across = [shapely.box(155, -63, 180, 63), shapely.box(-180, -63, -165, 63)]
    gpd.GeoDataFrame(geometry=[shapely.MultiPolygon(across)], crs=BODY.geographic_crs()).to_file(root / "west and east.gpkg")
    return root


def prepared(root, **splits) -> pd.DataFrame:
    config = parse_config(RUN | {"splits": {"count": 1, **splits}}, root)
    with Preparation(config) as work:
        return work.positions()


def test_held_out_craters_and_ground_are_seen_by_no_network(root):
    table = prepared(root, hold_out=[{"craters": [3]}, {"regions": "west and east.gpkg"}], drawn_tiles=[20, 40], drawn_of=1)
    assert [name for name in table if name.startswith("test_")] == [f"test_{split}" for split in range(5)]
    require_splits(root / "data" / "tiny" / "conn_data" / "az_positions_all.csv", range(5))
    crater, others = table["crat_FID"] == 3, table["crat_FID"] != 3
    assert (table.loc[crater, "test_1"] == 1).all() and not (table.loc[others, "test_1"] == 1).any()
    ground = set(table.loc[crater, "pos_index"])
    assert set(table.loc[table["test_1"] == -1, "pos_index"]) <= ground and not set(table.loc[table["test_1"] == 0, "pos_index"]) & ground
    # Tiles are 20 degrees wide and ten high, counted from the north-west.
    tiles = pd.read_csv(root / "data" / "tiny" / "ejc_data" / "human_positions.csv").set_index("pos_index").loc[table["pos_index"]]
    lon, lat = tiles["x"].to_numpy() + 10 - 180, 90 - tiles["y"].to_numpy() - 5
    inside = ((lon > 155) | (lon < -165)) & (np.abs(lat) < 63)
    assert np.array_equal(table["test_2"] == 1, inside) and inside.any()
    reached = ((lon > 145) | (lon < -155)) & (np.abs(lat) < 68)
    assert not (table.loc[reached, "test_2"] == 0).any() and (table.loc[~reached, "test_2"] == 0).all()
    few, more = (set(table.loc[table[name] == 0, "pos_index"]) for name in ("test_3", "test_4"))
    assert (len(few), len(more)) == (20, 40) and few < more < set(table.loc[table["test_1"] == 0, "pos_index"])
    assert ((table["test_3"] == 1) == (table["test_1"] == 1)).all()


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"hold_out": {"craters": [8]}}, r"craters \[8\], of which nothing was drawn\nValid: 1, 2"),
        ({"hold_out": {"craters": [1, 2, 3, 4, 5]}}, "nothing but drawn tiles that are tested on"),
        ({"hold_out": {}}, "must name craters, regions or names"),
        ({"hold_out": {"names": ["a*"]}}, "names names, but nobody knows them of drawn tiles\nValid: craters, regions"),
        ({"hold_out": {"regions": "nowhere.gpkg"}}, "nowhere.gpkg does not exist"),
        ({"drawn_tiles": 4000}, "asks for 4000 tiles\nValid: at most"),
        ({"drawn_tiles": [2], "drawn_of": 1}, "drawn_of is 1\nValid: .* 0 to 0"),
    ],
)
def test_splits_that_cannot_be_made_are_named(root, splits, said):
    with pytest.raises(InputError, match=said):
        prepared(root, **splits)


def test_configurations_of_before_make_what_they_made(root):
    run = parse_config(RUN | {"splits": {"count": 2}}, root).run
    assert run.splits.model_dump(mode="json") == {"count": 2, "test_fraction": 0.2, "by": "row"}
