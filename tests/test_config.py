"""Run configurations: what is wrong is named with its key, its value and the nearest valid one."""

from __future__ import annotations

import pytest

from cratermill.core.errors import InputError
from cratermill.pipeline.load_config import load_config

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
        (GOOD + "map: {craters: [1, 1]}\n", r"map\.craters = \[1, 1\]: .*none of them twice"),
        (GOOD + "map: {craters: [true]}\n", r"map\.craters = \[True\]: .*must be all"),
        (GOOD + "map: {craters: []}\n", r"map\.craters = \[\]: .*must be all"),
        (GOOD + "map: {name: ../../x}\n", r"map\.name = '\.\./\.\./x': .*name of one folder"),
        (GOOD + "map: {name: .}\n", r"map\.name = '\.': .*name of one folder"),
        (GOOD + "map: {name: ''}\n", r"map\.name = '': .*name of one folder"),
        (GOOD + "map: {name: /tmp/x}\n", r"map\.name = '/tmp/x': .*name of one folder"),
        (GOOD + "train: {ejecta: {table: x, splits: [0, 0]}}\n", r"train\.ejecta\.splits = \[0, 0\]: .*different whole numbers"),
        (GOOD + "train: {ejecta: {table: x, splits: [-1]}}\n", r"train\.ejecta\.splits = \[-1\]: .*from 0"),
        (GOOD + "train: {ejecta: {table: x, versions: []}}\n", r"train\.ejecta\.versions = \[\]: .*must be a list"),
        (GOOD + "train: {ejecta: {table: x, versions: [true]}}\n", r"train\.ejecta\.versions = \[True\]"),
        (GOOD + "img_norm: {means: [1]}\n", r"img_norm\.means: unknown key; nearest valid: mean"),
        (GOOD + "img_norm: {mean: [1], std: [0]}\n", r"img_norm\.std\.0 = 0: .*greater than 0"),
        (GOOD + "trainer: {loader_workers: -1}\n", r"trainer\.loader_workers = -1: must be auto, or a whole number from 0\nNext"),
        (GOOD + "trainer: {devices: 0}\n", r"trainer\.devices = 0: must be auto, or a whole number from 1\nNext"),
        (GOOD + "seed: 1\ntrain: {}\nseed: 2\n", r"the key 'seed' stands in line 3 already\n.*line 5"),
        (GOOD + "train: {connection: {table: x, data: {a: 1}}}\n", r"train\.connection\.data\.a: unknown key; none is taken here\n"),
        ("name: ../x\ndata: d\n", r"name = '\.\./x': valid: letters, digits"),
        ("name: my x\ndata: d\n", r"name = 'my x': valid: .*no blanks"),
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


def test_a_wrong_family_is_not_buried_in_its_part(tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, GOOD + "train: {conection: {table: x.csv}}\n")
    assert "x.csv" not in str(error.value)


def test_merged_keys_may_be_overruled(tmp_path):
    text = GOOD + "train:\n  ejecta: &both {table: x, iterations: 2}\n  connection: {<<: *both, table: y}\n"
    assert read(tmp_path, text).run.train["connection"].model_dump(include={"table", "iterations"}) == {"table": "y", "iterations": 2}


def test_missing_config_is_named(tmp_path):
    with pytest.raises(InputError, match="can't read the config"):
        load_config(tmp_path / "none.yaml")
