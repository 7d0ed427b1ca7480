"""Boxes line by line, tables of boxes in pixels, and which text belongs to which image."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from cratermill.core import notices
from cratermill.core.errors import InputError
from cratermill.families.craters_common.boxes import box_circles, paired
from cratermill.families.craters_common.options import CraterData
from cratermill.families.craters_common.sources import box_tiles, circle_tiles

BOX = [[49.5, 24.5, 10.0]]


@pytest.mark.parametrize(
    "text",
    [
        "0 0.5 0.25 0.2 0.2",
        "0.0 0.5 0.25 0.2 0.2 \n\n",
        "0 0.5 0.25 0.2 0.2 0.91",
        "1 0.4 0.15 0.6 0.15 0.6 0.35 0.4 0.35",  # a polygon, and an oriented box
        "1 0.5 0.15 0.6 0.25 0.5 0.35 0.4 0.25 0.45 0.18",
        "ID,X,Y,W,H,C_X,CY\n395,40.0,15.0,20.0,20.0,50.0,25.0\n",
        "X;Y;W;H\n40,0;15,5;20,0;19,0\n40;15;20;20\n".replace("40,0;15,5;20,0;19,0\n", ""),
    ],
)
def test_one_circle_however_it_is_written(text):
    assert np.allclose(box_circles(text, (100, 100), "x"), BOX)


def test_five_lines_of_six_are_five_circles():
    text = "\n".join(f"0 {0.2 + 0.15 * k:.2f} 0.50 0.10 0.10 0.91" for k in range(5))
    found = box_circles(text, (100, 100), "x")
    assert np.allclose(found[:, 0], [19.5, 34.5, 49.5, 64.5, 79.5]) and np.allclose(found[:, 1:], [49.5, 5])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0 .5 .5 .2", "line 1 has 4 numbers"),
        ("0 .5 .5 .2 .2\n0 .1 .2 .3 .4 .5 .6 .7", "line 2 has 8 numbers"),
        ("0 .5 .5 .2 .2\n\n0 .5 .5 .2 1.7", "line 3 is outside of 0…1"),
        ("0 .5 .5 nan .2", "line 1 is outside"),
        (".5 .5 .5 .2 .2", "line 1 is outside"),
        ("0 .5 .5 0 .2", "line 1 is a box without width or height"),
        ("0,.5,.5,.2,.2", "line 1 is no box"),
        ("crater\nrock\n", "has the columns crater"),
        ("X,Y,W,H\n1,2,3,4\n1,2,x,4\n", "line 3 is no box"),
        ("X,Y,W,H\n500,2,3,4\n", "line 2 lies off the image"),
        ("class,x,y,w,h\n0,.5,.5,.2,.2\n", "as if X, Y, W, H were fractions"),
        ("X,Y,W,H\n5,2,nan,4\n", "line 2 is a box without a sound place and size"),
    ],
)
def test_lines_that_are_no_boxes_are_named(text, part):
    with pytest.raises(InputError, match=part) as raised:
        box_circles(text, (100, 100), "a/labels.txt")
    assert "a/labels.txt" in raised.value.given and raised.value.valid


def test_boxes_of_other_classes_are_said_once(capsys):
    notices._said.clear()
    for name in ("a.txt", "b.txt"):
        assert len(box_circles("0 .5 .5 .2 .2\n3 .2 .2 .1 .1\n", (100, 100), name)) == 2
    assert capsys.readouterr().err.count("class 3") == 1


@pytest.mark.parametrize(
    ("images", "labels", "wanted"),
    [
        (["a/1.png"], ["a/1.txt"], ["a/1.txt"]),
        (
            ["train/images/1.png", "valid/images/1.png"],
            ["train/labels/1.txt", "valid/labels/1.txt"],
            ["train/labels/1.txt", "valid/labels/1.txt"],
        ),
        (["images/train/1.png", "images/val/1.png"], ["labels/train/1.txt"], ["labels/train/1.txt", None]),
        (["1.png", "2.png"], ["labels/1.txt"], ["labels/1.txt", None]),
        (["pictures/1.png"], ["texts/1.txt", "README.txt"], ["texts/1.txt"]),
    ],
)
def test_labels_belong_to_the_image_of_their_folder(tmp_path, images, labels, wanted):
    if wanted[-1] is None and len(images) > 1 and "images" in images[0]:
        # One name in two folders, and labels for one of them only: that can't be told from labels that were misplaced.
        with pytest.raises(InputError, match=r"which of 1 files 1\.txt belongs to images/val/1\.png"):
            paired(images, labels, tmp_path)
        return
    assert list(paired(images, labels, tmp_path).values()) == wanted


@pytest.mark.parametrize(
    ("images", "labels", "part"),
    [
        (["a/1.png", "b/1.png"], ["c/1.txt", "d/1.txt"], "which of 2 files 1.txt belongs to a/1.png"),
        (["1.png", "1.jpg"], ["1.txt"], "1.txt belongs to 1.png and 1.jpg"),
    ],
)
def test_labels_that_could_be_anyones_are_refused(tmp_path, images, labels, part):
    with pytest.raises(InputError, match=part):
        paired(images, labels, tmp_path)


def test_real_boxes_in_pixels(real_data):
    from PIL import Image

    with zipfile.ZipFile(real_data("lroc_nac_train.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        texts = {name: archive.read(name).decode() for name in names}
        shapes = {}
        for name in names:
            with archive.open(name.replace(".txt", ".png")) as file, Image.open(file) as image:
                shapes[name] = image.size[::-1]
    found = [box_circles(text, shapes[name], name) for name, text in texts.items()]
    assert sum(map(len, found)) > 2000 and min(circles[:, 2].min() for circles in found if len(circles)) > 2
    table = [line.split(",") for line in texts[names[0]].splitlines()[1:]]
    height, width = shapes[names[0]]
    inside = [row for row in table if 20 < float(row[5]) < width - 20 and 20 < float(row[6]) < height - 20]
    centres = {(round(float(row[5])), round(float(row[6]))) for row in inside}
    near = sum(any(abs(x - a) <= 1.5 and abs(y - b) <= 1.5 for a, b in centres) for x, y, _ in found[0])
    assert near >= len(centres) * 0.95


def test_a_chord_along_the_edge_gives_the_circle_that_it_belongs_to():
    """A quarter of a circle's height shows: less than half, so the box is no whole width."""
    chord = 2 * (20**2 - 10**2) ** 0.5
    assert np.allclose(box_circles(f"0 0.05 0.5 0.1 {chord / 100}", (100, 100), "x"), [[-10.5, 49.5, 20]])


