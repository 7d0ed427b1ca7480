"""One launch from rows to maps: the plan's graph, its run, what is made again, several maps, the best version, changes for one launch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze
from cratermill.batch.state import is_done, is_settled
from cratermill.core.errors import InputError
from cratermill.core.files import read_json, write_json
from cratermill.families import members
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import launch, plan_all, plan_mapping
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import wanted_rows
from cratermill.pipeline.show_plan import graph_text, nodes_of, table_text
from tests.pipeline.conftest import copy_project, prepared, trained  # noqa: F401 - fixtures

MAP = {"versions": {"connection": 3, "ejecta": 8}, "split": 0, "craters": [1, 2]}


def with_keys(config: Path, **keys) -> Path:
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | keys))
    return config


def whole_plan(config: Path, changes=(), **options):
    loaded = load_config(config, changes)
    return plan_all(loaded, wanted_rows(loaded), **options)


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:  # noqa: F811
    return with_keys(copy_project(prepared, tmp_path), map=MAP)


def test_maps_stand_behind_the_trainings_they_are_made_with(project):
    plan = whole_plan(project)
    stages = [cell.stage for cell in plan.cells]
    assert stages == ["train"] * 4 + ["evaluate"] * 4 + ["summarise"] + ["map"] * 2 + ["composite"]
    crater = plan.cells[9]
    assert {plan.cells[need].stage for need in crater.needs} == {"train"} and len(crater.needs) == 4 and not crater.soft_needs
    assert {plan.cells[need].stage for need in plan.cells[8].needs} == {"train", "evaluate"}
    assert set(plan.cells[-1].needs) >= {9, 10} and plan.cells[-1].soft_needs
    assert [cell.stage for cell in whole_plan(project, until="evaluate").cells] == ["train"] * 4 + ["evaluate"] * 4
    # A map follows from what its trainings follow from, and from nothing that is applied to the votes afterwards.
    marks = [cell.fingerprint for cell in plan.cells[9:11]]
    later = ["map.threshold=0.7", "map.overlap_alpha=0.1", "map.smallest_cluster_px=9", "map.show=[1]"]
    assert [cell.fingerprint for cell in whole_plan(project, later).cells[9:11]] == marks
    assert [cell.fingerprint for cell in whole_plan(project, ["connection.lr=0.5"]).cells[9:11]] != marks


def test_the_graph_is_shown_as_table_picture_and_file(project, tmp_path, capsys):
    nodes = nodes_of(whole_plan(project))
    table, graph = table_text(nodes).splitlines(), graph_text(nodes)
    assert len(table) == 1 + len(nodes) and table[1].split()[:4] == ["train", "connection", "3", "2"]
    assert "[train ejecta 8: 2 cells] ──> evaluate ejecta 8" in graph and "──> map ejc-version-8" in graph
    summary = nodes["summarise", ""]
    assert summary.after == {("evaluate", "ejecta 8")}, "only direct predecessors"
    pictures = [tmp_path / "graph.svg", tmp_path / "graph.png"]
    for picture in pictures:
        assert launch("all", project, dry_run=True, picture=picture) == 0
    assert "begins after" in capsys.readouterr().out
    assert pictures[0].read_text().startswith("<?xml") and pictures[1].read_bytes()[1:4] == b"PNG"
    assert not (project.parents[1] / "log" / "runs").exists(), "a dry run writes nothing"


def test_unprepared_data_are_said_in_a_dry_run(project, capsys):
    shutil.rmtree(project.parents[1] / "data" / "tiny" / "conn_data")
    assert launch("all", project, dry_run=True) == 0
    assert "prepare would run first" in capsys.readouterr().out


def test_changes_for_one_launch_are_checked_and_recorded(project):
    plan = whole_plan(project, ["seed=9", "ejecta.lr=0.01", "connection.3.max_epochs=5", "map.craters=[2]"])
    hparams = {cell.params["family"]: cell.params["hparams"] for cell in plan.cells if cell.stage == "train"}
    assert hparams["ejecta"]["lr"] == 0.01 and hparams["connection"]["max_epochs"] == 5
    assert plan.seed == 9 and sum(cell.stage == "map" for cell in plan.cells) == 1
    assert plan.config["changed"] == ["seed=9", "ejecta.lr=0.01", "connection.3.max_epochs=5", "map.craters=[2]"]
    for change, said in (
        ("ejecta.lrr=1", "lrr.*no column"),
        ("sed=1", "sed: unknown key.*seed"),
        ("ejecta.99.lr=1", "version 99"),
        ("map.threshold", "key=value"),
        ("ejecta.lr=fast", "'fast'"),
    ):
        with pytest.raises(InputError, match=said):
            whole_plan(project, [change])


def test_lists_make_a_map_of_each(project):
    several = {**MAP, "name": "m", "split": [0, 1], "mosaic": ["a.tif", "b.tif"]}
    config = load_config(with_keys(project, map=None, maps=[several, {**MAP, "versions": {"ejecta": [8, 9]}}]))
    names = [(one.name, one.split, one.mosaic, one.versions["ejecta"]) for one in config.maps]
    assert names[:4] == [(f"m_test-set-{split}_{mosaic[0]}", split, mosaic, 8) for split in (0, 1) for mosaic in ("a.tif", "b.tif")]
    assert [version for *_, version in names[4:]] == [8, 9] and config.map is None
    with pytest.raises(InputError, match="two maps of the config are called same"):
        whole_plan(with_keys(project, maps=[{**MAP, "name": "same"}, {**MAP, "name": "same", "craters": [3]}]))


def test_a_map_of_the_same_launch_may_be_the_truth(project):
    maps = [{**MAP, "name": "a", "compare": ["b", {"truth": "data/tiny", "pictures": 0}]}, {**MAP, "name": "b", "threshold": 0.6}]
    plan = whole_plan(with_keys(project, map=None, maps=maps))
    whole = {cell.params["name"]: cell.index for cell in plan.cells if cell.stage == "composite"}
    asked = [cell for cell in plan.cells if cell.stage == "compare"]
    assert [set(cell.needs) for cell in asked] == [{whole["a"], whole["b"]}, {whole["a"]}]
    assert len({cell.key for cell in asked}) == len({cell.product for cell in asked}) == 2
    other = whole_plan(with_keys(project, maps=[maps[0], {**maps[1], "threshold": 0.7}]))
    now = [cell.fingerprint for cell in other.cells if cell.stage == "compare"]
    assert now[0] != asked[0].fingerprint and now[1] == asked[1].fingerprint


@pytest.fixture(scope="module")
def finished(trained: Path, tmp_path_factory) -> Path:  # noqa: F811
    """A project that was trained, then launched whole with a map of the best version."""
    config = copy_project(trained, tmp_path_factory.mktemp("whole"))
    best = {**MAP, "versions": {"connection": 3, "ejecta": "best"}, "craters": [2], "name": "best of all"}
    return with_keys(config, map={**MAP, "craters": [1]}, maps=[best])


@pytest.fixture(scope="module")
def done(finished):
    plan = whole_plan(finished)
    freeze(plan)
    for cell in plan.cells:
        if not is_settled(plan, cell):
            result = run_cell(plan, cell.index, science)
            assert result.state == "done", f"{cell.key}: {result.cause}"
    return plan


def test_whole_launch_trains_nothing_twice_and_maps_what_it_says(finished, done):
    assert all(is_settled(done, cell) for cell in done.cells), "a second launch has nothing to do"
    config = load_config(finished)
    again = plan_mapping(config)
    assert all(is_settled(again, cell) for cell in again.cells), "nor has a launch of the maps alone"
    made = read_json(config.project.map_folder("best of all") / "provenance.json")
    assert made["versions"] == {"connection": 3, "ejecta": 8} and len(made["checkpoints"]["ejecta"]) == 2
    assert made["config"]["map"]["versions"]["ejecta"] == "best" and made["missing"] == []


def test_another_threshold_composes_and_predicts_nothing(finished, done):
    plan = whole_plan(finished, ["map.threshold=0.4"])
    assert [cell.stage for cell in plan.cells if not is_settled(plan, cell)] == ["composite"]


def test_maps_of_weights_that_changed_since_are_not_taken(finished, done, tmp_path):
    config = load_config(copy_project(finished, tmp_path))
    product = members.training_product(config, "ejecta", 8, 0, 1)
    write_json(product / members.WEIGHTS, {members.CHECKPOINT: "0" * 64})  # trained again, on another machine, say
    with pytest.raises(InputError, match="other checkpoints.*\n.*ejecta version 8, iteration 1"):
        launch("map", config.source, workers=1)
    composite = next(cell for cell in done.cells if cell.stage == "composite")
    from cratermill.batch.plan import load

    plan = load(config.project.plan(done.run))
    result = run_cell(plan, composite.index, science)
    assert result.state == "failed" and "--overwrite" in result.cause


def test_the_best_version_is_chosen_by_validation_never_by_test(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "c.yaml").write_text("name: c\ndata: data\n")
    config = load_config(tmp_path / "configs" / "c.yaml")
    candidates = {}
    for version, validation, test in ((1, 0.6, 0.9), (2, 0.8, 0.1), (3, 0.8, 0.9)):
        for split in (0, 1):
            metrics = {"val_F1_Score": validation, "val_loss": 1.0, "F1_Score": test}
            write_json(members.training_product(config, "ejecta", version, split, 0) / "cell.json", {"metrics": metrics})
        candidates[str(version)] = {"0": {"0": "a"}, "1": {"0": "b"}}
    assert members.best_version(config, "ejecta", candidates) == 2, "the lower number where scores are equal"


def test_what_failed_stops_only_what_needs_it(project):
    """A map waits for its own trainings alone; without one of them it isn't made."""
    plan = whole_plan(project)
    freeze(plan)
    crater = plan.cells[9]
    result = run_cell(plan, crater.index, science)
    assert result.state == "blocked" and "train_connection" in result.cause and not is_done(plan, crater)


def test_a_second_look_at_prepared_data_needs_no_libraries(project):
    """What a dry run checks of data is remembered while the files stay; when one changes, it is read again."""
    heavy = ("torch", "pandas", "geopandas", "rasterio", "scipy", "matplotlib")
    code = (
        "import sys; from pathlib import Path; from cratermill.pipeline.launch import launch\n"
        f"launch('all', Path({str(project)!r}), dry_run=True); print([name for name in {heavy!r} if name in sys.modules])"
    )
    (project.parents[1] / "log").mkdir(exist_ok=True)
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert second.splitlines()[-1] == "[]" and second.splitlines()[:-1] == first.splitlines()[:-1]
    craters = load_config(project).data.craters
    craters.write_bytes(craters.read_bytes())
    third = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "rasterio" in third.splitlines()[-1]
