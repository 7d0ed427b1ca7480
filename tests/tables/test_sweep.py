"""New rows from a grid: right in number and value, checked, and behind rows that stay as they are."""

import csv

import pytest
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.tables.sweep import append_rows, new_rows, read_grid
from cratermill.tables.table import read_table


@pytest.fixture
def table(tmp_path, project_folder):
    path = tmp_path / "configs" / "ejecta_version_hparams.csv"
    path.parent.mkdir()
    path.write_bytes((project_folder / "configs" / "ejecta_version_hparams.csv").read_bytes())
    return path


def grid_of(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return read_grid(path)


def test_all_combinations_with_conditions_stand_behind_the_old_rows(tmp_path, table):
    text = "from: 0\ncolumns:\n  lr: [0.001, 1e-4]\n  batch_size: {low: 4, high: 16, n: 3, log: true, integer: true}\n"
    text += "conditions:\n- {if: {lr: 0.001, batch_size: [4]}, skip: true}\n- {if: {batch_size: 16}, set: {max_epochs: 30}}\n"
    old = table.read_bytes()
    rows = new_rows(table, row_model("ejecta"), grid_of(tmp_path, text))
    assert [(row["lr"], row["batch_size"], row["max_epochs"]) for row in rows] == [
        ("0.001", "8", "60"), ("0.001", "16", "30"), ("1e-4", "4", "60"), ("1e-4", "8", "60"), ("1e-4", "16", "30"),
    ]  # fmt: skip
    append_rows(table, rows)
    assert table.read_bytes().startswith(old)
    before = max(int(row["version"]) for row in csv.DictReader(old.decode().splitlines()))
    sound = {row.version: row for row in read_table(table, row_model("ejecta"), lambda row: False).rows}
    assert [sound[before + 1 + n].batch_size for n in range(5)] == [8, 16, 4, 8, 16] and sound[before + 3].lr == 1e-4


def test_random_rows_are_different_repeatable_and_within_their_range(tmp_path, table):
    text = "from: 0\ncolumns: {lr: {low: 1.0e-5, high: 0.01, log: true}, img_augment: [True, False]}\nsample: 12\nseed: %d\n"
    first, again, other = (new_rows(table, row_model("ejecta"), grid_of(tmp_path, text % seed)) for seed in (1, 1, 2))
    assert first == again != other and len({row["lr"] for row in first}) == 12
    assert all(1e-5 <= float(row["lr"]) <= 0.01 for row in first) and {row["img_augment"] for row in first} == {"True", "False"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from: 0\ncolumns: {lrr: [1]}\n", "no column lrr"),
        ("from: 0\ncolumns: {lr: [-1]}\n", "lr"),
        ("from: 987654\ncolumns: {lr: [1]}\n", "no version 987654"),
        ("from: 0\ncolumns: {lr: {low: 1, high: 2}}\n", "has no n"),
        ("from: 0\ncolumns: {lr: {low: 2, high: 1, n: 3}}\n", "low < high"),
        ("from: 0\ncolumns: {seed: 3}\n", "can't be used"),
        ("from: 0\ncolumns: {lr: []}\n", "at least 1 item"),
        ("from: [0\n", "the grid .* is not valid YAML"),
    ],
)
def test_what_cannot_be_a_row_is_refused_and_nothing_written(tmp_path, table, text, said):
    old = table.read_bytes()
    with pytest.raises(InputError, match=said):
        new_rows(table, row_model("ejecta"), grid_of(tmp_path, text))
    assert table.read_bytes() == old


def test_rows_are_shown_before_they_are_written(tmp_path, table):
    grid_of(tmp_path, "from: 0\ncolumns: {lr: [0.01, 0.02]}\n")
    old, command = table.read_bytes(), ["versions", "grid", str(table), str(tmp_path / "grid.yaml"), "--family", "ejecta"]
    missing = CliRunner().invoke(app, [*command[:3], str(tmp_path / "none.yaml"), *command[4:]])
    assert missing.exit_code == 2 and "can't read the grid" in missing.output
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0 and "2 rows would be added" in shown.output and table.read_bytes() == old
    assert CliRunner().invoke(app, [*command, "--write"]).exit_code == 0 and len(table.read_bytes()) > len(old)
