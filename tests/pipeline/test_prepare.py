"""Preparing data: only what changed, nothing half-written, bad input named."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import rasterio

from cratermill.core.errors import InputError
from cratermill.geo.bodies import Body
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.load_config import load_config, parse_config
from tests.tiny import write_raster

MASK, MOON = np.ones((1, 180, 360), np.uint8), Body("moon", 1737400.0, 1737400.0)


def made(config) -> list[str]:
    return [name for family in prepare(config).values() for name in family["made"]]


def test_preparing_again_does_nothing(project):
    assert made(project) == []


def test_a_redrawn_mask_redoes_its_crater_and_what_follows(project):
    data = load_config(project).data
    with rasterio.open(data.mask(2), "r+") as file:
        file.write(np.zeros((180, 360), np.uint8), 1)
    found = made(project)
    assert "positions 2" in found and "positions 1" not in found and "splits" in found
    assert not any(name.startswith("eval ") for name in found)
    table = pd.read_csv(data.az_positions)
    assert (table.loc[table["crat_FID"] == 2, "num_1"] == 0).all()


def test_a_new_layout_leaves_the_tables_alone(project):
    path = load_config(project).path("configs/connection.csv")
    path.write_text(path.read_text().replace("tile_size_px\n", "tile_size_px,pair_layout\n").replace(",,64\n", ",,64,corridor\n"))
    assert made(project) == ["stack corridor_32x64"]


def test_a_lost_output_is_made_again(project):
    data = load_config(project).data
    data.eval_positions(3).unlink()
    assert made(project) == ["eval 3"]


def test_bands_and_craters_by_formula(project):
    """The ratio of two bands is a channel like others, for the craters that an expression chooses; taken back, all is as before."""
    data = load_config(project).data
    stacks = sorted(path for path in (data.root / "ejc_data" / "stacks").iterdir())
    before = np.array(np.load(stacks[0] / "image.npy"))
    text = project.read_text()
    project.write_text(text + 'bands: [b1, "b1 / b3"]\ncrater_list: {where: "abs(center_lat) < 30", columns: {train: "FID != 3"}}\n')
    steps = made(project)
    assert {"norm", f"stack {stacks[0].name}"} <= set(steps)
    assert set(pd.read_csv(data.az_positions)["crat_FID"]) == {1, 2, 4}
    image = np.load(stacks[0] / "image.npy")
    assert image.dtype == np.float32 and image.shape[1] == 2
    with rasterio.open(data.mosaic) as file:
        ratio = file.read(1) / file.read(3).astype(float)
    norm = json.loads(data.img_norm.read_text())
    np.testing.assert_allclose([norm["mean"][1], norm["std"][1]], [ratio.mean(), ratio.std()], rtol=1e-5)
    assert ratio.min() <= image[:, 1].min() and image[:, 1].max() <= ratio.max()
    project.write_text(text)
    prepare(project)
    np.testing.assert_array_equal(np.load(stacks[0] / "image.npy"), before)


def test_workers_change_nothing(project, tmp_path):
    from cratermill.samples.store import Store

    data = load_config(project).data
    stack = Store(data.stack("ejc_data", "tiles_32px"))
    before, table = stack.digest(), data.az_positions.read_bytes()
    data.prepared.unlink()
    prepare(project, workers=8)
    assert made(project) == []
    assert stack.digest() == before and data.az_positions.read_bytes() == table


def test_tables_have_ejmaps_columns(project):
    data = load_config(project).data
    columns = [
        "pos_index",
        "crat_FID",
        "x",
        "y",
        "height",
        "width",
        "distance",
        "num_1",
        "h_num_1",
        "radius",
        "split_class",
        "test_0",
        "test_1",
    ]
    assert list(pd.read_csv(data.az_positions)) == columns
    assert list(pd.read_csv(data.eval_positions(1))) == ["eval_pos_index", "x", "y", "height", "width", "train_intersect"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda data: data.mosaic.unlink(), "the mosaic is missing"),
        (lambda data: data.craters.unlink(), "the crater list is missing"),
        (lambda data: data.mask(4).unlink(), "(?s)the ejecta mask of crater 4 is missing.*set train of crater 4 to 0"),
        (lambda data: data.mosaic.write_bytes(data.mosaic.read_bytes()[:5000]), "truncated|can't be read|can't be opened"),
        (lambda data: data.positions(1).write_text("a,b\n1,2\n"), "lacks the columns"),
        (lambda data: write_raster(data.mask(3), MASK, crs=MOON.cylindrical_crs()), "1737400"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing_half_written(project, break_it, message):
    data = load_config(project).data
    break_it(data)
    data.prepared.unlink()
    with pytest.raises(InputError, match=message):
        prepare(project)
    assert not list(data.root.rglob("*.tmp*")) and not list(data.root.rglob("*.part"))


def test_no_drawn_crater_is_an_error(project):
    import geopandas as gpd

    data = load_config(project).data
    gpd.read_file(data.craters).assign(train=0).to_file(data.craters)
    with pytest.raises(InputError, match="no crater in .* has train = 1"):
        prepare(project)


def test_another_body_than_the_mosaics_is_refused(project):
    config = load_config(project)
    project.write_text(project.read_text() + "body: moon\n")
    config.data.prepared.unlink()
    with pytest.raises(InputError, match="2439400.*moon.*1737400"):
        prepare(project)


def test_a_missing_mosaic_is_named_by_its_key(project):
    project.write_text(project.read_text() + "mosaic: nowhere.tif\n")
    with pytest.raises(InputError, match="mosaic is nowhere.tif, but there is no"):
        prepare(project)


def test_fixed_norms_need_one_value_per_band(project):
    config = load_config(project)
    from cratermill.pipeline.prepare import prepare as stage

    wrong = parse_config(config.dump() | {"img_norm": {"mean": [1.0], "std": [1.0]}}, config.root)
    from cratermill.pipeline.planning import wanted_rows

    with pytest.raises(InputError, match="one per band|1 means"):
        stage(wrong, wanted_rows(wrong), lambda *_: None)
