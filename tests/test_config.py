"""Run configurations: what is wrong is named with its key, its value and the nearest valid one."""

from __future__ import annotations

import pytest

from cratermill.config import load_config
from cratermill.errors import InputError

GOOD = "name: run\ndata: data/x\n"


def read(tmp_path, text: str):
    (tmp_path / "configs").mkdir(exist_ok=True)
    path = tmp_path / "configs" / "it's a run.yaml"
    path.write_text(text)
    return load_config(path)


def test_defaults_are_ejmaps_and_paths_start_at_the_project(tmp_path):
    config = read(tmp_path, GOOD)
    assert config.root == tmp_path and config.data.root == tmp_path / "data" / "x"
    assert config.run.tiles.eval_size_px == 112 and config.run.tiles.max_distance_fraction == 0.25
    assert config.mosaic == tmp_path / "data/x/mosaics/cylindrical_mosaic.tif"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD + "sede: 3\n", r"sede: unknown key; nearest valid: seed"),
        (GOOD + "tiles: {eval_stpe: 1}\n", r"tiles\.eval_stpe: unknown key; nearest valid: eval_step"),
        (GOOD + "train: {conection: {table: x.csv}}\n", r"unknown family 'conection'; valid: connection"),
        (GOOD + "train: {ejecta: {tabel: x.csv}}\n", r"train\.ejecta\.tabel: unknown key; nearest valid: table"),
        (GOOD + "splits: {count: 0}\n", r"splits\.count = 0"),
        (GOOD + "splits: {by: pixel}\n", r"splits\.by = 'pixel'"),
        (GOOD + "map: {craters: some}\n", r"map\.craters = 'some': .*must be all, or a list of FIDs such as \[3, 17\]"),
        (GOOD + "map: {craters: [3, x]}\n", r"map\.craters = \[3, 'x'\]: .*must be all"),
        ("name: ../x\ndata: d\n", r"name = '\.\./x'"),
        ("name: run\n", r"data: missing"),
        ("- a\n- b\n", r"holds no keys"),
        ("name: [", r"is not valid YAML"),
        ("!!python/object/apply:os.system ['true']\n", r"is not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, problem):
    with pytest.raises(InputError, match=problem) as error:
        read(tmp_path, text)
    assert "it's a run.yaml" in str(error.value) and error.value.exit_code == 2


def test_missing_config_is_named(tmp_path):
    with pytest.raises(InputError, match="can't read the config"):
        load_config(tmp_path / "none.yaml")
