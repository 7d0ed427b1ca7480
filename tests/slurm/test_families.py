"""The families without a mosaic of ejecta on a real Slurm: the same numbers and files as on this machine."""

import shutil

import pytest
import yaml

from cratermill.batch.cell import run_cell
from cratermill.batch.cluster import launch
from cratermill.batch.plan import freeze
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_mapping, plan_training, prepare
from cratermill.pipeline.load_config import load_config
from tests.families.autoencoder import case as latent
from tests.families.chips_common.case import write_project
from tests.families.crater_unet.planet import ROW as CRATER_UNET
from tests.families.crater_unet.test_train import DOTS, write_rows
from tests.slurm.runs import PATIENCE_S, TIME_MIN, Follower
from tests.slurm.test_science import cluster, metrics, profile, tree  # noqa: F401

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def write_run(root):
    """A project that trains one small row of each family once; returns its config."""
    path = latent.project(root, rows=latent.ROWS.splitlines()[0].replace("True,[0],2", "True,[0],1") + "\n")
    content = yaml.safe_load(path.read_text())
    for family in ("sgan", "chip_classifier"):
        content["train"] |= yaml.safe_load(write_project(root, family).read_text())["train"]
    write_rows(root, [CRATER_UNET | DOTS | {"union_of": None, "votes": 1}])
    content["train"]["crater_unet"] = {"table": "configs/t.csv", "data": {"dots": {"tiles": 12, "tile_px": 128}}}
    path.write_text(yaml.safe_dump(content))
    return path


def on_both(here, there, planned, pull):
    """Make one plan on this machine and the same by so many jobs of the cluster that pull its cells; returns both, done."""
    plan, other = planned(load_config(here)), planned(load_config(there))
    freeze(plan)
    for cell in plan.cells:
        assert run_cell(plan, cell.index, science).state == "done", cell.key
    assert launch(other, profile(default={"cpus": 1, "mem_gb": 3.0, "time_min": TIME_MIN, "pull": pull}), say=lambda _: None) == 0
    Follower(other).wait_all("done", timeout=3 * PATIENCE_S)
    return plan, other


def test_every_family_gives_the_same_numbers_and_files_as_on_this_machine(cluster, tmp_path):  # noqa: F811
    here = write_run(tmp_path / "here")
    prepare(here)
    shutil.copytree(tmp_path / "here", tmp_path / "there's")
    there = tmp_path / "there's" / here.relative_to(tmp_path / "here")
    plan, other = on_both(here, there, plan_training, pull=2)
    assert {cell.params["family"] for cell in plan.cells if cell.stage == "train"} == set(yaml.safe_load(here.read_text())["train"])
    for cell, twin in zip(plan.cells, other.cells, strict=True):
        if cell.stage in ("train", "evaluate"):
            assert metrics(plan, cell) == metrics(other, twin), cell.key
    on_both(here, there, plan_mapping, pull=1)
    assert tree(here) == tree(there)
    maps = [next(root.rglob("results/output_masks/*/crater_clusters_kmeans.csv")) for root in (tmp_path / "here", tmp_path / "there's")]
    assert maps[0].read_bytes() == maps[1].read_bytes()
