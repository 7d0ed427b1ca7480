"""What pruning removes, says, and never touches."""

from __future__ import annotations

import os

import pytest

from cratermill.core.files import write_json
from cratermill.core.paths import Project
from cratermill.pipeline.prune import look


@pytest.fixture
def root(tmp_path):
    """Three trained versions: 1 is on a map, 2 in a config's map, 3 nowhere; and results that were moved aside."""
    root = tmp_path / "it's a project"
    project = Project(root)
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "c.yaml").write_text("name: c\ndata: d\nmaps: [{versions: {ejecta: [2]}}]\n")
    (root / "configs" / "broken.yaml").write_text("name: [")
    for version in (1, 2, 3):
        results, log = project.version_results("ejc", version), project.version_log("ejc", version)
        product = log / "cells" / "train_test-set-0_iteration-0"
        for folder in (results, log / "checkpoints", product):
            folder.mkdir(parents=True)
        (product / "best.ckpt").write_bytes(b"x" * 1000)
        write_json(product / "cell.json", {})
        os.link(product / "best.ckpt", log / "checkpoints" / "best-checkpoint.ckpt")
        os.link(product / "best.ckpt", results / "best-checkpoint_test-set-0_iteration-0.ckpt")
        write_json(results / "missing.json", [])
        (results / "best-checkpoint_test-set-0.ckpt").write_bytes(b"y" * 500)
    write_json(project.map_folder("m") / "provenance.json", {"versions": {"ejecta": 1}})
    (project.version_log("ejc", 3) / "cells" / "train_x.replaced-20260101T000000").mkdir()
    (project.version_log("ejc", 3) / "cells" / "train_x.replaced-20260101T000000" / "f").write_bytes(b"z" * 70)
    return root


def test_second_names_free_nothing_and_replaced_results_go(root):
    found = look(root)
    assert found.facts(root)["bytes"] == 70
    found.remove()
    project = Project(root)
    assert not list(project.log.rglob("*.replaced-*")) and not (project.version_log("ejc", 1) / "checkpoints").exists()
    assert len(list(root.rglob("*.ckpt"))) == 9
    assert look(root).facts(root)["bytes"] == 0


def test_checkpoints_of_maps_stay(root):
    found = look(root, checkpoints=True)
    facts = found.facts(root)
    assert facts["kept_for_maps"] == [("ejecta", 1), ("ejecta", 2)] and facts["bytes"] == 1070
    found.remove()
    left = {path.relative_to(root / "results" / "ejc_results").as_posix() for path in (root / "results").rglob("*.ckpt")}
    assert "version_3/best-checkpoint_test-set-0.ckpt" in left and "version_3/best-checkpoint_test-set-0_iteration-0.ckpt" not in left
    assert all((Project(root).version_log("ejc", version) / "cells").glob("*/best.ckpt") for version in (1, 2))


def test_a_version_that_lacks_cells_is_left_alone(root):
    write_json(Project(root).version_results("ejc", 3) / "missing.json", ["train_x"])
    assert look(root, checkpoints=True).facts(root)["remove"]["checkpoints"]["paths"] == []
