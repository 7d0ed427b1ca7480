"""Whether what a map is joined to fits on the disk, told by the parts that are there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cratermill.batch.plan import Cell, make_plan
from cratermill.core.files import write_json
from cratermill.families import get_family
from cratermill.pipeline import launch, map_room
from cratermill.pipeline.map_room import joining_bytes


@pytest.fixture
def plan(tmp_path):
    """A map of four craters, of which two are done: one of them is a hundred times as large as the other."""
    maps = [Cell(n, "map", f"map_{n}", {"family": "ejecta", "name": "all"}, (), f"log/map/{n}", f"m{n}") for n in range(4)]
    whole = Cell(4, "composite", "composite", {"family": "ejecta", "name": "all"}, (0, 1, 2, 3), "log/map/whole", "c", soft_needs=True)
    made = make_plan("m", tmp_path, {}, 0, [*maps, whole])
    for number, size in enumerate((1_000_000, 100_000_000)):
        record = {"state": "done", "group": ["map", "ejecta"], "seconds": 1.0, "bytes": size, "files": 5, "gpu": False}
        write_json(made.state_path(number), record)
    return made


def test_all_parts_count_as_large_as_the_finished_ones_in_the_mean(plan):
    assert joining_bytes(plan) == {"all": pytest.approx(4 * 50_500_000 * get_family("ejecta").joining_room)}


def test_nothing_is_said_of_finished_maps_and_of_parts_that_were_never_made(plan, tmp_path):
    write_json(tmp_path / "log/map/whole/cell.json", {"fingerprint": "c"})
    assert joining_bytes(plan) == {}
    (tmp_path / "log/map/whole/cell.json").unlink()
    for number in range(2):
        plan.state_path(number).unlink()
    assert joining_bytes(plan) == {}


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("free", "fits"), [(10**12, True), (10**8, False)])
def test_a_launch_says_what_will_not_fit(plan, tmp_path, monkeypatch, capsys, dry_run, free, fits):
    config = tmp_path / "c.yaml"
    config.write_text("name: m\ndata: data\n")
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(launch, "PLANNERS", {"map": lambda config: plan})
    monkeypatch.setattr(launch, "refuse_other_weights", lambda *_: None)
    monkeypatch.setattr(launch, "run_plan", lambda plan, **_: 0)
    monkeypatch.setattr(map_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    said = list[str]()
    monkeypatch.setattr(map_room, "notice", said.append)
    assert launch.launch("map", config, dry_run=dry_run) == 0
    assert (
        [bool("joining the map all: about 505 MB in results/" in text and "make room" in text) for text in said] == [] if fits else [True]
    )
    assert ("joining the map all: about 505 MB" in capsys.readouterr().out) == dry_run
