"""Versions are ranked among those of the same data only, and numbers may repeat across planets."""

import pandas as pd
import pytest

from cratermill.config import Config, RunConfig
from cratermill.core.files import write_json, write_table
from cratermill.core.paths import Project
from cratermill.families import get_family
from cratermill.pipeline.data_set import data_set
from cratermill.pipeline.index import write_results_page
from cratermill.pipeline.leaderboard import leaderboard
from cratermill.pipeline.training_page import write_training_page

MOON, MERCURY = "Moon · wac.tif · data/moon · 11111111", "Mercury · mdis.tif · data/mercury · 22222222"


def version(project, number, data, scores, splits=(0, 1)):
    table = pd.DataFrame({"test-set": splits, "iteration": 0, "test_F1_Score": scores, "data_set": data})
    write_table(project.version_results("ejc", number) / "eval_metrics.csv", table)
    write_json(project.version_results("ejc", number) / "missing.json", [])


def test_other_data_and_other_splits_are_never_ranked_together(tmp_path):
    project = Project(tmp_path)
    version(project, 1, MOON, [0.9, 0.9])
    version(project, 2, MERCURY, [0.5, 0.5])
    version(project, 3, MERCURY, [0.6, 0.6])
    version(project, 4, MERCURY, [0.99], splits=[0])
    version(project, 5, None, [0.95, 0.95])
    version(project, 6, MERCURY, [float("nan"), float("nan")])
    board = pd.read_csv(leaderboard(project, get_family("ejecta")), dtype={"test_sets": str}).set_index("version")
    assert board["rank"].to_dict() == pytest.approx({1: 1, 3: 1, 2: 2, 4: 1, 5: 1, 6: float("nan")}, nan_ok=True)
    assert board.loc[6:].empty or board.index[board["data_set"] == MERCURY].tolist() in ([4, 3, 2, 6], [3, 2, 6, 4])
    assert board.loc[5, "data_set"] == "data not recorded" and board.loc[4, "test_sets"] == "0"
    text = write_training_page(project, get_family("ejecta")).read_text()
    assert text.count("<h3>") == 4 and text.count('<table class="data">') >= 4 and "Moon · wac.tif" in text


def test_cells_of_mixed_data_are_a_data_set_of_their_own(tmp_path):
    version(Project(tmp_path), 1, [MOON, MERCURY], [0.5, 0.5])
    board = pd.read_csv(leaderboard(Project(tmp_path), get_family("ejecta")))
    assert board["data_set"].item() == f"{MERCURY} + {MOON}"


def test_numbers_may_repeat_in_groups(tmp_path):
    for group, score in (("", 0.5), ("moon", 0.8)):
        project = Project(tmp_path, group)
        version(project, 200, MOON if group else MERCURY, [score, score])
        leaderboard(project, get_family("ejecta"))
        write_training_page(project, get_family("ejecta"))
    text = write_results_page(tmp_path).read_text()
    assert 'href="ejc_results/index.html"' in text and 'href="ejc_results/moon/index.html"' in text
    assert '<a href="../../index.html">' in (tmp_path / "results/ejc_results/moon/index.html").read_text()
    run = {"name": "a", "data": "data/moon", "group": "moon"}
    assert Config(RunConfig(**run), tmp_path).project.version_results("ejc", 200) == tmp_path / "results/ejc_results/moon/version_200"
    for bad in ("version_1", "a/b", "..", "assets"):
        with pytest.raises(ValueError, match="group"):
            RunConfig(**run | {"group": bad})


def test_the_hash_follows_what_is_learned_from(tmp_path):
    config = Config(RunConfig(name="a", data="d", train={"ejecta": {"table": "t.csv"}}), tmp_path)
    (tmp_path / "d" / "conn_data").mkdir(parents=True)
    config.data.az_positions.write_text("test_0\n1\n")
    first = data_set(config, "ejecta")
    assert first.startswith("d · ") and data_set(config, "ejecta") == first
    config.data.az_positions.write_text("test_0\n0\n")
    assert data_set(config, "ejecta") != first
