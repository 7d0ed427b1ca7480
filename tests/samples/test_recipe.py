"""Recipes: read with care, the same image from the same seed, and part of what a row is trained with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.families.chips_common.data import Chips
from cratermill.families.crater_unet.data import Tiles
from cratermill.families.crater_unet.hparams import Hparams as CraterRow
from cratermill.samples.augment import Augmenter
from cratermill.samples.recipe import CHANGES, Recipe, read_recipe, recipe_folder, recipe_names
from cratermill.tables.table import read_table
from tests.families.crater_unet.planet import ROW as CRATERS
from tests.tables.test_table import EJECTA, write

IMAGE = np.kron(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_follows_from_the_seed_for_any_number_of_bands(change):
    augmenter = Augmenter(True, Recipe(name="one", changes={change: {}}, some_of=(1, 1)))
    again = Augmenter(True, Recipe(name="one", changes={change: {}}, some_of=(1, 1)))
    for image in (IMAGE, IMAGE[..., :1]):
        first = [augmenter.colour(image, seed) for seed in range(3)]
        assert {(one.shape, one.dtype.name) for one in first} == {(image.shape, "uint8")}
        assert all(np.array_equal(one, again.colour(image, seed)) for seed, one in reversed(list(enumerate(first))))


def test_those_that_come_along(project_folder):
    folder = recipe_folder(project_folder / "configs" / "ejecta_version_hparams.csv")
    assert {"gentle", "rough"} <= set(recipe_names(folder))
    for name in recipe_names(folder):
        augmenter = Augmenter(False, read_recipe(folder, name))
        assert any(not np.array_equal(augmenter.colour(IMAGE, seed), IMAGE) for seed in range(20))


def test_ranges_are_kept_and_moves_can_be_left_out():
    add = Recipe(name="add", changes={"Add": {"value": (5, 7)}}, some_of=(1, 1), moves=False)
    augmenter = Augmenter(True, add)
    grey = np.full((8, 8, 1), 100, np.uint8)
    assert {int(augmenter.colour(grey, seed).max()) for seed in range(40)} == {105, 106, 107}
    index = np.arange(64).reshape(8, 8)
    assert all(np.array_equal(augmenter.geometry([index], seed)[0], index) for seed in range(8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("changes: {Ad: {value: 3}}", "no change is called Ad; valid: Add"),
        ("changes: {Fliplr: {p: 1}}", "no change is called Fliplr"),
        ("changes: {Add: {valeu: 3}}", "Add takes no valeu; valid: value"),
        ("changes: {Add: {value: __import__('os')}}", "Add.value"),
        ("changes: {Add: {value: [9, 2]}}", "the smaller number comes first"),
        ("changes: {Add: {value: 1}}\nsome_of: [1, 2]", "two numbers from 0 to 1"),
        ("changes: {}", "changes"),
        ("change: {Add: {value: 1}}", "change"),
        ("changes: [", "is not valid YAML"),
    ],
)
def test_flaws_are_named(tmp_path, content, said):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        read_recipe(tmp_path, "mine")
    assert said in str(caught.value)


def test_rows_name_recipes_and_hold_their_content(tmp_path):
    folder = tmp_path / "configs" / "augment"
    folder.mkdir(parents=True)
    (folder / "gentle.yaml").write_text("changes: {Add: {value: [-5, 5]}}\nsome_of: [0, 1]\n")
    path = write(tmp_path / "configs" / "e.csv", [EJECTA | {"img_augment": "gentle"}, EJECTA | {"version": "1", "img_augment": "gentel"}])
    table = read_table(path, row_model("ejecta"), lambda row: False)
    (problem,) = table.problems
    assert (problem.column, problem.value) == ("img_augment", "gentel")
    assert "gentle" in problem.valid
    assert "True, False" in problem.valid
    row = table.rows[0]
    frozen = row.model_dump(mode="json")
    assert frozen["img_augment"]["changes"] == {"Add": {"value": [-5, 5]}}
    (folder / "gentle.yaml").write_text("changes: {Add: {value: [-50, 50]}}\nsome_of: [0, 1]\n")
    assert type(row).from_plan(frozen) == row, "a plan keeps what it was frozen with"
    assert read_table(path, row_model("ejecta"), lambda row: False).rows[0].model_dump(mode="json") != frozen, "and another is another row"


def test_chips_and_crater_tiles_take_recipes():
    """Light by the recipe, always the same; what is drawn moves with what is seen."""
    add = {"name": "add", "changes": {"Add": {"value": (30, 60)}}, "some_of": (1, 1)}
    still = Chips(IMAGE[None, :, :, 0], np.eye(2, dtype=np.float32)[:1], 3, Recipe(**add, moves=False))
    shown = still[0, 0, 0]["image"].numpy()[0]
    middle = (IMAGE[..., 0] > 70) & (IMAGE[..., 0] < 190)  # what neither end of the bytes cuts
    shift = np.unique((shown - IMAGE[..., 0])[middle])
    assert len(shift) == 1 and 30 <= shift[0] <= 60
    assert np.array_equal(still[0, 0, 0]["image"], still[0, 0, 0]["image"])
    assert not np.array_equal(Chips(IMAGE[None, :, :, 0], still.targets, 3)[0, 0, 0]["image"][0], shown)

    rows, cols = np.mgrid[:128, :128]
    disc = np.hypot(cols - 20, rows - 44) <= 9
    table = pd.DataFrame({"resolution_m": [1.0]})
    tiles = SimpleNamespace(
        image=np.where(disc, 120, 40)[None].astype(np.uint8), circles=[np.array([[20.0, 44.0, 9.0]])], tiles=table, meta={"range": [0, 255]}
    )
    hparams = CraterRow.from_plan(CRATERS | {"target": "fill", "size_min": 2, "img_augment": Recipe(**add, moves=True)})
    drawn = [Tiles(tiles, np.array([0]), hparams, 1, training=True)[epoch, 0, 0] for epoch in range(6)]
    for one in drawn:
        image, target = one["image"].numpy()[0], one["target"].numpy()[0]
        assert np.array_equal(image > image.mean(), target > 0) or ((image > image.mean()) != (target > 0)).mean() < 0.02
    assert len({tuple(np.argwhere(one["target"].numpy()[0]).mean(0).round()) for one in drawn}) > 1
    assert len({float(one["image"].min()) for one in drawn}) > 1
