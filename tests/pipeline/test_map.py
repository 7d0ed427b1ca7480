"""The whole way from trained cells to a map, with real networks: done once, resumable, and the same whoever maps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml

import cratermill
from cratermill import open_craters, open_map, open_table
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.batch.workspace import check_products
from cratermill.core.errors import InputError
from cratermill.core.files import read_json
from cratermill.families.ejecta.mapping import load_members, segment
from cratermill.families.ejecta_common.craters import Crater
from cratermill.families.ejecta_common.mapping import tiles_to_map
from cratermill.families.ejecta_common.planned import open_mosaic
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_mapping
from cratermill.pipeline.load_config import load_config, parse_config
from cratermill.pipeline.plan_maps import at_work, map_warnings, refuse_other_weights
from tests.docs.notebooks import run_notebook, texts
from tests.families.ejecta.mapping_case import Workspace
from tests.pipeline.conftest import copy_project

NAME = "ejc-version-8_conn-version-3_test-set-0_x2"


def run_all(plan) -> None:
    """What the local executor does, without starting a process."""
    check_products(plan)
    refuse_other_weights(parse_config(plan.config, plan.root), plan)
    freeze(plan)
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"


@pytest.fixture(scope="module")
def project(trained: Path, tmp_path_factory) -> Path:
    """A trained project whose config also makes a map."""
    config = copy_project(trained, tmp_path_factory.mktemp("mapped"))
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(content | {"map": {"versions": {"connection": 3, "ejecta": 8}, "split": 0}}))
    return config


@pytest.fixture(scope="module")
def mapped(project: Path) -> Path:
    """The map's folder after one launch."""
    run_all(plan_mapping(load_config(project)))
    return load_config(project).project.map_folder(NAME)


def test_the_map_has_everything_a_user_reads(mapped):
    names = {path.name for path in mapped.iterdir()}
    fids = range(1, 6)
    expected = {f"cylindrical_mask_crater_{fid}.tif" for fid in fids} | {f"vote_share_crater_{fid}.tif" for fid in fids}
    expected |= {"ml_FID_map_all.tif", "ejecta-map_all.tif", "max_probability_all.tif", "ejecta_polygons.gpkg", "craters.gpkg"}
    expected |= {"craters.csv", "overlaps_pairs.csv", "areas.csv", "preview.png", "index.html", "provenance.json"}
    assert expected <= names and not [name for name in names if name.startswith(".")]
    assert pd.read_csv(mapped / "craters.csv")["crat_FID"].tolist() == list(fids)


def test_vote_shares_are_those_of_two_members(mapped):
    for path in mapped.glob("vote_share_crater_*.tif"):
        with rasterio.open(path) as dataset:
            share, probability = dataset.read()
        seen = np.isfinite(share)
        assert np.array_equal(seen, np.isfinite(probability))
        assert share[seen].min(initial=0) >= 0 and share[seen].max(initial=1) <= 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_networks_map_in_the_precision_of_the_configuration(project, mapped, precision):
    config = load_config(project, [f"trainer.precision={precision}"])
    params = plan_mapping(config).cells[0].params
    members = load_members(at_work(config, params), params)
    assert members.ejecta.computing.precision == members.connection.computing.precision == precision


