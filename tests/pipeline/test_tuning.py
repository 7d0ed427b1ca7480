"""Scores against hyper-parameters, from the files of versions."""

import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.pipeline.load_config import parse_config
from cratermill.pipeline.tuning import drawn_tiles, run_tuning


def config_in(root):
    (root / "configs").mkdir()
    return parse_config({"name": "t", "data": "data", "train": {"ejecta": {"table": "t.csv"}}}, root)


def test_versions_become_a_table_and_pictures(tmp_path):
    config = config_in(tmp_path)
    folder = tmp_path / "results" / "ejc_results"
    for version, rate, model in ((1, 1e-4, "Unet"), (2, 1e-2, "FPN"), (3, 1e-3, "Unet")):
        place = folder / f"version_{version}"
        place.mkdir(parents=True)
        rows = [{"test-set": split, "iteration": 0, "test_F1_Score": 0.5 + version / 20 + split / 100} for split in (0, 1)]
        pd.DataFrame([*rows, {"test-set": 0, "iteration": "vote", "test_F1_Score": 0.9}]).to_csv(place / "eval_metrics.csv", index=False)
        write_json(place / "hparams.json", {"version": version, "lr": rate, "model_name": model, "batch_size": 4, "buffer_bounds": [2, 5]})
    (tmp_path / "data" / "conn_data").mkdir(parents=True)
    pairs = pd.DataFrame({"pos_index": [4, 5, 5, 6], "test_0": [0, 0, 0, 1], "test_1": [0, -1, -1, 1]})
    pairs.to_csv(tmp_path / "data" / "conn_data" / "az_positions_all.csv", index=False)
    made = [path.name for path in run_tuning(config)]
    assert made == ["tuning.csv", "tuning.png", "tuning_splits.png", "tuning_tiles.png"]
    table = pd.read_csv(folder / "tuning.csv")
    assert len(table) == 6 and table["drawn_tiles"].tolist() == [2, 1] * 3
    assert {"hparam lr", "hparam model_name", "hparam buffer_bounds"} <= set(table) and "hparam version" not in table


def test_hold_outs_test_on_other_ground_and_are_on_no_curve_of_drawn_tiles(tmp_path):
    (tmp_path / "configs").mkdir()
    keys = {"name": "t", "data": "data", "splits": {"count": 1, "hold_out": [{"craters": [3]}], "drawn_tiles": [2]}}
    (tmp_path / "data" / "conn_data").mkdir(parents=True)
    pairs = pd.DataFrame({"pos_index": [3, 4, 5, 6], "test_0": [0, 0, 0, 1], "test_1": [0, 0, 1, 0], "test_2": [0, 0, -1, 1]})
    pairs.to_csv(tmp_path / "data" / "conn_data" / "az_positions_all.csv", index=False)
    assert drawn_tiles(parse_config(keys, tmp_path)) == {0: 3, 2: 2}


def test_nothing_trained_is_said(tmp_path):
    with pytest.raises(InputError, match="no version of ejecta has results yet"):
        run_tuning(config_in(tmp_path))
