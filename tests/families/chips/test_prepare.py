"""From files to table and stacks: roles, copies, counts, and redoing only what changed."""

from __future__ import annotations

import numpy as np
import pytest

from cratermill.config import load_config
from cratermill.errors import InputError
from cratermill.families import get_family
from cratermill.families.chips.prepare import ChipFolder
from cratermill.launch import prepare
from tests.families.chips.case import chips, prepared, write_npy, write_project


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
    assert sum(made["classes"].values()) == 90 and sum(made["share_of_classes"].values()) == pytest.approx(1)


def test_both_families_split_alike(tmp_path):
    tables = [folder_of(prepared(tmp_path, family), family).rows for family in ("sgan", "chip_classifier")]
    assert tables[0]["test_0"].tolist() == tables[1]["test_0"].tolist()


def test_unprepared_chips_and_sizes_are_named(tmp_path):
    path = write_project(tmp_path, "sgan")
    family, row = get_family("sgan"), type("Row", (), {"chip_size_px": 24})
    with pytest.raises(InputError, match="not prepared"):
        family.require_prepared(load_config(path), [row])
    prepare(path)
    family.require_prepared(load_config(path), [row])
    with pytest.raises(InputError, match="no chips of 32 px"):
        family.require_prepared(load_config(path), [type("Row", (), {"chip_size_px": 32})])


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
