"""A configuration to begin with: right for the data given, loadable, and never over an existing file."""

import shlex

import pytest
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.families import get_family
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.scaffold import new_config
from cratermill.tables.table import load_versions
from tests.mosaics import global_grid, noise, write_mosaic


@pytest.fixture
def root(tmp_path):
    (tmp_path / "configs").mkdir()
    grid = global_grid()
    write_mosaic(tmp_path / "my mosaic.tif", noise(grid), grid)
    (tmp_path / "craters.csv").write_text("crat_FID,lon,lat,radius_m\n1,0,0,5000\n")
    return tmp_path


@pytest.mark.parametrize("family", ["connection", "ejecta", "crater_unet", "crater_detector", "chip_classifier", "sgan", "autoencoder"])
def test_it_loads_and_knows_the_mosaic(root, family):
    path, steps = new_config(root / "configs" / "mine.yaml", family, root / "my mosaic.tif", root / "craters.csv")
    config = load_config(path)
    assert config.run.body == "mercury" and config.mosaic == root / "my mosaic.tif" and list(config.run.train) == [family]
    assert "# CHANGE" in path.read_text() and any("prepare" in step for step in steps)
    assert (root / "data/mine/ejc_data/fresh_craters.csv").exists() == (family in ("connection", "ejecta"))
    with pytest.raises(InputError, match="is there already"):
        new_config(path, family, None, None)
    (settings,) = config.run.train.values()
    rows = load_versions(root / settings.table, get_family(family).hparams_model(), settings.versions)
    assert [row.version for row in rows] == settings.versions, "the table is there, and has the row that is named"


def test_a_row_that_is_there_is_named(root):
    (root / "configs" / "crater_unet_version_hparams.csv").write_text("version,version_run\n3,False\n7,True\n")
    path, _ = new_config(root / "configs" / "mine.yaml", "crater_unet", root / "my mosaic.tif", root / "craters.csv")
    assert load_config(path).run.train["crater_unet"].versions == [7] and "versions: {crater_unet: 7}" in path.read_text()


def test_without_data_the_keys_to_change_are_named_and_wrong_input_writes_nothing(root, monkeypatch):
    monkeypatch.chdir(root)
    for words, said in (("--family ejekta", "ejecta"), ("--family ejecta --mosaic no.tif", "no.tif is missing")):
        result = CliRunner().invoke(app, ["new", "configs/a.yaml", *words.split()])
        assert result.exit_code == 2 and said in result.output and not (root / "configs/a.yaml").exists()
    result = CliRunner().invoke(app, ["new", "configs/a.yaml", "--family", "crater_detector"])
    assert result.exit_code == 0 and (root / "configs/a.yaml").read_text().count("# CHANGE") >= 4 and "1. " in result.output


def test_odd_names_make_configurations_that_load_and_the_list_is_a_copy(root, monkeypatch):
    monkeypatch.chdir(root)
    for name, called in (("my é #1", "my-1"), ("007", "007"), ("true", "true"), ("é", "ejecta")):
        path, steps = new_config(root / "configs" / f"{name}.yaml", "ejecta", root / "my mosaic.tif", root / "craters.csv")
        config = load_config(path)
        assert config.run.name == called and config.data.root == root / "data" / called
        assert any(
            shlex.split(step)[:2] == ["cratermill", "prepare"] and shlex.split(step)[2] == str(path)
            for step in steps
            if step.startswith("cratermill")
        )
    listed = root / "data/my-1/ejc_data/fresh_craters.csv"
    listed.write_text("crat_FID,lon,lat,radius_m,train\n1,0,0,5000,1\n")
    assert "train" not in (root / "craters.csv").read_text()
    with pytest.raises(InputError, match="fresh_craters.csv is there already"):
        new_config(root / "configs" / "my 1.yaml", "ejecta", None, root / "craters.csv")
    assert "train" in listed.read_text() and not (root / "configs" / "my 1.yaml").exists()
