"""Importing EJMAP's data: what comes along, what is redone, and what is said of files that are missing or broken."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.core.files import read_json
from cratermill.core.paths import DataFolder
from cratermill.ejmap_import import Options, import_ejmap
from cratermill.ejmap_import.npy_files import Unreadable, mapped
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.load_config import load_config
from tests.ejmap_folder import ejmap_folder


def state(folder: Path) -> dict[str, tuple]:
    """Content and time of change of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "prepared.json"}


def arrays(data: DataFolder, area: str, view: str) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in data.stack(area, view).glob("*.npy")}


def test_the_folder_is_only_read_and_its_tiles_are_the_stacks_of_training(whole, prepared, root, bring):
    before = state(whole)
    report = bring(whole)
    assert state(whole) == before
    assert (report.notes, report.refused) == ([], [])
    ours, theirs = DataFolder(root / "data" / "mercury"), load_config(prepared).data
    pairs, expected = (arrays(data, "conn_data", "pair_32x64_3r") for data in (ours, theirs))
    assert all(np.array_equal(pairs[name], expected[name]) for name in ("image", "attention"))
    squares, expected = (arrays(data, "ejc_data", "tiles_32px") for data in (ours, theirs))
    # 48 pixels brought to 32 are not quite what is sampled with 32.
    assert np.abs(squares["image"].astype(float) - expected["image"]).mean() < 12
    assert (squares["mask"] == expected["mask"]).mean() > 0.97
    tables = [pd.read_csv(data.az_positions) for data in (ours, theirs)]
    pd.testing.assert_frame_equal(*tables)


def test_bands_last_and_floats_make_the_same_stacks(whole, prepared, root, bring, tmp_path):
    bring(whole)
    other = ejmap_folder(tmp_path / "other", prepared, channels_last=True, dtype="float64")
    import_ejmap(other, root, Options("data/other"), lambda *_: None)
    for area, view in (("conn_data", "pair_32x64_3r"), ("ejc_data", "tiles_32px")):
        one, two = (arrays(DataFolder(root / "data" / name), area, view) for name in ("mercury", "other"))
        assert two["image"].dtype == np.float32
        assert all(np.allclose(one[name], two[name], atol=0.51) for name in one)


def test_again_only_what_changed_is_redone(folder, root, bring):
    bring(folder)
    data = DataFolder(root / "data" / "mercury")
    before = written(data.root)
    assert bring(folder).brought["files copied or linked"] == 0
    assert written(data.root) == before
    path = next((folder / "data" / "ejc_data" / "images").glob("*.npy"))
    np.save(path, np.load(path) // 2)
    bring(folder)
    changed = {Path(name).parent.name for name, when in written(data.root).items() if before.get(name) != when}
    assert changed == {"tiles_32px"}


def test_positions_are_brought_to_our_grid(prepared, root, bring, tmp_path):
    folder = ejmap_folder(tmp_path / "less", prepared, pixels_less=1)
    assert bring(folder).brought["shift of x and y [px]"] == 1
    ours, theirs = DataFolder(root / "data" / "mercury"), load_config(prepared).data
    for one, two in ((ours.az_positions, theirs.az_positions), (ours.eval_positions(3), theirs.eval_positions(3))):
        pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(two))


