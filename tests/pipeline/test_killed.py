"""Prepare killed again and again ends equal to an undisturbed one, for every family."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cratermill.core.files import read_json
from cratermill.craters.catalogue import write_catalogue
from cratermill.families.crater_unet.hparams import Hparams
from tests.conftest import ROOT
from tests.families.autoencoder import case as autoencoder
from tests.families.chips_common import case as chips
from tests.families.crater_unet import planet
from tests.families.crater_unet.test_data import box_folder
from tests.tiny import unprepared_project

CUT = "{cut: {mosaic: mosaic.tif, catalogue: craters.csv, negatives_per_crater: 8, unlabelled: 60}, classes: [plain, crater]}"


def ejecta(root: Path) -> None:
    root.mkdir()
    unprepared_project(root)


def crops(root: Path) -> None:
    autoencoder.project(root)


def cut_chips(root: Path) -> None:
    root.mkdir()
    chips.write_planet(root, grain=90)
    chips.write_project(root, "chip_classifier", data=CUT)


def given_chips(root: Path) -> None:
    chips.write_project(root, "sgan")


def chips_of_pictures(root: Path) -> None:
    images, labels = chips.chips(60)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / "pictures" / chips.CLASSES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[number % 3 :]).save(path)
    chips.write_project(root, "chip_classifier", data="{chips: pictures, unlabelled: pictures/plain, classes: [plain, crater]}")


def tiles(root: Path, data: dict, *rows: dict) -> None:
    names = {name: column for column, name in Hparams.columns().items()}
    table = pd.DataFrame([{names[name]: value for name, value in (planet.ROW | row).items()} for row in rows or ({},)])
    (root / "configs").mkdir(parents=True, exist_ok=True)
    table.to_csv(root / "configs" / "rows.csv", index=False)
    splits = {"count": 2, "test_fraction": 0.25}
    run = {"name": "r", "data": "data", "splits": splits, "train": {"crater_unet": {"table": "configs/rows.csv", "data": data}}}
    planet.project(root, run)


def tiles_of_a_mosaic(root: Path) -> None:
    _, craters = planet.ring_planet(root / "data" / "mosaics" / "cylindrical_mosaic.tif")
    write_catalogue(root / "known.csv", craters)
    tiles(root, {"catalogue": "known.csv", "tile_px": 72, "missing": None})


def tiles_of_images_and_dots(root: Path) -> None:
    box_folder(root, ["0 0.5 0.5 0.2 0.2\n", "", "0 0.2 0.2 0.2 0.2\n", ""] * 2)
    dots = {"version": 2, "data": "dots", "size_min": 3, "size_max": 30, "target": "fill"}
    tiles(root, {"kind": "boxes", "path": "boxes", "dots": {"tiles": 20, "tile_px": 64}}, {}, dots)


CASES: dict[Callable[[Path], None], int] = {
    ejecta: 2**20,
    crops: 2**14,
    cut_chips: 2**14,
    given_chips: 2**14,
    chips_of_pictures: 2**18,
    tiles_of_a_mosaic: 2**15,
    tiles_of_images_and_dots: 2**15,
}
"""Bytes of a piece, so that each makes a few."""


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory) -> tuple[Path, Path]:
    """All projects, prepared by processes that were killed, and undisturbed."""
    folder = tmp_path_factory.mktemp("prepare")
    killed, calm = folder / "killed", folder / "calm"
    killed.mkdir()
    for case, chunk_bytes in CASES.items():
        case(killed / case.__name__)
        (killed / case.__name__ / "chunk.txt").write_text(str(chunk_bytes))
        shutil.copytree(killed / case.__name__, calm / case.__name__)
    command = [sys.executable, "-m", "tests.pipeline.killed_prepare", str(folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert answer.returncode == 0, answer.stderr
    return killed, calm


@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_killed_at_any_piece_it_goes_on_there_and_ends_equal(both_ways, case):
    killed, calm = (folder / case for folder in both_ways)
    pieces = (calm / "pieces.txt").read_text()
    assert (killed / "pieces.txt").read_text() == pieces  # none was made twice, none was left out
    assert content(killed / "data") == content(calm / "data")


def content(folder: Path) -> dict[str, object]:
    """All files by their names below a folder; of records without the times of files."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name == "store.json":
            found[name] = {key: value for key, value in read_json(path).items() if key in ("digest", "parts", "facts")}
        elif path.is_file():
            found[name] = path.read_bytes() if path.suffix != ".json" else sorted(read_json(path).get("steps", []))
    assert any(name.endswith("store.json") for name in found) and not any(".part" in name for name in found)
    return found
