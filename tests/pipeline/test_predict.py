"""``cratermill predict``: trained rows of every family on images, folders and mosaics, without a run configuration."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import cv2
import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from affine import Affine
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.core.files import write_json
from cratermill.core.paths import Project
from cratermill.families import get_family, row_model
from cratermill.families.crater_unet.predict import Predictor
from cratermill.geo.arrays import as_array, write_array
from cratermill.geo.grid import Grid, square_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.predict import predict, read_masks
from cratermill.training.cell import CellParams
from cratermill.training.checkpoint import Checkpoint
from tests.families.chips_common import case as chips
from tests.families.crater_detector.test_detector import ROW as DETECTOR
from tests.families.crater_unet import planet

SIDE = 24


def checkpoint(folder: Path, family: str, row: dict, norm=((0.0,), (255.0,)), iteration: int = 0) -> Path:
    """An untrained network of a row, in a project's results."""
    known = get_family(family)
    hparams = known.hparams_model().model_validate(row)
    params = CellParams(family, hparams.version, 0, iteration, iteration, hparams)
    torch.manual_seed(iteration)
    weights = known.task(params, np.array(norm)).network.state_dict()
    path = Project(folder).version_results(known.short, hparams.version) / f"best-checkpoint_test-set-0_iteration-{iteration}.ckpt"
    return Checkpoint(family, hparams.version, 0, iteration, 0, params.plain_row(), np.array(norm), weights).save(path)


