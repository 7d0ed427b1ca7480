import json
import os
import subprocess

import pytest

from cratermill.batch import plan as plans
from cratermill.batch.plan import find_run, fingerprint, freeze, load
from cratermill.core.errors import InputError

from . import fake


def test_frozen_and_loaded_are_equal(root):
    plan = fake.plan_of(root, [{"rate": 1e-4, "name": "ü $(x)"}, {"needs": [0], "soft": True}], name="my run's")
    path = freeze(plan)
    again = load(path)
    assert again.cells == plan.cells and again.identity == plan.identity and again.root == root
    assert again.path == path == root / "log/runs" / plan.run / "plan.json"
    assert plan.run.startswith("my-run-s-") and len(plan.run.split("-")[-1]) == 8
    assert load(path.parent) == again


def test_what_cells_have_in_common_is_written_once(root):
    weights = {"checkpoints": {str(n): f"{n:064d}" for n in range(20)}}
    specs = [{"n": n} for n in range(3)] + [{"n": 10 + n, **weights, "needs": [0, 1, 2]} for n in range(200)]
    plan = fake.plan_of(root, specs)
    path = freeze(plan)
    assert load(path).cells == plan.cells
    assert path.read_text().count("0" * 60) <= 20 and path.stat().st_size < 600 * len(specs)
    # Plans of earlier versions, which repeat everything, are read as before.
    old = json.loads(path.read_text()) | {"format": 1, "cells": [{**vars(cell), "needs": list(cell.needs)} for cell in plan.cells]}
    path.write_text(json.dumps(old))
    assert load(path).cells == plan.cells


def test_identical_plans_share_a_run_others_do_not(root):
    one, same, other = (fake.plan_of(root, [{"n": n}]) for n in (1, 1, 2))
    assert one.run == same.run != other.run
    assert freeze(one) == freeze(same)


def test_a_moved_project_is_found_where_it_is_now(root, tmp_path):
    path = freeze(fake.plan_of(root, [{}]))
    moved = root.rename(tmp_path / "moved")
    assert load(moved / path.relative_to(root)).root == moved


def test_changed_code_is_recorded_when_a_run_goes_on(root, monkeypatch):
    plan = fake.plan_of(root, [{}])
    freeze(plan)
    monkeypatch.setattr(plans.provenance, "code_hash", lambda: "other")
    freeze(fake.plan_of(root, [{}]))
    provenance = load(plan.path).provenance
    assert provenance["code_sha256"] == "other"
    assert [old["code_sha256"] for old in provenance["earlier"]] == [plan.provenance["code_sha256"]]
    assert "torch" in provenance["packages"] and provenance["python"].startswith("3.")


def test_commit_and_dirty_diff_are_kept(root):
    def git(*arguments):
        subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)

    (root / "code").mkdir()
    (root / "code" / "old.py").write_text("before\n")
    git("init")
    git("add", "code")
    git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-m", "first")
    plan = fake.plan_of(root, [{}])
    assert plan.provenance["dirty"] is False and len(plan.provenance["commit"]) == 40
    (root / "code" / "old.py").write_text("after\n")
    (root / "code" / "new 'file'.py").write_text("print('new')\n")
    path = freeze(fake.plan_of(root, [{}]))
    diff = (path.parent / "code.diff").read_text()
    assert "+after" in diff and "+print('new')" in diff
    assert load(path).provenance["dirty"] is True


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_files_that_are_no_plan(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match="no plan of this version"):
        load(path)
    with pytest.raises(InputError, match="is missing"):
        load(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ['{"format": 1}', '{"format": 1, "run": "a", "cells": [{}]}', '{"format": 1, "run": "a", "cells": [7]}'])
def test_half_a_plan_is_no_plan(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match="no whole plan"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("odd", "part"),
    [
        ({"product": "../../a"}, "outside the project"),
        ({"product": "a\0b"}, "outside the project"),
        ({"key": "a\x1b[31m"}, "is called"),
        ({"needs": [0]}, "come after it"),
        ({"needs": [True]}, "come after it"),
        ({"shared": {"hparams": -1}}, "no whole plan"),
        ({"shared": {"hparams": 99}}, "no whole plan"),
    ],
)
def test_plans_that_were_edited_are_refused(root, odd, part):
    path = freeze(fake.plan_of(root, [{}, {}]))
    content = json.loads(path.read_text())
    content["cells"][-1 if "needs" in odd and odd["needs"] == [True] else 0] |= odd
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=part):
        load(path)


def test_broken_plans_are_bugs(root):
    with pytest.raises(AssertionError, match="come after it"):
        fake.plan_of(root, [{"needs": [1]}, {}])
    with pytest.raises(AssertionError, match="two cells make"):
        fake.plan_of(root, [{"product": "a"}, {"product": "a"}])
    with pytest.raises(AssertionError, match="outside the project"):
        fake.plan_of(root, [{"product": "../a"}])


def test_unwritable_project(root, read_only):
    read_only(root)
    with pytest.raises(InputError, match="Can't write the run's folder: .*\n.*permissions"):
        freeze(fake.plan_of(root, [{}]))


def test_find_run(root):
    one, two = (fake.plan_of(root, [{"n": n}], name="demo") for n in (1, 2))
    with pytest.raises(InputError, match="There is no run 'demo'\nValid: none yet"):
        find_run(root, "demo")
    freeze(one)
    freeze(two)
    assert find_run(root, one.run[:-1]).run == one.run
    assert find_run(root, "latest").run in (one.run, two.run)
    assert find_run(root, str(two.folder)).run == find_run(root, str(two.path)).run == two.run
    config = root / "any.yaml"
    config.write_text(f"name: {two.config['name']}\n")
    os.utime(one.path, (1, 1))
    assert find_run(root, str(config)).run == two.run
    os.utime(two.path, (0, 0))
    assert find_run(root, str(config)).run == one.run, "the newest"
    config.write_text("name: dem\n")
    with pytest.raises(InputError, match="any.yaml was not launched yet"):
        find_run(root, str(config))
    with pytest.raises(InputError, match="Several runs begin with 'demo'"):
        find_run(root, "demo")
    with pytest.raises(InputError, match=rf"no run 'dmo-{one.run[5:]}'\nValid: {one.run}"):
        find_run(root, f"dmo-{one.run[5:]}")


def test_index_outside_the_plan(root):
    with pytest.raises(InputError, match="has no cell 7\nValid: 0 to 0"):
        fake.plan_of(root, [{}]).cell(7)


def test_fingerprint_depends_on_values_only():
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint(json.loads('{"b": [1.5, null], "a": 1}'))
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
