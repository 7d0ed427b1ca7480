"""Chips on a contact sheet: what the page holds, and labels that become folders of classes."""

import html as texts
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.families.chips_common.readers import read_labelled
from cratermill.labelling.chips import take_labels, write_sheet

CLASSES = ["plain", "crater"]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "it's </script> chips"
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 20), np.uint8)
        path = folder / ("crater" if number == 5 else "new") / f"chip {number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def on_page(path) -> list[dict]:
    """The chips that a browser would read off the page."""
    text = path.read_text()
    return json.loads(re.search(r'id="chips">(.*?)</script>', text, re.DOTALL)[1])["chips"]


def exported(path, page, labels: dict[str, str]):
    """What the page's button writes."""
    rows = [(one["name"], labels.get(one["name"], ""), one["digest"]) for one in on_page(page)]
    pd.DataFrame(rows, columns=["name", "label", "pixels_sha256"]).to_csv(path, index=False)
    return path


def test_labels_become_folders_that_families_read(source, tmp_path):
    page, out = tmp_path / "sheet.html", tmp_path / "labelled"
    answer = CliRunner().invoke(app, ["label", "chips", str(source), str(page), "--classes", "plain,crater"])
    assert answer.exit_code == 0 and "6 of 6 chips" in answer.output and "1 of them with a label" in answer.output
    assert "http" not in page.read_text() and texts.escape(source.name) in page.read_text()
    wanted = {"new/chip 0.png": "plain", "new/chip 1.png": "crater", "new/chip 2.png": "plain", "crater/chip 5.png": "crater"}
    labels = exported(tmp_path / "labels.csv", page, wanted)
    answer = CliRunner().invoke(
        app, ["label", "chips-import", *map(str, (labels, source, out)), "--classes", "plain,crater", "--by", "Ada"]
    )
    assert answer.exit_code == 0 and "4 labels" in answer.output and "plain 2, crater 2" in answer.output
    chips, _ = read_labelled(out, CLASSES)
    assert sorted(chips.labels) == [0, 0, 1, 1]
    pixels = {image.tobytes(): label for image, label in zip(chips.images, chips.labels, strict=True)}
    assert all(pixels[np.asarray(Image.open(source / name)).tobytes()] == CLASSES.index(label) for name, label in wanted.items())
    # A second opinion moves a chip, and both are remembered.
    take_labels(exported(labels, page, {"new/chip 1.png": "plain"}), source, out, CLASSES, "Bob")
    assert sorted(read_labelled(out, CLASSES)[0].labels) == [0, 0, 0, 1]
    log = pd.read_csv(out / "labels.csv")
    assert log["by"].tolist() == ["Ada"] * 4 + ["Bob"] and log["label"].iloc[-1] == "plain"


def test_the_least_sure_come_first(source, tmp_path):
    scores = pd.DataFrame({"name": ["new/chip 3.png", "new/chip 1.png"], "p_plain": [0.9, 0.45], "p_crater": [0.1, 0.55]})
    scores.to_csv(tmp_path / "predictions.csv", index=False)
    made = write_sheet(source, tmp_path / "sheet.html", CLASSES, tmp_path / "predictions.csv", most=3)
    shown = on_page(tmp_path / "sheet.html")
    assert (made.shown, made.of) == (3, 6) and [one["name"] for one in shown[:2]] == ["new/chip 1.png", "new/chip 3.png"]
    assert shown[0]["guess"] == "crater 0.55" and shown[2]["guess"] == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"new/chip 0.png": "crate"}, "row 2: label is crate\nValid: crater, plain"),
        ({}, "holds no labels"),
    ],
)
def test_labels_that_cannot_be_used_are_named(source, tmp_path, change, said):
    write_sheet(source, tmp_path / "sheet.html", CLASSES)
    with pytest.raises(InputError, match=said):
        take_labels(exported(tmp_path / "l.csv", tmp_path / "sheet.html", change), source, tmp_path / "out", CLASSES, "Ada")
    assert not (tmp_path / "out").exists()


def test_labels_of_other_chips_are_refused(source, tmp_path):
    write_sheet(source, tmp_path / "sheet.html", CLASSES)
    labels = exported(tmp_path / "l.csv", tmp_path / "sheet.html", {"new/chip 0.png": "plain"})
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(source / "new" / "chip 0.png")
    with pytest.raises(InputError, match="isn't the one that was labelled"):
        take_labels(labels, source, tmp_path / "out", CLASSES, "Ada")
    with pytest.raises(InputError, match="classes ../x, y"):
        write_sheet(source, tmp_path / "sheet.html", ["../x", "y"])
