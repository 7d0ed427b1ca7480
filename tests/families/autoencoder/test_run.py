"""A run from mosaic and catalogue to clusters on the mosaic; steps alone; what is refused."""

from __future__ import annotations

import json
import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from affine import Affine
from matplotlib.image import imread
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.core.files import read_json, write_json
from cratermill.families import cell_params
from cratermill.families.autoencoder import mapping
from cratermill.families.autoencoder.data import parts
from cratermill.families.autoencoder.encode import encode, trained_network
from cratermill.families.autoencoder.evaluate import evaluate
from cratermill.families.autoencoder.gather import body_of
from cratermill.families.autoencoder.mapping import open_mosaic
from cratermill.families.autoencoder.mosaic_pictures import View, spread
from cratermill.families.autoencoder.prepare import stack_of
from cratermill.families.autoencoder.products import write_products
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import train_plan, wanted_rows
from cratermill.pipeline.train import train
from cratermill.samples.crops import Cutter, Geometry
from cratermill.training.cell import CellParams
from tests.families.autoencoder.case import BODY, CRATERS, project, run, write_mosaic
from tests.pipeline.test_train import FakeWorkspace, Stopped, weights

NAMES = [
    "autoencoder.pth",
    "autoencoder.json",
    "loss_curve.png",
    "reconstructions.png",
    "latents.npy",
    "clustering_dots.png",
    "clustering_imgs.png",
    "clustering_montage.png",
    "clustering_histograms.png",
    "crater_clusters_kmeans.csv",
    "crater_clusters_kmeans_clusters.geojson",
    "crater_clusters_kmeans.gpkg",
    "mosaic_dots.png",
    "mosaic_imgs.png",
    "clusters.json",
    "eval_metrics.csv",
    "test_metrics.csv",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The config of a project that is trained, evaluated, summarised and mapped."""
    config = project(tmp_path_factory.mktemp("latent maps") / "it's one")
    prepare(config)
    run(config)
    run(config, "map")
    return load_config(config)


@pytest.fixture
def results(made):
    return made.project.version_results("autoencoder", 1)


def test_every_file_that_users_look_for_is_there(results):
    assert not [name for name in NAMES if not (results / name).exists()]


def test_the_model_holds_tensors_only_and_gives_the_latents_again(made, results):
    state = torch.load(results / "autoencoder.pth", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    kept = read_json(results / "autoencoder.json")
    checkpoint = results / f"best-checkpoint_test-set-0_iteration-{kept['iteration']}.ckpt"
    network, row = trained_network(checkpoint, 1)
    images = stack_of(made, row).array("image")
    latents = np.load(results / "latents.npy")
    assert latents.shape == (CRATERS, 6) and latents.dtype == np.float32
    assert np.abs(encode(network, images) - latents).max() < 1e-5
    # Alone or in another order they are the very same: nothing depends on a crop's neighbours.
    assert np.array_equal(encode(network, images[5:6]), latents[5:6]) and np.array_equal(encode(network, images[::-1]), latents[::-1])


def test_the_best_iteration_by_validation_is_kept(made, results):
    losses = {
        cell["iteration"]: cell["val_loss"]
        for cell in (read_json(path) for path in (made.project.version_log("autoencoder", 1) / "tests").glob("results_*.json"))
    }
    assert len(losses) == 2 and read_json(results / "autoencoder.json")["iteration"] == min(losses, key=losses.get)


@pytest.mark.parametrize("name", ["crater_clusters_kmeans_clusters.geojson", "crater_clusters_kmeans.gpkg"])
def test_clusters_lie_on_the_body_where_their_craters_are(results, name):
    frame, table = gpd.read_file(results / name), pd.read_csv(results / "crater_clusters_kmeans.csv")
    assert frame.crs.ellipsoid.semi_major_metre == BODY.semi_major_m
    assert np.allclose(frame.geometry.x, table["lon"]) and np.allclose(frame.geometry.y, table["lat"])
    assert frame["cluster"].tolist() == table["cluster"].tolist() and set(table["cluster"]) == {0, 1, 2}


def test_figures_are_reported(results):
    found = read_json(results / "clusters.json")
    names = {"silhouette", "seed_ARI", "bootstrap_ARI", "eta2_light", "AMI_light", "eta2_latitude", "eta2_diameter", "eta2_upsampling"}
    assert names <= found.keys() and sum(found["sizes"]) == CRATERS
    table = pd.read_csv(results / "eval_metrics.csv")
    assert len(table) == 2 and np.isfinite(table[["test_loss", "silhouette", "seed_ARI"]].to_numpy(float)).all()


def test_the_map_has_every_crater_once_in_chunks_as_in_one(made, results):
    folder = next((made.root / "results" / "output_masks").iterdir())
    assert {"window_dots.png", "window_imgs.png", "mosaic_imgs.png", "clusters.json"} <= {path.name for path in folder.iterdir()}
    table = pd.read_csv(folder / "crater_clusters_kmeans.csv")
    trained = pd.read_csv(results / "crater_clusters_kmeans.csv")
    assert sorted(table["FID"]) == sorted(trained["FID"]) == list(range(CRATERS))
    assert len(list((made.root / "log" / "map_log").glob("*/cells/*/latents.npy"))) == 3
    assert "image/jpeg" in (results.parent / "index.html").read_text() and len(list(results.glob("samples_test-set-*.jpg"))) == 1
    # The same network, mosaic and craters: the map's latents are the training's.
    order = trained.reset_index().set_index("FID").loc[table["FID"], "index"]
    assert np.abs(np.load(folder / "latents.npy") - np.load(results / "latents.npy")[order]).max() < 1e-5


def test_a_launch_again_does_nothing(made):
    plan = train_plan(made)
    assert {cell.stage for cell in plan.cells} == {"train", "evaluate", "summarise"}
    before = {path: path.stat().st_mtime_ns for path in made.root.rglob("best.ckpt")}
    run(made.source)
    assert before == {path: path.stat().st_mtime_ns for path in made.root.rglob("best.ckpt")}


def test_other_clusters_without_training(made, results):
    options = ["--method", "agglomerative", "--clusters", "4", "--regress-out", "light", "--view", "tsne", "--into", "four", "--json"]
    answer = CliRunner().invoke(app, ["latents", "cluster", str(made.source), "1", *options])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.output)["clusters"] == 4
    assert set(pd.read_csv(results / "four" / "crater_clusters_agglomerative.csv")["cluster"]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--into", ".."], "is no folder below"),
        (["--into", "."], "is no folder below"),
        (["--clusters", "49"], "48 crops can't make 49 clusters"),
        (["--method", "fuzzy"], "cluster_method = 'fuzzy'"),
    ],
)
def test_impossible_clusters_are_refused(made, options, says):
    answer = CliRunner().invoke(app, ["latents", "cluster", str(made.source), "1", *options])
    assert answer.exit_code == 2 and says in answer.output


def test_latents_of_other_crops_of_the_same_number_are_not_grouped(made, results):
    figures = read_json(results / "clusters.json")
    write_json(results / "clusters.json", figures | {"stack": "of other crops"})
    answer = CliRunner().invoke(app, ["latents", "cluster", str(made.source), "1"])
    write_json(results / "clusters.json", figures)
    assert answer.exit_code == 2 and "48 latents, but there are 48 other crops" in answer.output


def test_the_check_needs_prepared_crops_and_answers_for_every_row(made):
    answer = CliRunner().invoke(app, ["latents", "check", str(made.source), "--steps", "1", "--json"])
    assert answer.exit_code == 1 and [one["version"] for one in json.loads(answer.output)] == [1]


def params_of(config, **hparams) -> CellParams:
    cell = train_plan(config).cells[0]
    return cell_params({**cell.params, "hparams": cell.params["hparams"] | hparams})


@pytest.mark.parametrize("model", [{"model_name": "mae_small", "scheduler": "ReduceLROnPlateau", "plateau_patience": 0}, {}])
def test_a_stopped_training_goes_on_bit_for_bit(made, tmp_path, model):
    params = params_of(made, **model)
    train(made, params, FakeWorkspace(tmp_path / "straight"))
    for steps in (2, 3):
        with pytest.raises(Stopped):
            train(made, params, FakeWorkspace(tmp_path / "broken", steps))
    train(made, params, FakeWorkspace(tmp_path / "broken"))
    straight, broken = weights(tmp_path / "straight"), weights(tmp_path / "broken")
    assert all(torch.equal(straight[name], broken[name]) for name in straight)


def test_a_frozen_backbone_is_a_version_like_others(made, tmp_path):
    params = params_of(made, model_name="backbone", backbone="test_efficientnet", pretrained=False, max_epochs=0, val_frac=0.3, clusters=2)
    product = made.project.cell_product("autoencoder", params.version + 70, "train", params.split, params.iteration)
    params = CellParams(**{**vars(params), "version": params.version + 70})
    train(made, params, FakeWorkspace(product))
    found = evaluate(made, params, FakeWorkspace(tmp_path / "evaluated"))
    assert found["clusters"] == 2 and (tmp_path / "evaluated" / "latents.npy").exists()
    assert not (tmp_path / "evaluated" / "reconstructions.png").exists()
    shutil.rmtree(product.parents[1])


def test_fewer_crops_than_clusters_are_refused_before_anything_is_encoded(made, tmp_path):
    with pytest.raises(InputError, match="48 crops can't make 60 clusters"):
        evaluate(made, params_of(made, clusters=60), FakeWorkspace(tmp_path / "cell"))


def test_a_network_of_another_latent_size_is_refused(made, results):
    row = wanted_rows(made)["autoencoder"][0].model_copy(update={"latent_dim": 9})
    with pytest.raises(InputError, match="holds a cae with latents of 6, the row says cae with latents of 9"):
        trained_network(results / "best-checkpoint_test-set-0.ckpt", 1, row)


def test_unprepared_crops_are_named(tmp_path):
    config = project(tmp_path / "p")
    with pytest.raises(InputError, match="not prepared"):
        run(config)


def test_parts_are_disjoint_whole_and_test_alike_in_every_iteration():
    first, second = (parts(100, 0.2, 0.25, 7, 0, seed) for seed in (1, 2))
    assert [len(part) for part in first] == [60, 20, 20]
    assert sorted(np.concatenate(first)) == list(range(100))
    assert np.array_equal(first[2], second[2]) and not np.array_equal(first[1], second[1])
    assert not np.array_equal(first[2], parts(100, 0.2, 0.25, 7, 1, 1)[2])


def test_a_window_over_the_seam_shows_what_is_there(tmp_path):
    craters = pd.DataFrame({"LON_CIRC_IMG": [179.0], "LAT_CIRC_IMG": [0.0], "DIAM_CIRC_IMG": [400.0]})
    path = write_mosaic(tmp_path / "m.tif", craters)
    with Mosaic.open(path) as mosaic:
        view = View(mosaic, (170, -20, -170, 20))
        lon, lat, inside = view.places(np.array([179.0, -179.0, 0.0, -165.0]), np.array([0.0, 5.0, 0.0, 0.0]))
        assert lon[:2].tolist() == [179.0, 181.0] and inside.tolist() == [True, True, False, False]
        grey = view.picture[..., 0]
        middle, at = grey.shape[0] // 2, (np.array([176.0, 182.0, 171.0]) - 170) / 20 * grey.shape[1]
        west, east, outside = grey[middle, at.astype(int)]
        assert west > outside + 0.2 and outside > east + 0.2
        with pytest.raises(InputError, match="window"):
            View(mosaic, (0, 20, 10, -20))


@pytest.mark.parametrize("window", ["[0, 20, 10, -20]", "[200, -10, -300, 10]", "[0, -10, 10, 91]"])
def test_a_window_that_is_none_is_refused_with_the_config(tmp_path, window):
    path = project(tmp_path / "p")
    path.write_text(path.read_text().replace("[170, -30, -150, 30]", window))
    with pytest.raises(InputError, match="window"):
        load_config(path)


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ("+proj=stere +lat_0=90 +lon_0=0", (-180, 62, 180, 90)),
        ("+proj=tmerc +lat_0=0 +lon_0=180", (160, -20, 200, 20)),
        ("+proj=ortho +lat_0=0 +lon_0=180", (90, -64, 270, 64)),
    ],
)
def test_a_view_shows_all_that_a_mosaic_of_any_projection_holds(tmp_path, projection, expected):
    half = BODY.semi_major_m * (0.9 if "ortho" in projection else np.radians(20))
    path = tmp_path / "m.tif"
    kind = {"driver": "GTiff", "count": 1, "height": 100, "width": 100, "dtype": "uint8"}
    affine = Affine(half / 50, 0, -half, 0, -half / 50, half)
    with rasterio.open(path, "w", **kind, crs=f"{projection} +R={BODY.semi_major_m} +units=m", transform=affine) as file:
        file.write(np.full((1, 100, 100), 90, np.uint8))
    with Mosaic.open(path) as mosaic:
        view = View(mosaic)
        found = view.west, view.south, view.east, view.north
        assert np.allclose(found, expected, atol=6), found
        assert (view.picture > 0.2).all(axis=-1).mean() > 0.5


def test_a_mosaic_from_0_to_360_has_its_craters_where_they_belong(tmp_path):
    craters = pd.DataFrame({"LON_CIRC_IMG": [-90.0], "LAT_CIRC_IMG": [0.0], "DIAM_CIRC_IMG": [400.0]})
    path = write_mosaic(tmp_path / "m.tif", craters)
    with Mosaic.open(path) as mosaic:
        view = View(mosaic)
        lon, _, inside = view.places(np.array([-90.0, 270.0]), np.zeros(2))
        assert inside.all() and lon[0] == lon[1] == view.west + 90
        assert view.picture.shape[1] == 360


def test_thumbnails_are_spread_and_few():
    rng = np.random.default_rng(0)
    lon = np.concatenate([rng.normal(0, 0.5, 900), rng.uniform(-180, 180, 100)])
    chosen = spread(lon, rng.uniform(-60, 60, 1000), 60, 0)
    assert len(chosen) <= 60 and (np.abs(lon[chosen]) > 5).mean() > 0.7


def test_pictures_are_no_empty_sheets(results):
    for name in ("mosaic_dots.png", "mosaic_imgs.png", "clustering_imgs.png", "reconstructions.png"):
        assert imread(results / name)[..., :3].std() > 0.05, name


def test_other_clusters_in_the_table_train_nothing_again(tmp_path):
    config = project(tmp_path / "p", "{catalogue: data/moon/craters.csv, display: false}")
    prepare(config)
    first = run(config)
    results = load_config(config).project.version_results("autoencoder", 1)
    assert (
        set(pd.read_csv(results / "crater_clusters_kmeans.csv")["cluster"]) == {0, 1, 2} and not (results / "clustering_dots.png").exists()
    )
    table = config.parent / "autoencoder.csv"
    table.write_text(table.read_text().replace("6,3,kmeans", "6,2,agglomerative"))
    second = train_plan(load_config(config))
    for old, new in zip(first.cells, second.cells, strict=True):
        assert (old.fingerprint == new.fingerprint) == (old.stage in ("train", "summarise"))
    assert read_json(results / "autoencoder.json")["hparams"]["clusters"] == 3


def test_without_clusters_there_are_latents_alone(tmp_path):
    config = project(tmp_path / "p", "{catalogue: data/moon/craters.csv, cluster: false}")
    prepare(config)
    run(config)
    results = load_config(config).project.version_results("autoencoder", 1)
    assert (results / "latents.npy").exists() and not list(results.glob("crater_clusters*"))


def test_ready_made_crops_lie_on_the_body_that_the_config_names(tmp_path):
    path = project(tmp_path / "p")
    assert body_of(load_config(path)) is None
    path.write_text("body: moon\n" + path.read_text())
    config = load_config(path)
    rows = pd.DataFrame({"FID": range(3), "id": list("abc"), "lon": 10.0, "lat": 20.0, "radius_m": 5e3, "cluster": 0})
    write_products(tmp_path, rows, None, None, wanted_rows(config)["autoencoder"][0], None, display=False, body=body_of(config))
    frame = gpd.read_file(tmp_path / "crater_clusters_kmeans.gpkg")
    assert len(frame) == 3 and frame.crs.ellipsoid.semi_major_metre == body_of(config).semi_major_m


@pytest.mark.parametrize(("given", "used"), [("", [1]), ("  bands: [1, 1]\n", [1, 1])])
def test_a_map_reads_the_bands_that_were_trained_on_unless_it_names_its_own(tmp_path, given, used):
    path = project(tmp_path / "p", "{catalogue: data/moon/craters.csv, bands: [1]}")
    path.write_text(path.read_text() + given)
    with open_mosaic(load_config(path)) as mosaic:
        assert list(mosaic.bands) == used


def with_weights(root, weights):
    """A project whose row begins with weights."""
    path = project(root)
    table = root / "configs" / "autoencoder.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{header},weights", *(f"{line},{weights}" for line in lines)]) + "\n")
    prepare(path)
    return path


def test_other_weights_to_begin_with_train_anew_and_missing_ones_are_refused(tmp_path):
    weights = tmp_path / "w.pth"
    path = with_weights(tmp_path / "p", weights)
    with pytest.raises(InputError, match="no weights at"):
        train_plan(load_config(path))
    plans = []
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        plans.append(train_plan(load_config(path)).cells[0].fingerprint)
    assert plans[0] != plans[1]


def test_cells_of_a_map_read_the_list_once_and_again_when_it_changes(tmp_path, monkeypatch):
    config = load_config(project(tmp_path / "p"))
    reads = []
    read = mapping.catalogue_craters
    monkeypatch.setattr(mapping, "catalogue_craters", lambda *given: reads.append(given) or read(*given))
    with open_mosaic(config) as mosaic:
        cutter = Cutter(mosaic, Geometry(32))
        first = mapping._kept_craters(config, cutter)
        assert mapping._kept_craters(config, cutter) is first and len(reads) == 1
        path = mapping.catalogue_path(config)
        path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
        assert len(mapping._kept_craters(config, cutter)) == len(first) - 1
        assert len(mapping._kept_craters(config, Cutter(mosaic, Geometry(32, 2.0)))) and len(reads) == 3