def test_what_a_map_lacks_is_told_without_networks(project):
    """Of a map that nobody asked about before, with what is to be said of its mosaic."""
    code = (
        "import sys; from pathlib import Path; from cratermill.pipeline.launch import launch\n"
        f"launch('map', Path({str(project)!r}), dry_run=True, changes=['map.name=another'])\n"
        "print([name for name in ('torch', 'timm', 'matplotlib') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]" and "map ejecta: 5 to do" in told, told


@pytest.mark.parametrize(("precision", "said"), [("auto", "absent"), ("bf16-mixed", "bf16-mixed")])
def test_another_precision_is_a_conflict_not_a_mixture(project, mapped, precision, said):
    """Parts made in it would stand beside those of before: as with any other changed setting, launching refuses."""
    check_products(plan_mapping(load_config(project, ["trainer.precision=32-true"])))
    with pytest.raises(InputError, match=f"precision: 32-true → {said}"):
        check_products(plan_mapping(load_config(project, [f"trainer.precision={precision}"])))


def test_tiles_sampled_on_the_device_make_the_same_map(project, mapped, tmp_path):
    """The connection and the ejecta networks see the same tiles, wherever they are sampled; here the device is the CPU."""
    voted, pieces = {}, {}
    for where in ("host", "device"):
        config = load_config(project, ["trainer.precision=32-true", f"trainer.sample_on={where}"])
        for cell in plan_mapping(config).cells[:5]:
            one, fid = at_work(config, cell.params), cell.params["fid"]
            members, crater = load_members(one, cell.params), Crater(*(cell.params[name] for name in ("fid", "lon", "lat", "radius_m")))
            assert all((ensemble.computing.sample_on is None) is (where == "host") for ensemble in (members.ejecta, members.connection))
            with open_mosaic(one) as mosaic:
                tiles = tiles_to_map(one, crater, mosaic)
                voted[where, fid] = members.connection.connection(mosaic, crater, tiles)
                pieces[where, fid] = segment(members.ejecta, mosaic, crater, tiles, Workspace(tmp_path))
    for fid in range(1, 6):
        np.testing.assert_allclose(voted["device", fid], voted["host", fid], atol=1e-3)
        for (window, found), (other, wanted) in zip(pieces["device", fid], pieces["host", fid], strict=True):
            assert window == other
            np.testing.assert_allclose(found[1], wanted[1], atol=1e-3)


def test_provenance_names_run_code_and_weights(project, mapped):
    found = read_json(mapped / "provenance.json")
    assert found["run"].startswith("tiny-map-") and len(found["code"]["code_sha256"]) == 64
    assert {family: len(weights) for family, weights in found["checkpoints"].items()} == {"connection": 2, "ejecta": 2}
    assert found["missing"] == []


def test_the_map_is_opened_as_arrays_and_tables(mapped):
    found = open_map(mapped)
    assert set(found) == {"owner", "votes", "probability", "composite"} and all(one.chunks for one in found.values())
    owner, votes = found["owner"].to_numpy(), found["votes"].to_numpy()
    with rasterio.open(mapped / "ml_FID_map_all.tif") as file:
        np.testing.assert_array_equal(owner, file.read(1))
        shape, transform = file.shape, file.transform
    highest = np.full(shape, -1.0)
    for path in mapped.glob("vote_share_crater_*.tif"):
        with rasterio.open(path) as file:
            share, place = np.nan_to_num(file.read(1), nan=-1), ~transform @ (file.transform.c, file.transform.f)
            col, row = (round(one) for one in place)
            part = np.s_[row : row + share.shape[0], col : col + share.shape[1]]
            highest[part] = np.maximum(highest[part], share)
    np.testing.assert_array_equal(np.nan_to_num(votes, nan=-1), highest)
    assert found.attrs["threshold"] == 0.5 and found.rio.crs == found["owner"].rio.crs
    assert len(open_table(mapped, "ejecta_polygons")) == len(open_craters(mapped)) == 5
    with pytest.raises(InputError, match="no table 'polygons'"):
        open_table(mapped, "polygons")


def test_runs_are_values(project, mapped):
    config = cratermill.load_config(project)
    cells = cratermill.plan(config, "map")
    assert cells["done"].all() and list(cells["stage"].unique()) == ["map", "composite"]
    run = cratermill.launch(config, "map", executor="local")
    assert run.finished and run.cells["state"].eq("done").all() and run.name == cratermill.status("latest", config.root).name
    board = cratermill.open_leaderboard("ejecta", config.root)
    assert board["version"].tolist() == [8] and board["lr"].tolist() == [0.003]
    with pytest.raises(InputError, match="leaderboard.csv"):
        cratermill.open_leaderboard("sgan", config.root)


def test_the_notebook_about_maps_runs(project, mapped):
    said = texts(run_notebook("explore-a-map.ipynb", project.parents[1]))
    assert "owner" in said[0] and "votes" in said[0] and 0 < float(said[1].split("(")[-1].rstrip(")")) < 1


def test_only_missing_craters_are_mapped_again(project, mapped, monkeypatch):
    plan = plan_mapping(load_config(project))
    lost = plan.product(plan.cells[2])
    before = {cell.key: (plan.product(cell) / "cell.json").stat().st_mtime_ns for cell in plan.cells if cell.stage == "map"}
    whole = (mapped / "ml_FID_map_all.tif").read_bytes()
    shutil.rmtree(lost)
    run_all(plan)
    after = {cell.key: (plan.product(cell) / "cell.json").stat().st_mtime_ns for cell in plan.cells if cell.stage == "map"}
    assert [key for key in before if before[key] != after[key]] == [plan.cells[2].key]
    assert (mapped / "ml_FID_map_all.tif").read_bytes() == whole


def test_a_crater_that_failed_is_named_on_the_map(project, mapped):
    config = load_config(project)
    plan = plan_mapping(config)
    freeze(plan)
    shutil.rmtree(plan.product(plan.cells[0]))
    result = run_cell(plan, len(plan.cells) - 1, science)
    assert result.state == "done", result.cause
    assert "Not on this map" in (mapped / "index.html").read_text() and plan.cells[0].key in (mapped / "index.html").read_text()
    assert not (mapped / "cylindrical_mask_crater_1.tif").exists()
    run_all(plan)
    assert (mapped / "cylindrical_mask_crater_1.tif").exists()


def test_other_checkpoints_are_a_conflict_not_a_mixture(project, mapped):
    config = load_config(project)
    path = config.project.cell_product("ejc", 8, "train", 0, 1) / "best.ckpt"
    content = path.read_bytes()
    try:
        path.unlink()
        path.write_bytes((path.parents[1] / "train_test-set-0_iteration-0" / "best.ckpt").read_bytes())
        with pytest.raises(InputError, match="checkpoints") as error:
            run_all(plan_mapping(config))
        assert "--overwrite" in str(error.value)
    finally:
        path.unlink()
        path.write_bytes(content)


def test_a_damaged_checkpoint_fails_its_cells_and_is_named(project, mapped, tmp_path, capsys):
    config = copy_project(project, tmp_path)
    loaded = load_config(config)
    shutil.rmtree(loaded.project.map_log(NAME))
    path = loaded.project.cell_product("conn", 3, "train", 0, 0) / "best.ckpt"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    plan = plan_mapping(loaded)
    freeze(plan)
    result = run_cell(plan, 0, science)
    assert result.state == "failed" and "damaged" in result.cause and "iteration-0" in result.cause
    assert not plan.product(plan.cells[0]).exists()
    said = map_warnings(loaded, plan.cells[0].params)  # what the launch said, and the composite of whatever was made says
    assert len(said) == 1 and "damaged" in said[0] and said[0] in capsys.readouterr().err


def test_matched_brightness_forgets_another_camera(project, mapped, tmp_path, capsys):
    """A mosaic in other units maps like the first when both are matched to the training's brightness."""
    config = copy_project(project, tmp_path)
    content = yaml.safe_load(config.read_text())
    with rasterio.open(load_config(config).mosaic) as source:
        pixels, profile = source.read().astype(np.float32), source.profile
    shares = []
    for name, scale, offset in (("same", 1, 0), ("other", 40, 3000)):
        path = config.parents[1] / f"{name}.tif"
        with rasterio.open(path, "w", **{**profile, "dtype": "float32"}) as file:
            file.write(pixels * scale + offset)
        chosen = {**content["map"], "mosaic": path.name, "match_brightness": True, "craters": [2]}
        config.write_text(yaml.safe_dump(content | {"map": chosen}))
        plan = plan_mapping(load_config(config))
        freeze(plan)
        assert (result := run_cell(plan, 0, science)).state == "done", result.cause
        with rasterio.open(plan.product(plan.cells[0]) / "vote_share_crater_2.tif") as dataset:
            shares.append(dataset.read())
    assert np.isfinite(shares[0]).sum() > 500
    np.testing.assert_allclose(*(share[1] for share in shares), atol=0.02)
    assert "other.tif" not in capsys.readouterr().err
    config.write_text(yaml.safe_dump(content | {"map": {**content["map"], "mosaic": "other.tif", "craters": [2]}}))
    plan_mapping(load_config(config))
    said = capsys.readouterr().err
    assert f"{pixels[0].mean() * 40 + 3000:.4g}"[:3] in said and "other.tif" in said  # as it is, launching says how far it is off


def test_a_grey_mosaic_is_refused_until_its_band_is_repeated(project, mapped, tmp_path):
    config = copy_project(project, tmp_path)
    content = yaml.safe_load(config.read_text())
    with rasterio.open(load_config(config).mosaic) as source:
        grey, profile = source.read(1), source.profile
        trained_on = source.count
    with rasterio.open(config.parents[1] / "grey.tif", "w", **{**profile, "count": 1, "photometric": "MINISBLACK"}) as file:
        file.write(grey, 1)
    outcomes = []
    for chosen in ({}, {"bands": [1] * trained_on}):
        config.write_text(yaml.safe_dump(content | {"map": {**content["map"], "mosaic": "grey.tif", "craters": [2], **chosen}}))
        plan = plan_mapping(load_config(config))
        freeze(plan)
        outcomes.append(run_cell(plan, 0, science))
    assert outcomes[0].state == "failed" and "1 band(s)" in outcomes[0].cause and f"bands: {[1] * trained_on}" in outcomes[0].cause
    assert outcomes[1].state == "done", outcomes[1].cause
    assert (plan.product(plan.cells[0]) / "vote_share_crater_2.tif").exists()


def test_probabilities_are_corrected_by_validation_tiles(project, mapped, tmp_path):
    """The votes stay; the correction is the one that suits what each network says of the tiles it was validated with."""
    config = copy_project(project, tmp_path)
    content = yaml.safe_load(config.read_text())
    chosen = {**content["map"], "craters": [2], "name": "sure", "options": {"calibrate": "temperature"}}
    config.write_text(yaml.safe_dump(content | {"map": chosen}))
    run_all(plan_mapping(load_config(config)))
    folder = load_config(config).project.map_folder("sure")
    found = read_json(folder / "provenance.json")["calibration"]
    before, after = (rasterio.open(one / "vote_share_crater_2.tif").read() for one in (mapped, folder))
    assert np.array_equal(before[0], after[0], equal_nan=True)
    forecast, true = validation_forecasts(load_config(config))
    logit = np.log(np.clip(forecast, 1e-4, 1 - 1e-4) / (1 - np.clip(forecast, 1e-4, 1 - 1e-4)))
    losses = {t: -np.mean(np.where(true, -np.logaddexp(0, -logit / t), -np.logaddexp(0, logit / t))) for t in np.geomspace(0.06, 18, 200)}
    best = min(losses, key=lambda t: losses[t])
    assert found["temperature"] == pytest.approx(best, rel=0.05) and found["pixels"] == forecast.size
    assert found["Brier_before"] == pytest.approx(((forecast - true) ** 2).mean(), abs=2e-3)
    seen = np.isfinite(before[1])
    moved = abs(after[1] - before[1])[seen].max()
    assert moved > 0 if abs(np.log(best)) > 0.05 else moved < 0.02
    load_config(config).data.stack("ejc_data", "tiles_32px").rename(tmp_path / "gone")
    content["map"] = {**chosen, "craters": [3], "name": "lost"}
    config.write_text(yaml.safe_dump(content))
    plan = plan_mapping(load_config(config))
    freeze(plan)
    result = run_cell(plan, plan.cells[0].index, science)
    assert result.state != "done" and "can't be calibrated" in result.cause


def validation_forecasts(config) -> tuple[np.ndarray, np.ndarray]:
    """What each of the two networks says of its own validation tiles, and the truth, (n,) each."""
    from cratermill.families import get_family, members
    from cratermill.families.ejecta.predict import EjectaEnsemble
    from cratermill.training.cell import CellParams
    from cratermill.training.checkpoint import load

    forecasts, truths = [], []
    for path in members.find_checkpoints(config, "ejecta", 8, 0).values():
        one, alone = load(path), EjectaEnsemble.load([path], "ejecta", 8)
        val = get_family("ejecta").datasets(config, CellParams("ejecta", 8, 0, one.iteration, one.seed, alone.hparams)).val
        for at in range(len(val)):
            extra = val[at]["extra"][None].numpy() if "extra" in val[at] else None
            forecasts.append(alone.probabilities(val[at]["image"][None].numpy(), extra).numpy().ravel())
            truths.append(val[at]["target"].numpy().ravel() > 0)
    return np.concatenate(forecasts).astype(float), np.concatenate(truths)