def picture(path: Path, image: np.ndarray, grid: Grid | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if grid is None:
        assert cv2.imwrite(str(path), image)
        return path
    profile = {"driver": "GTiff", "count": 1, "height": image.shape[0], "width": image.shape[1], "dtype": image.dtype.name}
    with rasterio.open(path, "w", **profile, crs=grid.crs.to_wkt(), transform=grid.affine) as file:
        file.write(image[None])
    return path


def rings(circles: list[tuple[float, float, float]], side: int = 128) -> np.ndarray:
    rows, cols = np.mgrid[:side, :side]
    off = np.min([np.abs(np.hypot(cols - x, rows - y) - radius) for x, y, radius in circles], axis=0)
    return np.where(off <= 2.5, 255, 20).astype(np.uint8)


CIRCLES = [(40.0, 50.0, 12.0), (90.0, 80.0, 17.0)]


def found_all(table: pd.DataFrame, circles=CIRCLES) -> bool:
    got = table[["x", "y", "radius_px"]].to_numpy(float)
    return len(got) == len(circles) and all(np.abs(got - one).max(axis=1).min() < 1 for one in circles)


# --- networks that draw craters ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unet(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained elsewhere")
    planet.checkpoint(folder)
    return next(folder.rglob("*.ckpt"))


def test_craters_of_a_folder_with_their_places(unet, tmp_path, monkeypatch):
    planet.sees_what_is_there(monkeypatch)
    grid = square_grid(planet.BODY, 30.0, 80.0, 6400.0, 128)  # azimuthal: a place, but no mosaic in longitudes and latitudes
    picture(tmp_path / "tiles" / "plain.png", rings(CIRCLES))
    picture(tmp_path / "tiles" / "deep" / "placed.tif", rings(CIRCLES), grid)
    facts = predict(tmp_path / "tiles", [unet], tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "craters.csv")
    assert facts["images"] == 2 and facts["craters"] == 4
    plain, placed = (table[table["image"] == name] for name in ("plain.png", "deep/placed.tif"))
    assert found_all(plain) and found_all(placed)
    assert plain["lon"].isna().all()
    lon, lat = grid.lonlat(placed["y"], placed["x"])
    assert np.allclose(placed["lon"], lon) and np.allclose(placed["lat"], lat)
    assert np.allclose(placed["radius_m"], placed["radius_px"] * 100)
    there = geopandas.read_file(tmp_path / "out" / "craters.gpkg")
    assert len(there) == 2 and there.crs.ellipsoid.semi_major_metre == planet.BODY.semi_major_m
    with rasterio.open(tmp_path / "out" / "prediction" / "deep" / "placed.tif.tif") as file:
        assert file.transform.almost_equals(grid.affine) and file.read(1).max() == 254
    assert cv2.imread(str(tmp_path / "out" / "prediction" / "plain.png.png"), cv2.IMREAD_GRAYSCALE).shape == (128, 128)
    record = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert record["checkpoints"][0]["path"] == str(unet) and record["checkpoints"][0]["version"] == 1


def test_a_mosaic_is_mapped_and_nothing_is_left_behind(unet, tmp_path, monkeypatch):
    planet.sees_what_is_there(monkeypatch)
    mosaic, craters = planet.ring_planet(tmp_path / "mosaic.tif", height=120, count=12)
    craters.to_csv(tmp_path / "known.csv", index=False)
    changes = ["map.options.missing=null", "map.options.window_px=128", "map.options.latitudes=[-15, 15]"]
    facts = predict(mosaic, [unet], tmp_path / "out", craters=tmp_path / "known.csv", changes=changes)
    assert facts["F1_strict"] == 1 and facts["craters"] == (craters["lat"].abs() < 15).sum() > 1
    assert {path.name for path in tmp_path.iterdir()} == {"mosaic.tif", "known.csv", "out"}
    with rasterio.open(tmp_path / "out" / "prediction.tif") as file, rasterio.open(mosaic) as source:
        assert file.transform == source.transform
    with pytest.raises(InputError, match="is there already"):
        predict(mosaic, [unet], tmp_path / "out")


def test_what_validation_tiles_chose_is_taken_along(unet, tmp_path, monkeypatch):
    planet.sees_what_is_there(monkeypatch)
    root = tmp_path / "project"
    planet.checkpoint(root, confidence=None)
    image = picture(tmp_path / "one.png", rings(CIRCLES))
    own = next(root.rglob("*.ckpt"))
    assert predict(image, [own], tmp_path / "usual")["craters"] == 2
    evaluated = Project(root).cell_product("crater_unet", 1, "evaluate", 0, 0)
    write_json(evaluated / "reading.json", {"level": 0.5, "confidence": 1.1, "arc": 0.25})
    write_json(evaluated / "cell.json", {})
    assert predict(image, [own], tmp_path / "chosen")["craters"] == 0


def test_masks_of_others_are_read_as_a_row_says(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    row = planet.ROW | {"test-set": "[0]"}
    row.pop("test_set")
    pd.DataFrame([row]).to_csv(tmp_path / "configs" / "crater_unet_version_hparams.csv", index=False)
    monkeypatch.chdir(tmp_path)
    image = picture(tmp_path / "mask.png", np.where(rings(CIRCLES) == 255, 255, 0).astype(np.uint8))
    assert read_masks(image, "crater_unet:1")["craters"] == 2
    assert found_all(pd.read_csv(tmp_path / "results" / "predicted" / "mask_masks" / "craters.csv"))
    with pytest.raises(InputError, match="no version 2"):
        read_masks(image, "crater_unet:2")
    with pytest.raises(InputError, match="reads nothing off masks"):
        pd.DataFrame([chips.SGAN]).to_csv(tmp_path / "configs" / "sgan_version_hparams.csv", index=False)
        read_masks(image, "sgan:1", tmp_path / "x")


def test_a_detector_lists_the_craters_of_images(tmp_path, monkeypatch):
    path = checkpoint(tmp_path, "crater_detector", DETECTOR | {"threshold": 0.3})

    def sees(self, image):
        return [np.array([[*one, 0.9] for one in CIRCLES] + [[20.0, 20.0, 8.0, 0.1]])] * len(self.ensemble)

    monkeypatch.setattr("cratermill.families.crater_detector.find.Finder._in_window", sees)
    monkeypatch.setattr("cratermill.families.crater_detector.hparams.Hparams.scales", (1.0,))
    facts = predict(picture(tmp_path / "one.png", rings(CIRCLES)), [path], tmp_path / "out")
    assert facts == {"images": 1, "craters": 2, "folder": str(tmp_path / "out")}
    assert found_all(pd.read_csv(tmp_path / "out" / "craters.csv"))


# --- chips ---------------------------------------------------------------------------------------------------------------------


class Bright(torch.nn.Module):
    """Logits of two classes: how bright the middle of a chip is, and not its rim."""

    def forward(self, chips_B1HW: torch.Tensor) -> torch.Tensor:
        middle, all_ = chips_B1HW[:, 0, 8:16, 8:16].mean((1, 2)), chips_B1HW[:, 0].mean((1, 2))
        logit = (middle - all_ - 25) / 5
        return torch.stack([-logit, logit], 1)


@pytest.fixture(scope="module")
def sgan(tmp_path_factory) -> Path:
    row = {name: value for name, value in chips.SGAN.items() if name != "OPT_Adam_betas"}
    return checkpoint(tmp_path_factory.mktemp("chips"), "sgan", row, ((127.5,), (127.5,)))


@pytest.fixture
def bright(monkeypatch) -> None:
    monkeypatch.setattr("cratermill.families.chips_common.mapping.classifier", lambda *_: Bright())


@pytest.fixture(scope="module")
def discs(tmp_path_factory) -> Path:
    """A planet of bright discs, and their list."""
    return chips.write_planet(tmp_path_factory.mktemp("a planet"), grain=8)


def test_chips_get_labels(sgan, tmp_path):
    images, _ = chips.chips(5)
    for number, image in enumerate(images):
        picture(tmp_path / "chips" / f"{number}.png", image)
    facts = predict(tmp_path / "chips", [sgan], tmp_path / "out", changes=["map.options.classes=[plain, crater]"])
    table = pd.read_csv(tmp_path / "out" / "labels.csv")
    saved = torch.load(sgan, weights_only=True)
    row = row_model("sgan").from_plan(saved["hparams"])
    task = get_family("sgan").task(CellParams("sgan", 1, 0, 0, 0, row), np.array([[127.5], [127.5]]))
    task.network.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        expected = task.network.eval()(torch.from_numpy(images[:, None].astype(np.float32))).softmax(1)[:, 1]
    assert np.allclose(table["p_crater"], expected, atol=1e-6)
    assert facts["labelled_plain"] + facts["labelled_crater"] == 5 == facts["images"]


def test_a_scan_finds_the_places(sgan, discs, bright, tmp_path):
    window = 9  # pixels of the mosaic; discs have radii of 5
    changes = [f"map.options.window_px=[{2 * window}]", "map.options.step=0.2", "map.options.half_side_radii=2", "map.options.chunk=2000"]
    facts = predict(discs / "mosaic.tif", [sgan], tmp_path / "out", changes=changes)
    found, known = pd.read_csv(tmp_path / "out" / "craters.csv"), pd.read_csv(discs / "craters.csv")
    known = known[~known["FID"].isin([3, 6])]  # beside each other: both together are one bright spot
    for crater in known.itertuples():
        away = chips.BODY.distance_m(crater.lon, crater.lat, found["lon"].to_numpy(), found["lat"].to_numpy())
        assert away.min() < chips.RADIUS_M / 2, crater
    assert len(known) <= facts["craters"] <= len(known) + 2
    with rasterio.open(tmp_path / "out" / "probability_18px.tif") as file, rasterio.open(discs / "mosaic.tif") as mosaic:
        probability = file.read(1)
        assert file.shape == (45, 90) and file.transform.almost_equals(mosaic.transform @ Affine.scale(4))
    row, col = (round(value) for value in ((90 - 20) / 4 - 0.5, (-100 + 180) / 4 - 0.5))
    assert probability[row, col] > 0.9 and probability[row, col + 10] < 0.1
    with zipfile.ZipFile(tmp_path / "out" / "map.qgz") as package:
        layers = ElementTree.fromstring(package.read("map.qgs")).iter("maplayer")
        sources = [(tmp_path / "out" / layer.findtext("datasource").split("|")[0]).resolve() for layer in layers]
    assert sources[-1] == (discs / "mosaic.tif").resolve() and all(source.exists() for source in sources)
    assert "All results" not in (tmp_path / "out" / "index.html").read_text()
    assert np.isfinite(probability).all()


def test_a_sieve_rates_a_list(sgan, discs, bright, tmp_path):
    table = pd.read_csv(discs / "craters.csv")[lambda t: t["FID"] < 6]
    wrong = pd.DataFrame({"FID": [7, 8], "lon": [0.0, 80.0], "lat": [50.0, 50.0], "radius_m": chips.RADIUS_M})
    pd.concat([table, wrong]).assign(name="n").to_csv(tmp_path / "list.csv", index=False)
    options = ["map.options.half_side_radii=2", "map.options.classes=[plain, crater]", "map.options.chunk=4"]
    facts = predict(discs / "mosaic.tif", [sgan], tmp_path / "out", craters=tmp_path / "list.csv", changes=options)
    rated = pd.read_csv(tmp_path / "out" / "rated.csv").set_index("FID")
    assert set(rated.index[rated["predicted"] == "crater"]) == {1, 2, 3, 4, 5} == set(rated.index[rated["p_crater"] > 0.9])
    assert facts["rated"] == 7 and facts["craters"] == 5 and rated["name"].eq("n").all()
    assert sorted(pd.read_csv(tmp_path / "out" / "craters.csv")["listed_as"]) == [1, 2, 3, 4, 5]
    with Mosaic.open(discs / "mosaic.tif") as mosaic:
        store = write_array(tmp_path / "discs.zarr", as_array(mosaic, masked=False), mosaic.grid, nodata=mosaic.nodata)
    predict(store, [sgan], tmp_path / "again", craters=tmp_path / "list.csv", changes=options)
    assert (tmp_path / "again" / "rated.csv").read_text() == (tmp_path / "out" / "rated.csv").read_text(), "a store is a mosaic, too"


# --- latents, connections, ejecta ----------------------------------------------------------------------------------------------


def test_latents_of_crops(tmp_path):
    from cratermill.families.autoencoder.encode import encode, trained_network
    from cratermill.families.autoencoder.prepare import finish

    row = {"version": 1, "version_run": True, "test-set": "[0]", "trainings_per_test": 1, "val_frac": 0.2, "batch_size": 4, "lr": 1e-3}
    row |= {"optimizer": "Adam", "max_epochs": 1, "model_name": "cae", "crop_px": 32, "latent_dim": 3}
    path = checkpoint(tmp_path, "autoencoder", row)
    images, _ = chips.chips(3, side=32)
    for number, image in enumerate(images):
        picture(tmp_path / "crops" / f"{number}.png", image)
    predict(tmp_path / "crops", [path], tmp_path / "out")
    network, hparams = trained_network(path, 1)
    finish(images, hparams)
    assert np.array_equal(np.load(tmp_path / "out" / "latents.npy"), encode(network, images))
    table = pd.read_csv(tmp_path / "out" / "latents.csv")
    assert table["image"].tolist() == ["0.png", "1.png", "2.png"] and {"z0", "z1", "z2"} <= set(table)


def test_ejecta_and_connections_of_a_mosaic(trained, tmp_path):
    """The same as a launched map of the same networks."""
    from cratermill.families.members import checkpoint_paths
    from cratermill.pipeline.load_config import load_config

    config = load_config(trained)
    paths = {name: list(checkpoint_paths(config, name, version, 0).values()) for name, version in (("connection", 3), ("ejecta", 8))}
    common = {"craters": config.data.craters, "changes": ["tiles.eval_size_px=10", "map.craters=[3]"]}
    facts = predict(config.mosaic, [*paths["connection"], *paths["ejecta"]], tmp_path / "both", **common)
    with rasterio.open(tmp_path / "both" / "ejecta-map_all.tif") as file, rasterio.open(config.mosaic) as mosaic:
        assert file.shape == mosaic.shape and file.transform == mosaic.transform
    alone = predict(config.mosaic, paths["connection"], tmp_path / "tiles", **common)
    table = pd.read_csv(tmp_path / "tiles" / "tiles.csv")
    assert alone["tiles"] == len(table) and set(table["votes"]) <= {0.0, 0.5, 1.0}
    assert (table["connected"] == (table["votes"] >= 0.5)).all()
    assert facts["craters"] == 1
    away = chips.BODY.distance_m(40.0, 10.0, table["lon"].to_numpy(), table["lat"].to_numpy())
    assert away.max() < 0.27 * chips.BODY.half_circumference_m
    with pytest.raises(InputError, match="craters of a list"):
        predict(config.mosaic, paths["ejecta"], tmp_path / "x")
    with pytest.raises(InputError, match="can't be applied to one.png alone"):
        predict(picture(tmp_path / "one.png", rings(CIRCLES)), paths["ejecta"], tmp_path / "x")


# --- what is refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.png", "--checkpoint", "{unet}"], "there is no nowhere.png"),
        (["{image}", "--checkpoint", "{image}"], "is no checkpoint"),
        (["{image}"], "--checkpoint and --masks"),
        (["{image}", "--masks", "crater_unet:1", "--set", "map.split=1"], "--masks with --craters or --set"),
        (["{image}", "--checkpoint", "{unet}", "--craters", "nothing.csv"], "there is no nothing.csv Valid: a crater list"),
        (["{image}", "--checkpoint", "{unet}", "--craters", "{image}"], "a crater list is of no use for images"),
        (["{image}", "--checkpoint", "{unet}", "--checkpoint", "{unet}"], "are no ensemble"),
        (["{image}", "--checkpoint", "{unet}", "--set", "map.options.windows=3"], "window_px"),
        (["{empty}", "--checkpoint", "{unet}"], "holds no images"),
        (["{image}", "--checkpoint", "{nan}"], "holds values that are no numbers (NaN or infinite)"),
        (["{image}", "--checkpoint", "{norm}"], "norm holds values that are no numbers (NaN or infinite)"),
        (["{image}", "--checkpoint", "{unet}", "--into", "{empty}"], "is there already"),
    ],
)
def test_wrong_input_is_named(unet, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    given = {"unet": unet, "image": picture(tmp_path / "one.png", rings(CIRCLES)), "empty": tmp_path / "empty"}
    content = torch.load(unet, weights_only=True)
    spoilt = {name: torch.full_like(value, torch.nan) for name, value in content["state_dict"].items() if value.is_floating_point()}
    for name, change in (("nan", {"state_dict": content["state_dict"] | spoilt}), ("norm", {"norm": content["norm"] * torch.inf})):
        given[name] = tmp_path / f"{name}.ckpt"
        torch.save(content | change, given[name])
    answer = CliRunner().invoke(app, ["predict", *(word.format(**given) for word in words)])
    assert answer.exit_code == 2 and said in " ".join(answer.output.split()), answer.output


def test_the_networks_are_really_asked(unet, tmp_path, monkeypatch):
    """An ensemble of two iterations: the mean of both, by the networks themselves."""
    hparams = torch.load(unet, weights_only=True)["hparams"]
    paths = [checkpoint(tmp_path / "two", "crater_unet", hparams, ((127.5,), (127.5,)), number) for number in range(2)]
    seen = {}
    monkeypatch.setattr("cratermill.families.crater_unet.mapping.circles_of", None, raising=False)
    original = Predictor.circles
    monkeypatch.setattr(Predictor, "circles", lambda self, p, *rest: seen.update(p=p, n=len(self.ensemble)) or original(self, p, *rest))
    image = rings(CIRCLES)
    predict(picture(tmp_path / "one.png", image), paths, tmp_path / "out")
    alone = [Predictor([path], 1).tiles(image[None].astype(np.float32))[0] for path in paths]
    assert seen["n"] == 2
    assert np.allclose(seen["p"], np.mean(alone, axis=0), atol=1e-5)
    assert not np.allclose(alone[0], alone[1])