LINE = "0 .5 .5 .2 .2\n"


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ({"a.txt": LINE, "_annotations.coco.json": "{}"}, "1 of 2 images have no text file of boxes (b.png), but there is _annotations"),
        ({"a.xml": "<annotation/>", "b.xml": "<annotation/>"}, "2 of 2 images have no text file"),
        ({"a.json": "{}"}, "but there is a.json"),
        ({"_annotations.csv": "filename,class,xmin\n"}, "but there is _annotations.csv"),
        ({"A.txt": LINE}, "1 text files of boxes, such as A.txt, belong to no image, and no image has one"),
        ({"a.png.txt": LINE}, "such as a.png.txt, belong to no image"),
        ({"a.txt": "0 .5 .5 .1 .1 .5 .5\n", "data.yaml": "nc: 1\nkpt_shape: [1, 2]\n"}, "lines hold keypoints"),
        ({"a.txt": LINE, "b.txt": LINE, "all.json": "{}", "classes.txt": "crater\n", "data.yaml": "nc: 1\n"}, None),
        ({"a.txt": LINE, "README.dataset.txt": "Craters of the Moon\n"}, None),
    ],
)
def test_labels_that_would_not_be_seen_are_refused(tmp_path, labels, part):
    """Otherwise their images would be learned from as if they showed no crater."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(_png())
    for name, text in labels.items():
        (tmp_path / name).write_text(text)
    if part is None:
        tiles = box_tiles(tmp_path, CraterData())
        assert len(tiles.read(tiles.rows)[0].circles) == 1
        return
    with pytest.raises(InputError) as caught:
        box_tiles(tmp_path, CraterData())
    assert part in str(caught.value)


def test_texts_of_images_that_are_not_there_are_said(tmp_path, capsys):
    notices._said.clear()
    (tmp_path / "a.png").write_bytes(_png())
    for name in ("a.txt", "c.txt"):
        (tmp_path / name).write_text(LINE)
    tiles = box_tiles(tmp_path, CraterData())
    assert len(tiles.read(tiles.rows)) == 1 and "1 text files of boxes, such as c.txt, belong to no image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "corners"),
    [
        ("0 .05 .2 .2 .5\n", True),  # x1 y1 x2 y2
        ("0 .05 .2 .2 .5\n0 .5 .5 .1 .1\n", False),  # a crater that the edge cuts, its box drawn whole
        ("0 .02 .3 .1 .1\n", False),
        ("0 .5 .5 .9 .9\n", False),
    ],
)
def test_corners_in_place_of_centres_are_refused(text, corners):
    if corners:
        with pytest.raises(InputError, match="as if their numbers were two corners"):
            box_circles(text, (100, 100), "a.txt")
    else:
        assert len(box_circles(text, (100, 100), "a.txt"))


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("10,10,5\n90,95,20\n120,50,5\n", None),  # one lies off the image
        ("0.1,0.2,0.05\n0.5,0.5,0.1\n", "all circles lie within the first pixel"),
        ("200,10,5\n10,300,5\n20,20,5\n", "2 of 3 circles lie off the image of 100 × 100"),
    ],
)
def test_circles_of_another_image_or_in_other_units_are_refused(tmp_path, rows, part):
    (tmp_path / "a.png").write_bytes(_png())
    (tmp_path / "a.csv").write_text(f"x,y,radius\n{rows}")
    images, tables, options = [tmp_path / "a.png"], [tmp_path / "a.csv"], CraterData(tile_px=100)
    if part is None:
        tiles = circle_tiles(images, tables, options)
        assert len(tiles.read(tiles.rows)[0].circles) == 2
        return
    with pytest.raises(InputError, match=part):
        circle_tiles(images, tables, options)


def _png() -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.full((100, 100), 90, np.uint8)).save(content, "png")
    return content.getvalue()