def spoil(folder: Path) -> dict[str, str]:
    """Break some tiles, each in its own way; what the message must say of each."""
    images = sorted((folder / "data" / "conn_data" / "images").glob("*.npy"))
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:-7])
    np.save(images[2], np.zeros((5, 32, 64), np.uint8))
    np.save(images[3], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(images[4], np.zeros((3, 32, 60), np.uint8))
    images[5].write_bytes(b"")
    masks = sorted((folder / "data" / "ejc_data" / "masks").glob("*.npy"))
    np.save(masks[0], np.zeros((20, 20), np.uint8))
    reasons = {images[0]: "is missing", images[1]: "is cut short", images[2]: "5, 32, 64", images[3]: "holds Python objects"}
    reasons |= {images[4]: "2 times as wide as high", images[5]: "is cut short", masks[0]: "its image 48 × 48"}
    return {path.name: text for path, text in reasons.items()}


@pytest.mark.parametrize("dry_run", [True, False])
def test_broken_tiles_are_all_named_and_nothing_is_written(folder, root, bring, dry_run):
    reasons = spoil(folder)
    with pytest.raises(InputError, match="7 files can't be imported") as error:
        bring(folder, dry_run=dry_run)
    lines = str(error.value).splitlines()
    for name, text in reasons.items():
        assert any(name in line and text in line for line in lines), (name, text)
    assert "--resample" in error.value.next_step
    assert not (root / "data").exists()
    bring(folder, resample=True)


def test_tiles_with_nan_are_found_when_read_and_the_data_stay_unused(folder, root, bring):
    path = sorted((folder / "data" / "ejc_data" / "images").glob("*.npy"))[2]
    np.save(path, np.where(np.arange(48) == 3, np.nan, np.load(path).astype(np.float32)))
    with pytest.raises(InputError, match=f"{path.name}: holds NaN"):
        bring(folder)
    config = root / "configs" / "mercury.yaml"
    config.write_text("name: mercury\ndata: data/mercury\ntrain: {ejecta: {table: none.csv}}\n")
    shutil.copy(folder / "code" / "ejecta_version_hparams.csv", root / "none.csv")
    with pytest.raises(InputError, match="did not come to its end"):
        prepare(config)


def test_a_mask_cut_short_and_tiles_nobody_lists_are_named(folder, bring):
    data = folder / "data"
    mask = data / "cyl_data" / "mask_crater_2.tif"
    mask.write_bytes(mask.read_bytes()[: -mask.stat().st_size // 3])
    positions = data / "cyl_data" / "positions_crater_1.csv"
    pd.read_csv(positions).iloc[3:].to_csv(positions, index=False)
    (data / "cyl_data" / "mask_crater_3.tif").unlink()
    with pytest.raises(InputError) as error:
        bring(folder)
    text = str(error.value)
    assert "3 files" in text and "mask_crater_2.tif: can't be read" in text and "mask_crater_3.tif: is missing" in text
    assert "positions_crater_1.csv: lacks 3 tiles of crater 1" in text


def test_a_tile_that_no_split_uses_may_be_absent(folder, root, bring):
    path = folder / "data" / "conn_data" / "az_positions_all.csv"
    table = pd.read_csv(path)
    table.loc[0, ["test_0", "test_1"]] = -1
    table.to_csv(path, index=False)
    row = table.iloc[0]
    (folder / "data" / "conn_data" / "images" / f"image_{row.pos_index:.0f}_crater_{row.crat_FID:.0f}.npy").unlink()
    bring(folder)
    rows = pd.read_parquet(root / "data" / "mercury" / "conn_data" / "stacks" / "pair_32x64_3r" / "rows.parquet")
    assert len(rows) == len(table) - 1


def test_without_tiles_prepare_samples_them(folder, root, bring):
    shutil.rmtree(folder / "data" / "conn_data" / "images")
    for path in (folder / "data" / "ejc_data").glob("*/*.npy"):
        path.unlink()
    notes = bring(folder).notes
    assert sum("prepare will sample them" in note for note in notes) == 2
    made = prepare(root / "configs" / "mercury" / "mercury.yaml")
    assert {name: one["made"] for name, one in made.items()} == {"connection": ["stack pair_32x64_3r"], "ejecta": ["stack tiles_32px"]}
    told = ("version ", "5 of 5 craters are less than 5 pixels")  # what so small a planet can carry, and nothing of its tiles
    assert not [text for one in made.values() for text in one["warnings"] if not text.startswith(told)]
    assert read_json(root / "data" / "mercury" / "conn_data" / "img_norm.json") == {"mean": [0.0] * 3, "std": [255.0] * 3}


def test_tiles_of_another_place_are_pointed_out(folder, bring):
    paths = sorted((folder / "data" / "ejc_data" / "images").glob("*.npy"))
    contents = [np.load(path) for path in paths]
    for path, content in zip(paths, contents[7:] + contents[:7], strict=True):
        np.save(path, content)
    notes = bring(folder).notes
    assert len(notes) == 1 and "differ from what the mosaic shows there" in notes[0] and "--resample" in notes[0]


def test_missing_tiles_to_map_are_made(folder, root, bring):
    gone = folder / "data" / "conn_data" / "eval_positions" / "eval_positions_crater_2.csv"
    expected = pd.read_csv(gone)
    gone.unlink()
    bring(folder)
    pd.testing.assert_frame_equal(pd.read_csv(DataFolder(root / "data" / "mercury").eval_positions(2)), expected)


def test_dry_run_writes_nothing_and_says_what_there_is(whole, root, bring):
    report = bring(whole, dry_run=True)
    assert report.brought["tiles with ejecta (npy)"] > 0
    assert not (root / "data").exists()


def test_the_data_folder_alone_will_do(whole, root):
    report = import_ejmap(whole / "data", root, Options(), lambda *_: None)
    assert report.into == "data/EJ-map-o-brien"


@pytest.mark.parametrize("into", ["data/mercury", "inside"])
def test_other_data_are_never_overwritten(whole, root, into):
    if into == "inside":
        into, match = str(whole / "data" / "new"), "lie in each other"
    else:
        (root / into).mkdir(parents=True)
        (root / into / "mine.txt").write_text("mine")
        match = "holds other data"
    with pytest.raises(InputError, match=match):
        import_ejmap(whole, root, Options(into), lambda *_: None)


def test_a_folder_that_is_not_ejmaps_is_refused(tmp_path, root):
    with pytest.raises(InputError, match="no folder of EJMAP's"):
        import_ejmap(tmp_path, root, Options(), lambda *_: None)
    with pytest.raises(InputError, match="there is no folder"):
        import_ejmap(tmp_path / "nowhere", root, Options(), lambda *_: None)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda table: table.drop(columns="num_1"), r"lacks the columns \['num_1'\]"),
        (lambda table: table[[name for name in table if not name.startswith("test_")]], "has no TV-Test split"),
        (lambda table: table.assign(crat_FID=table["crat_FID"] + 40), "tiles of craters"),
    ],
)
def test_a_wrong_list_of_tiles_is_refused(folder, bring, change, match):
    path = folder / "data" / "conn_data" / "az_positions_all.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(InputError, match=match):
        bring(folder)


