"""From a config to cells: seeds, needs, fingerprints."""

from __future__ import annotations

import pytest

from cratermill.core.errors import InputError
from cratermill.core.files import read_json, write_json
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config, parse_config
from cratermill.pipeline.planning import map_plan, note_preparation, prepared_or_refuse, train_plan, wanted_rows
from tests.pipeline.conftest import prepared, project  # noqa: F401 - fixtures


def replanned(config, **changes):
    return train_plan(parse_config(config.dump() | changes, config.root))


def test_every_cell_once_and_after_what_it_needs(prepared):  # noqa: F811
    plan = train_plan(load_config(prepared))
    assert [cell.stage for cell in plan.cells] == ["train"] * 4 + ["evaluate"] * 4 + ["summarise"]
    names = {cell.key: cell for cell in plan.cells}
    assert len(names) == 9
    evaluation = names["evaluate_ejecta-v8_test-set-0_iteration-1"]
    assert {plan.cells[need].key for need in evaluation.needs} == {
        "train_ejecta-v8_test-set-0_iteration-1",
        "evaluate_connection-v3_test-set-0_iteration-0",
        "evaluate_connection-v3_test-set-0_iteration-1",
    }


def test_seeds_follow_from_seed_version_split_iteration_and_nothing_else(prepared):  # noqa: F811
    config = load_config(prepared)
    seeds = {cell.key: cell.params["seed"] for cell in train_plan(config).cells if cell.stage == "train"}
    assert len(set(seeds.values())) == 4
    more = {name: run | {"splits": [0, 1], "iterations": 3} for name, run in config.dump()["train"].items()}
    again = {cell.key: cell.params["seed"] for cell in replanned(config, train=more).cells if cell.stage == "train"}
    assert len(again) == 12 and {key: again[key] for key in seeds} == seeds
    assert all(cell.params["seed"] != seeds.get(cell.key) for cell in replanned(config, seed=8).cells if cell.stage == "train")


def test_only_what_a_cell_depends_on_changes_its_fingerprint(prepared):  # noqa: F811
    config = load_config(prepared)
    marks = {cell.key: cell.fingerprint for cell in train_plan(config).cells}
    other = replanned(config, name="other", trainer=config.dump()["trainer"] | {"loader_workers": 3})
    assert {cell.key: cell.fingerprint for cell in other.cells} == marks
    finer = replanned(config, tiles=config.dump()["tiles"] | {"eval_step": 0.5})
    moved = {cell.key: cell.fingerprint for cell in finer.cells}
    changed = {key for key in marks if moved[key] != marks[key]}
    assert changed == {key for key in marks if key.startswith("evaluate")}


def test_evaluations_that_lean_on_untrained_rows_are_refused_at_launch(prepared):  # noqa: F811
    config = load_config(prepared)
    alone = {"ejecta": config.dump()["train"]["ejecta"]}
    with pytest.raises(InputError, match="connection version 3 has not been evaluated on split 0"):
        replanned(config, train=alone)


def test_launching_unprepared_data_names_the_command(prepared, tmp_path):  # noqa: F811
    config = load_config(prepared)
    elsewhere = parse_config(config.dump() | {"data": str(tmp_path)}, config.root, prepared)
    with pytest.raises(InputError, match="not prepared") as error:
        prepared_or_refuse(elsewhere, wanted_rows(elsewhere))
    assert "cratermill prepare" in error.value.next_step


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mosaic", "elsewhere.tif"),
        ("body", "mars"),
        ("splits", {"count": 3}),
        ("img_norm", {"mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]}),
        ("tiles", {"eval_size_px": 12}),
    ],
)
def test_a_config_that_changed_since_prepare_is_noticed(prepared, key, value):  # noqa: F811
    config = load_config(prepared)
    prepared_or_refuse(config, wanted_rows(config))
    other = parse_config(config.dump() | {key: value}, config.root, prepared)
    with pytest.raises(InputError, match=f"prepared for connection with another {key}") as error:
        prepared_or_refuse(other, wanted_rows(other))
    assert "cratermill prepare" in error.value.next_step


def test_an_own_way_of_saying_the_same_is_no_change(prepared):  # noqa: F811
    config = load_config(prepared)
    same = parse_config(config.dump() | {"mosaic": str(config.mosaic), "seed": 9}, config.root, prepared)
    prepared_or_refuse(same, wanted_rows(same))


def test_data_without_a_note_of_their_config_are_taken(project):  # noqa: F811
    config = load_config(project)
    write_json(config.data.prepared, {key: value for key, value in read_json(config.data.prepared).items() if key != "config"})
    other = parse_config(config.dump() | {"tiles": {"eval_size_px": 12}}, config.root, project)
    prepared_or_refuse(other, wanted_rows(other))
    note_preparation(other, ["connection"])
    overruled = {"eval_size_px": 12, "max_distance_overrides": {2: 0.2}}
    changed = parse_config(config.dump() | {"tiles": overruled}, config.root, project)
    with pytest.raises(InputError, match="another tiles"):
        prepared_or_refuse(changed, wanted_rows(changed))
    note_preparation(changed, ["connection"])
    prepared_or_refuse(changed, wanted_rows(changed))


def test_a_split_that_was_not_made_is_refused(prepared):  # noqa: F811
    config = load_config(prepared)
    train = {name: run | {"splits": [0, 9]} for name, run in config.dump()["train"].items()}
    other = parse_config(config.dump() | {"train": train}, config.root, prepared)
    with pytest.raises(InputError, match="unknown TV-Test split 9"):
        prepared_or_refuse(other, wanted_rows(other))


def with_rows(config, find, by):
    for name in ("connection", "ejecta"):
        path = config.path(f"configs/{name}.csv")
        path.write_text(path.read_text().replace(find, by))


def test_training_no_row_is_refused(project):  # noqa: F811
    config = load_config(project)
    with_rows(config, ",True,[0]", ",False,[0]")
    with pytest.raises(InputError, match="no row of configs/connection.csv, configs/ejecta.csv has version_run True"):
        plan_training(config)


def test_an_optimiser_that_cannot_be_made_is_refused(project):  # noqa: F811
    config = load_config(project)
    with_rows(config, "AdamW,0.1", "AdamW,-1")
    with pytest.raises(InputError, match="connection version 3: its loss, optimizer or scheduler.*weight_decay"):
        plan_training(config)


def test_a_config_without_a_map_part_makes_no_map(prepared):  # noqa: F811
    with pytest.raises(InputError, match="makes no map"):
        map_plan(load_config(prepared))
