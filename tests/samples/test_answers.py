"""Answers about data are given again only while all files that they came from are as they were."""

from __future__ import annotations

import os

import pytest

from cratermill.core.errors import InputError
from cratermill.pipeline.load_config import parse_config
from cratermill.samples.answers import remembered
from cratermill.samples.inputs import mark


@pytest.fixture
def asked(tmp_path):
    """Ask how often it was asked before, of data that consist of data/own.txt and of elsewhere/list.csv."""
    (tmp_path / "log").mkdir()
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "own.txt").write_text("own")
    (tmp_path / "elsewhere" / "list.csv").write_text("list")
    config = parse_config({"name": "tiny", "data": "data", "train": {"ejecta": {"table": "t.csv"}}}, tmp_path)
    times = []

    def find() -> int:
        mark(tmp_path / "elsewhere" / "list.csv")
        times.append(1)
        return len(times)

    return lambda question="q": remembered(config, question, find)


def test_an_answer_is_found_once(asked):
    assert [asked(), asked(), asked("other"), asked()] == [1, 1, 2, 1]


@pytest.mark.parametrize("change", ["data/own.txt", "data/new.txt", "elsewhere/list.csv", "elsewhere/list.csvt", "gone"])
def test_files_that_changed_are_looked_at_again(asked, tmp_path, change):
    assert asked() == 1
    if change == "gone":
        (tmp_path / "data" / "own.txt").unlink()
    else:
        (tmp_path / change).write_text("changed")
    assert [asked(), asked()] == [2, 2]


def test_a_touched_file_counts_and_a_stranger_beside_the_list_does_not(asked, tmp_path):
    assert asked() == 1
    (tmp_path / "elsewhere" / "other.csv").write_text("other")
    assert asked() == 1
    os.utime(tmp_path / "elsewhere" / "list.csv", ns=(1, 1))
    assert asked() == 2


def test_errors_and_damaged_notes_are_not_kept(tmp_path, asked):
    config = parse_config({"name": "tiny", "data": "data", "train": {"ejecta": {"table": "t.csv"}}}, tmp_path)

    def refuse() -> None:
        raise InputError("wrong")

    for _ in range(2):
        with pytest.raises(InputError, match="wrong"):
            remembered(config, "refused", refuse)
    assert asked() == 1
    next((tmp_path / "log" / "checked").glob("*.json")).write_text("{")
    assert [asked(), asked()] == [2, 2]


def test_what_changes_while_it_is_read_is_asked_about_again(tmp_path, asked):
    config = parse_config({"name": "tiny", "data": "data", "train": {"ejecta": {"table": "t.csv"}}}, tmp_path)
    seen = []

    def find() -> int:
        seen.append(1)
        if len(seen) == 1:
            (tmp_path / "data" / "own.txt").write_text("written meanwhile")
        return len(seen)

    assert [remembered(config, "q", find) for _ in range(3)] == [1, 2, 2]
