"""From files to table and stacks: roles, copies, counts, and redoing only what changed."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from PIL import Image

from cratermill.core.errors import InputError
from cratermill.families import cell_params, get_family
from cratermill.families.chips_common.options import ChipData, Cut
from cratermill.families.chips_common.prepare import ChipFolder
from cratermill.geo.grid import azimuthal_grid
from cratermill.pipeline.launch import plan_training, prepare
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import wanted_rows
from tests.families.chips_common.case import CRATERS, RADIUS_M, chips, prepared, write_idx, write_npy, write_planet, write_project
from tests.tiny import BODY


@pytest.fixture
def planet(tmp_path):
    return write_planet(tmp_path, grain=90)


def folder_of(config, family="sgan") -> ChipFolder:
    return ChipFolder(config.data.family(family))


def test_the_original_layout_becomes_roles_labels_and_a_stack(tmp_path):
    write_npy(tmp_path / "data" / "npy", labelled=80, extra=20, predict=10)
    folder = folder_of(prepared(tmp_path, "sgan"))
    rows = folder.rows
    assert rows["role"].value_counts().to_dict() == {"labelled": 80, "unlabelled": 20, "predict": 10}
    assert np.array_equal(folder.images(24), chips(110)[0])
    assert (rows.loc[rows["role"] != "labelled", "label"] == -1).all()
    assert (rows.loc[rows["role"] == "predict", "test_0"] == -1).all()
    assert set(rows.loc[rows["test_0"] == 1, "role"]) == {"labelled"} and (rows["test_0"] == 1).sum() == 20


def test_nothing_is_done_twice_and_a_changed_file_is_noticed(tmp_path):
    config = prepared(tmp_path, "sgan")
    path = tmp_path / "configs" / "sgan.yaml"
    assert prepare(path)["sgan"]["made"] == []
    before = get_family("sgan").data_fingerprint(config, type("Row", (), {"chip_size_px": 24}))
    write_npy(tmp_path / "data" / "npy", seed=9)
    assert prepare(path)["sgan"]["made"] == ["sgan chips"]
    assert get_family("sgan").data_fingerprint(config, type("Row", (), {"chip_size_px": 24})) != before


def with_copies(root, copied=30):
    """60 chips, the first ones a second time, turned; the unlabelled ones hold turned copies too."""
    images, labels = chips(60)
    folder = root / "data" / "npy"
    folder.mkdir(parents=True)
    turned = np.rot90(images[:copied], 1, (1, 2))
    np.save(folder / "Xtrain1.npy", np.concatenate([images, turned]))
    np.save(folder / "Ytrain1.npy", np.concatenate([labels, labels[:copied]]))
    np.save(folder / "Xtrain1_extra.npy", np.rot90(images, 2, (1, 2)))
    return root


@pytest.mark.parametrize(("duplicates", "rows", "split_by_copies"), [("group", 150, True), ("drop", 60, True), ("ignore", 150, False)])
def test_copies_are_kept_together_dropped_or_left_alone(tmp_path, duplicates, rows, split_by_copies):
    data = f"{{chips: data/npy, classes: [plain, crater], duplicates: {duplicates}}}"
    config = prepared(with_copies(tmp_path), "sgan", data=data)
    table = folder_of(config).rows
    assert len(table) == rows
    ground = np.concatenate([np.arange(60), np.arange(30), np.arange(60)])[: len(table)]
    tests, trains = set(ground[table["test_0"] == 1]), set(ground[table["test_0"] == 0])
    assert bool(tests & trains) != split_by_copies


def test_counts_name_classes_shares_and_contradicting_copies(tmp_path):
    write_npy(with_copies(tmp_path) / "data" / "npy2", labelled=12)
    labels = np.load(tmp_path / "data" / "npy" / "Ytrain1.npy")
    labels[60] = 1 - labels[0]
    np.save(tmp_path / "data" / "npy" / "Ytrain1.npy", labels)
    made = prepare(write_project(tmp_path, "sgan"))["sgan"]
    assert (made["chips_read"], made["different_chips"], made["groups_of_contradicting_labels"]) == (150, 60, 1)
    assert made["notes"][1] == "150 chips read, 60 of them no copies of another" and "different labels" in made["warnings"][0]
    assert sum(made["classes"].values()) == 90 and sum(made["share_of_classes"].values()) == pytest.approx(1)


def test_both_families_split_alike(tmp_path):
    tables = [folder_of(prepared(tmp_path, family), family).rows for family in ("sgan", "chip_classifier")]
    assert tables[0]["test_0"].tolist() == tables[1]["test_0"].tolist()


def test_unprepared_chips_and_sizes_are_named(tmp_path):
    path = write_project(tmp_path, "sgan")
    config, family = load_config(path), get_family("sgan")
    rows = wanted_rows(config)["sgan"]
    with pytest.raises(InputError, match="not prepared"):
        family.require_prepared(config, rows)
    prepare(path)
    family.require_prepared(config, rows)
    with pytest.raises(InputError, match="no chips of 32 px"):
        family.require_prepared(config, [rows[0].model_copy(update={"chip_size_px": 32})])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"labels": 400}, "200 labels of class plain are asked for"),
        ({"labels": ""}, "there are none"),
        ({"test-set": "[0, 4]"}, "split 4 is not among the prepared ones"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_queued(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        plan_training(prepared(tmp_path, "sgan", [row]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{chips: data/none}", "data/none does not exist"),
        ("{chips: data/npy, clases: [a, b]}", "nearest valid: classes"),
        ("{classes: [a, b]}", "name either chips or cut"),
        ("{chips: data/npy, classes: [plain]}", "classes"),
        ("{chips: data/npy, classes: [plain, plain]}", "twice"),
        ("{chips: data/npy, classes: [a, b, c]}", "none of: c"),
    ],
)
def test_a_wrong_data_part_is_refused_by_name(tmp_path, data, said):
    with pytest.raises(InputError, match=said):
        prepare(write_project(tmp_path, "sgan", data=data))


def test_hard_negatives_of_a_cut_are_no_copies_of_their_crater_but_stay_on_its_side(planet):
    cut = "{mosaic: mosaic.tif, catalogue: craters.csv, max_abs_lat: 70, hard_share: 1.0, negatives_per_crater: 4}"
    config = prepared(planet, "sgan", data=f"{{cut: {cut}, classes: [plain, crater], duplicates: drop}}")
    rows = folder_of(config).rows
    warned = prepare(planet / "configs" / "sgan.yaml")["sgan"]["warnings"]
    assert (rows["label"] == 1).sum() == 6 and (rows["label"] == 0).sum() > 12
    assert all(text.startswith("version 1") for text in warned)  # that few chips carry little, and nothing of copies
    beside = rows.groupby("group")["label"].nunique() == 2
    assert beside.any() and (rows.groupby("group")["test_0"].nunique() == 1).all()


def test_chips_of_held_out_craters_regions_and_names_are_seen_by_no_network(planet):
    """Craters 3 and 6 lie beside each other; chips are 1.5 radii of 220 km to each side."""
    gpd.GeoDataFrame(geometry=[shapely.box(-140, -60, 0, 60)], crs=BODY.geographic_crs()).to_file(planet / "west.gpkg")
    cut = "{mosaic: mosaic.tif, catalogue: craters.csv, max_abs_lat: 70, negatives_per_crater: 8, unlabelled: 30}"
    path = write_project(planet, "sgan", data=f"{{cut: {cut}, classes: [plain, crater]}}")
    hold_out = "[{craters: [3]}, {regions: west.gpkg}, {names: ['43.0*']}]"
    path.write_text(path.read_text().replace("count: 1,", f"count: 1, hold_out: {hold_out},"))
    prepare(path)
    rows = folder_of(load_config(path)).rows
    lon, lat = rows["name"].str.split(" ", expand=True)[[0, 1]].astype(float).to_numpy().T
    east, north = azimuthal_grid(BODY, *CRATERS[3], 1e3).projection.to_xy(lon, lat)
    labelled, near = (rows["role"] == "labelled").to_numpy(), np.hypot(east, north) < 1.4 * RADIUS_M
    beside = rows["name"].str.startswith("43.0").to_numpy()
    assert (rows["test_1"][labelled & near] == 1).all() and (labelled & near).sum() >= 2 and (rows["test_1"][near] != 0).all()
    apart = np.hypot(east, north) > (1.5 * np.sqrt(2) + 1.1) * RADIUS_M
    assert not (rows["test_1"][apart] == 1).any() and (rows["test_1"][apart & labelled] == 0).any()
    inside = (lon > -140) & (lon < 0) & (np.abs(lat) < 60)
    assert np.array_equal(rows["test_2"] == 1, labelled & inside) and (rows["test_2"][inside & ~labelled] == -1).all()
    assert (rows["test_3"][beside] == 1).any() and not (rows["test_3"][~beside] == 1).any()
    for split in (1, 2, 3):
        assert not set(rows["group"][rows[f"test_{split}"] == 1]) & set(rows["group"][rows[f"test_{split}"] == 0])


def test_copies_are_not_looked_for_where_they_are_to_be_ignored(tmp_path):
    path = write_project(with_copies(tmp_path), "sgan", data="{chips: data/npy, classes: [plain, crater], duplicates: ignore}")
    assert prepare(path)["sgan"]["notes"][1] == "150 chips read, copies not looked for"


def test_far_from_equal_classes_are_warned_of(tmp_path):
    folder = write_npy(tmp_path / "data" / "npy", labelled=120)
    labels = np.load(folder / "Ytrain1.npy")
    plain = np.flatnonzero(labels == 0)
    kept = np.sort(np.concatenate([plain, np.flatnonzero(labels == 1)[:8]]))
    for name in ("Xtrain1.npy", "Ytrain1.npy"):
        np.save(folder / name, np.load(folder / name)[kept])
    made = prepare(write_project(tmp_path, "sgan"))["sgan"]
    assert made["notes"][0] == "labelled: plain 60 (88%), crater 8 (12%)" and "far from equal" in made["warnings"][0]


def test_folders_that_are_no_class_are_counted_in_a_warning(tmp_path):
    images, labels = chips(40)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "pictures" / (["plain", "crater"][label] if number < 30 else "ghost") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    path = write_project(tmp_path, "sgan", data="{chips: pictures, classes: [plain, crater]}")
    for _ in range(2):  # the second time nothing is made
        warned = prepare(path)["sgan"]["warnings"]
        assert warned[0] == "folders that data.classes doesn't name are left out: ghost (10 pictures)"
        assert all(text.startswith("version 1") for text in warned[1:])


def test_mnists_own_test_chips_test_and_ten_classes_share_the_labels(tmp_path):
    images, _ = chips(260, side=28)
    write_idx(tmp_path / "data" / "npy", images[:200], np.arange(200) % 10)
    write_idx(tmp_path / "data" / "npy", images[200:], np.arange(60) % 10, ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"))
    classes = [str(digit) for digit in range(10)]
    row = {"classes": 10, "labels": 100, "val_frac": 0.1, "chip_size_px": 32}
    config = prepared(tmp_path, "sgan", [row], data=f"{{chips: data/npy, classes: {classes}}}")
    params = cell_params(plan_training(config).cells[0].params)
    data = get_family("sgan").datasets(config, params)
    assert (len(data.test), len(data.val), len(data.train)) == (60, 20, 180)
    assert data.train.labelled.targets.sum(axis=0).tolist() == [10] * 10
    task = get_family("sgan").task(params, data.norm)
    task.start_scoring()
    task.score({name: torch.stack([data.test[number][name] for number in range(60)]) for name in ("image", "target")})
    assert 0 <= task.scores(lambda values: values)["Balanced_Accuracy"] <= 1


def test_every_key_of_the_data_part_is_explained(project_folder):
    page = (project_folder / "docs" / "few-labels.md").read_text(encoding="utf-8")
    assert not [name for model in (ChipData, Cut) for name in model.model_fields if f"`{name}`" not in page]
