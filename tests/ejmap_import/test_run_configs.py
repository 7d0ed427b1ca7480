"""EJMAP's two .cfg files become a run configuration; nothing in them is executed."""

from __future__ import annotations

import pytest

from cratermill.core.errors import InputError
from cratermill.ejmap_import.run_configs import MAPPING, TRAIN, wanted

KNOWN = {"connection": [29, 32, 33], "ejecta": [152, 189]}
TRAINING = """\
EJC_DATA_ROOT=__EJMAP_ROOT_DIR__/data/ejc_data/
NUM_WORKERS=12
RM_LOG=1
SAVE_CKPT=1

CONN_VERSIONS_TO_RUN=(33)
EVAL_EJC_VERSION=
EJC_VERSIONS_TO_RUN=(189 152 7)   # two of them
EVAL_CONN_VERSION=32
CONN_TRAIN=0

TEST_SETS=(61 62)
CONN_TRAININGS_PER_TEST=1
EJC_TRAININGS_PER_TEST="3"
"""


def ask(tmp_path, training="", mapping="", results=None):
    (tmp_path / TRAIN).write_text(training)
    (tmp_path / MAPPING).write_text(mapping)
    return wanted(tmp_path, KNOWN, results or {}, [3, 17])


def test_training_and_its_evaluation_partner(tmp_path):
    found = ask(tmp_path, TRAINING, results={"connection": [32]})
    assert found.train == {"ejecta": {"versions": [189, 152], "splits": [61, 62], "iterations": 3, "set": {"eval_conn_version": 32}}}
    assert any("names 7" in note for note in found.notes) and any("prune" in note for note in found.notes)
    alone = ask(tmp_path, TRAINING.replace("CONN_TRAIN=0", "CONN_TRAIN=1"))
    assert alone.train == {"connection": {"versions": [33], "splits": [61, 62], "iterations": 1, "set": {"eval_ejc_version": None}}}
    untrained = ask(tmp_path, TRAINING)
    assert untrained.train["connection"] == {"versions": [32], "splits": [61, 62]}, "the partner has no results yet"


def test_maps(tmp_path):
    text = "CONN_VERSIONS=(29 32)\nEJC_VERSIONS=(152)\nTEST_SETS=(77)\nUSE_ITER_CKPT=1\nEVAL_CRATS=1\n"
    found = ask(tmp_path, mapping=text)
    assert found.map == {"versions": {"connection": [29, 32], "ejecta": 152}, "split": 77, "craters": [3, 17]} and not found.notes
    assert ask(tmp_path, mapping="EJC_VERSIONS=\n").map is None and ask(tmp_path).train == {}


def test_nothing_is_executed_and_odd_values_are_named(tmp_path):
    with pytest.raises(InputError, match="TEST_SETS is .*touch"):
        ask(tmp_path, TRAINING.replace("(61 62)", f"$(touch {tmp_path / 'ran'})"))
    with pytest.raises(InputError, match="line 1: No closing quotation"):
        ask(tmp_path, "TEST_SETS='61\n")
    assert not (tmp_path / "ran").exists()
