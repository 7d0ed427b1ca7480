"""Reading chips in every layout, and what is said about files that can't be read."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from cratermill.core.errors import InputError
from cratermill.families.chips_common.chipset import ChipSet, require_classes
from cratermill.families.chips_common.readers import npy_companions, read_labelled, read_npy_stack, read_unlabelled
from cratermill.samples.grey import grey_bytes
from tests.families.chips_common.case import CLASSES, chips, write_idx, write_npy


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return content.getvalue()


def write_folders(root, count=4, names=CLASSES):
    images, labels = chips(count)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (root / names[label]).mkdir(parents=True, exist_ok=True)
        (root / names[label] / f"chip {number}.png").write_bytes(png(image))
    return root


def test_class_folders_are_numbered_as_the_classes_are_named(tmp_path):
    read, test = read_labelled(write_folders(tmp_path / "my chips"), CLASSES)
    assert test is None and sorted(read.labels) == [0, 0, 1, 1]
    images, labels = chips(4)
    for image, label, name in zip(read.images, read.labels, read.names, strict=True):
        number = int(name.split()[1].split(".")[0])
        assert np.array_equal(image, images[number]) and label == labels[number] and name.startswith(CLASSES[label])


def test_folders_that_are_no_class_are_said(tmp_path, capsys):
    folder = write_folders(tmp_path)
    (folder / "boulder").mkdir()
    (folder / "boulder" / "x.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    assert len(read_labelled(folder, CLASSES)[0]) == 4
    assert "1 pictures in folders that are no class (boulder) are left out" in capsys.readouterr().err


@pytest.mark.parametrize(("labels", "like"), [(["0", "1"], "'0'"), ([0.0, 0.5], "0.5"), ([1.0, np.nan], "nan")])
def test_labels_that_are_no_numbers_of_classes_are_shown(tmp_path, labels, like):
    np.save(tmp_path / "Xtrain1.npy", np.arange(128, dtype=np.uint8).reshape(2, 8, 8))
    np.save(tmp_path / "Ytrain1.npy", np.array(labels))
    with pytest.raises(InputError, match=f"holds labels like {like}\n"):
        read_labelled(tmp_path, CLASSES)


def test_a_zip_of_class_folders_is_read_like_the_folder(tmp_path):
    folder = write_folders(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "chips.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, f"inside/{file.relative_to(folder)}")
    plain, packed = read_labelled(folder, CLASSES)[0], read_labelled(tmp_path / "chips.zip", CLASSES)[0]
    assert plain.labels.tolist() == packed.labels.tolist()
    assert all(np.array_equal(a, b) for a, b in zip(plain.images, packed.images, strict=True))


def test_npy_stacks_may_be_flat_or_not_and_bring_their_companions(tmp_path):
    folder = write_npy(tmp_path, labelled=6, extra=3, predict=2)
    read, _ = read_labelled(folder, CLASSES)
    images, labels = chips(11)
    assert read.labels.tolist() == labels[:6].tolist() and np.array_equal(np.stack(read.images), images[:6])
    found = {role: read_unlabelled(path) for role, path in npy_companions(folder).items()}
    assert {role: len(one) for role, one in found.items()} == {"unlabelled": 3, "predict": 2}
    np.save(folder / "Xtrain1_extra.npy", np.zeros((0, 16)))
    assert list(npy_companions(folder)) == ["predict"]
    np.save(tmp_path / "deep.npy", images[..., None].astype(float))
    assert np.array_equal(read_npy_stack(tmp_path / "deep.npy"), images)


@pytest.mark.parametrize("packed", [False, True])
def test_mnists_files_are_read_with_their_own_test_chips(tmp_path, packed):
    images = np.arange(5 * 28 * 28).reshape(5, 28, 28) % 256
    write_idx(tmp_path / "mnist", images[:3], np.array([7, 0, 9]), packed=packed)
    write_idx(tmp_path / "mnist", images[3:], np.array([1, 2]), ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"), packed)
    train, test = read_labelled(tmp_path / "mnist", [str(digit) for digit in range(10)])
    assert train.labels.tolist() == [7, 0, 9] and test.labels.tolist() == [1, 2]
    assert np.array_equal(np.stack(train.images + test.images), images)


def test_a_truncated_idx_file_is_named(tmp_path):
    write_idx(tmp_path / "mnist", np.zeros((3, 4, 4)), np.zeros(3))
    path = tmp_path / "mnist" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="47 bytes of values, its header says 3×4×4"):
        read_labelled(tmp_path / "mnist", CLASSES)


def test_labels_of_another_length_are_refused(tmp_path):
    folder = write_npy(tmp_path, labelled=6)
    np.save(folder / "Ytrain1.npy", np.array([0, 1, 0]))
    with pytest.raises(InputError, match="3 labels for 6 chips"):
        read_labelled(folder, CLASSES)


@pytest.mark.parametrize(("labels", "said"), [([0, 1, 2, 0, 1, 0], "from 0 to 2"), ([0.5] * 6, "like"), (["a"] * 6, "like")])
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, said):
    folder = write_npy(tmp_path, labelled=6)
    np.save(folder / "Ytrain1.npy", np.array(labels))
    with pytest.raises(InputError, match=said):
        read_labelled(folder, CLASSES)


@pytest.mark.parametrize(
    ("values", "said"), [([-1, 5], "-1 to 5"), ([0, 256], "0 to 256"), ([0.0, 1.0], "multiply shares by 255"), ([0, np.nan], "nan")]
)
def test_values_that_are_no_grey_bytes_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        grey_bytes(np.array(values), "chips.npy")


def test_colour_chips_are_refused_and_grey_ones_in_three_channels_are_not(tmp_path):
    folder = write_folders(tmp_path)
    grey = np.repeat(chips(1)[0][0][..., None], 3, axis=2)
    (folder / "crater" / "grey.png").write_bytes(png(grey))
    assert len(read_labelled(folder, CLASSES)[0]) == 5
    grey[3, 3] = [200, 20, 20]
    (folder / "crater" / "red.png").write_bytes(png(grey))
    with pytest.raises(InputError, match=r"red\.png is a colour picture"):
        read_labelled(folder, CLASSES)
    np.save(tmp_path / "rgb.npy", np.zeros((2, 4, 4, 3)))
    with pytest.raises(InputError, match="3 channels"):
        read_npy_stack(tmp_path / "rgb.npy")


def test_a_missing_class_folder_is_named_with_those_there_are(tmp_path):
    folder = write_folders(tmp_path, names=["non-crater", "craters"])
    with pytest.raises(InputError, match="no pictures of the class 'crater'") as error:
        read_labelled(folder, ["non-crater", "crater"])
    assert "craters" in error.value.valid


def test_one_class_only_is_refused():
    with pytest.raises(InputError, match=r"1 class\(es\) only \(crater\); none of: plain"):
        require_classes(np.ones(5, int), CLASSES, "chips.zip")


def test_an_empty_set_of_unlabelled_chips_is_refused(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 16)))
    for path in (tmp_path / "none.npy", tmp_path):
        with pytest.raises(InputError, match="holds no chips"):
            read_unlabelled(path)


def test_objects_in_an_npy_file_are_never_unpickled(tmp_path):
    class Boom:
        def __reduce__(self):
            return (pytest.fail, ("the file's code ran",))

    np.save(tmp_path / "evil.npy", np.array([Boom()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="can't be read"):
        read_unlabelled(tmp_path / "evil.npy")


def test_a_damaged_picture_is_named(tmp_path):
    folder = write_folders(tmp_path)
    broken = png(np.random.default_rng(0).integers(0, 255, (400, 400), np.uint8))
    at = broken.index(b"IDAT", broken.index(b"IDAT") + 4)
    for content in (png(chips(1)[0][0])[:60], broken[:at] + b"\0\1\2\3" + broken[at + 4 :]):
        (folder / "crater" / "half.png").write_bytes(content)
        with pytest.raises(InputError, match=r"half\.png can't be read"):
            read_labelled(folder, CLASSES)


def test_frames_are_trimmed_and_never_the_whole_chip():
    set_of_one = ChipSet([np.pad(np.full((4, 6), 9, np.uint8), 1)], np.array([0]), ["a"])
    assert np.array_equal(set_of_one.trimmed(1).images[0], np.full((4, 6), 9))
    with pytest.raises(InputError, match="trim_px 3"):
        set_of_one.trimmed(3)