def test_tables_come_as_they_are_and_edited_ones_are_kept(folder, root, bring):
    bring(folder)
    config, table = root / "configs" / "mercury" / "mercury.yaml", root / "configs" / "mercury" / "ejecta_version_hparams.csv"
    assert table.read_bytes() == (folder / "code" / table.name).read_bytes()
    theirs = folder / "code" / table.name
    theirs.write_text(theirs.read_text().replace(",0.003,", ",0.004,"))
    bring(folder)
    assert ",0.004," in table.read_text()
    mine = table.read_text().replace(",0.004,", ",0.005,")
    table.write_text(mine)
    config.write_text(config.read_text() + "seed: 3\n")
    theirs.write_text(theirs.read_text().replace(",0.004,", ",0.006,"))
    assert any("was edited" in note for note in bring(folder).notes)
    assert table.read_text() == mine and "seed: 3" in config.read_text()


def test_rasters_are_linked_or_copied(whole, root, bring):
    bring(whole)
    ours = root / "data" / "mercury" / "mosaics" / "cylindrical_mosaic.tif"
    theirs = whole / "data" / "mosaics" / ours.name
    assert ours.samefile(theirs) or ours.read_bytes() == theirs.read_bytes()


def test_archives_are_no_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", a=1)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(Unreadable):
        mapped(tmp_path / "a.npy")


def test_ejmaps_own_tables_are_taken_as_they_are(folder, root, bring, real_data):
    for family in ("connection", "ejecta"):
        shutil.copy(real_data(f"ejmap/{family}_version_hparams.csv"), folder / "code")
    bring(folder)
    data = DataFolder(root / "data" / "mercury")
    assert np.load(data.stack("conn_data", "pair_112x224_3r") / "image.npy", mmap_mode="r").shape[1:] == (3, 112, 224)
    assert np.load(data.stack("ejc_data", "tiles_224px") / "mask.npy", mmap_mode="r").shape[1:] == (224, 224)
    annuli = pd.read_csv(data.annuli)
    assert {(2, 3), (2, 5)} <= set(zip(annuli["inner"], annuli["outer"], strict=True))
    config = load_config(root / "configs" / "mercury" / "mercury.yaml").run
    assert {name: family.versions for name, family in config.train.items()} == {"connection": [0], "ejecta": [0]}
