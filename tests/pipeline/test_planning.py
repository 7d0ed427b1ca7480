"""From a config to cells: seeds, needs, fingerprints."""

from __future__ import annotations

import os

import pytest

from cratermill.core.errors import InputError
from cratermill.core.files import read_json, write_json
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config, parse_config
from cratermill.pipeline.planning import map_data_or_refuse, map_plan, prepared_or_refuse, train_plan, wanted_rows
from cratermill.samples.store import Store
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


def test_recipes_that_the_device_can_t_make_are_refused_at_launch(prepared):  # noqa: F811
    config = load_config(prepared)
    recipe = config.root / "configs" / "augment" / "dusty.yaml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text("changes: {Dropout: {p: [0, 0.1]}, Add: {value: 9}}", encoding="utf-8")
    train = config.dump()["train"]
    train["ejecta"]["set"] = {"img_augment": "dusty"}
    assert replanned(config, train=train).cells
    with pytest.raises(InputError, match="the recipe 'dusty' can't have Dropout"):
        replanned(config, train=train, trainer=config.dump()["trainer"] | {"augment_on": "device"})


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
    ("key", "value", "message"),
    [
        ("mosaic", "elsewhere.tif", "mosaic is elsewhere.tif, but there is no"),
        ("body", "mars", "the config says mars"),
        ("splits", {"count": 3}, "prepared with another splits"),
        ("seed", 9, "prepared with another seed"),
        ("img_norm", {"mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]}, "prepared with another img_norm"),
        ("tiles", {"eval_size_px": 12}, "prepared with another tiles"),
        ("tiles", {"max_distance_overrides": {2: 0.2}}, "prepared with another tiles"),
    ],
)
def test_a_config_that_changed_since_prepare_is_noticed(prepared, key, value, message):  # noqa: F811
    config = load_config(prepared)
    prepared_or_refuse(config, wanted_rows(config))
    other = parse_config(config.dump() | {key: value}, config.root, prepared)
    with pytest.raises(InputError, match=message) as error:
        prepared_or_refuse(other, wanted_rows(other))
    assert key in ("mosaic", "body") or "cratermill prepare" in error.value.next_step


def test_an_own_way_of_saying_the_same_is_no_change(prepared):  # noqa: F811
    config = load_config(prepared)
    same = parse_config(config.dump() | {"mosaic": str(config.mosaic)}, config.root, prepared)
    prepared_or_refuse(same, wanted_rows(same))


def test_files_that_changed_since_prepare_are_noticed(project):  # noqa: F811
    config = load_config(project)
    config = parse_config(config.dump() | {"map": {"versions": {"connection": 3, "ejecta": 8}}}, config.root, project)
    rows, data = wanted_rows(config), config.data

    def refused(what: str) -> None:
        with pytest.raises(InputError, match=what):
            prepared_or_refuse(config, rows)

    times = {path: path.stat() for path in data.root.rglob("*") if path.is_file()}

    def restored(*paths) -> None:
        for path in paths:
            os.utime(path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))
        prepared_or_refuse(config, rows)

    os.utime(data.mosaic)
    refused("another mosaic")
    with pytest.raises(InputError, match="another mosaic"):
        map_data_or_refuse(config)
    restored(data.mosaic)
    os.utime(data.mask(2))
    refused("another ejecta mask")
    map_data_or_refuse(config)
    restored(data.mask(2))
    image = Store(data.stack("ejc_data", "tiles_32px")).folder / "image.npy"
    content = image.read_bytes()
    image.write_bytes(content[:-10])
    refused("image.npy has [0-9]+ bytes instead of")
    image.write_bytes(content[:-1] + b"x")
    refused("holds other samples than were written there")
    image.write_bytes(content)
    prepared_or_refuse(config, rows)
    content = data.eval_positions(1).read_text()
    data.eval_positions(1).write_text(content.replace("\n1,", "\n7,", 1))
    refused("is not as prepare left it")
    data.eval_positions(1).write_text(content)
    prepared_or_refuse(config, rows)
    write_json(data.prepared, {"steps": dict.fromkeys(read_json(data.prepared)["steps"], "f00")})
    refused("prepared by an earlier version")


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


def test_more_cells_than_a_plan_can_hold_are_refused_by_number(prepared):  # noqa: F811
    config = load_config(prepared)
    endless = {name: run | {"iterations": 10**9} for name, run in config.dump()["train"].items()}
    with pytest.raises(InputError, match="the plan would have 4,000,000,000 cells"):
        replanned(config, train=endless)
