"""What the verbs about versions say."""

from __future__ import annotations

import pytest

from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.tables.versions import check_table, list_versions, show_version
from tests.tables.test_table import CONNECTION, EJECTA, write


def test_list_and_show(tmp_path):
    path = write(tmp_path / "e.csv", [EJECTA, EJECTA | {"version": "1", "lr": "fast"}])
    listed = list_versions(path, row_model("ejecta"))
    assert [(one["version"], one["model_name"], one["test_set"]) for one in listed] == [(0, "Unet++", [0])]
    shown = {column: (value, meaning) for column, value, meaning in show_version(path, row_model("ejecta"), 0)}
    assert shown["buffer_bounds"][0] == [2.0, 5.0]
    assert "annulus" in shown["buffer_bounds"][1]
    assert shown["LS_focal_alpha"] == (0.1, "")
    assert "valid: above 0, below 1" in shown["val_frac"][1]
    assert "valid: Accuracy, F1_Score" in shown["val_metric"][1]
    assert "(valid: dice, focal, bce, iou)" in shown["loss"][1]
    assert "(valid: Adam, AdamW, SGD, Muon)" in shown["optimizer"][1]
    assert "(valid: StepLR, CosineAnnealingLR," in shown["scheduler"][1]
    assert "(valid: Unet, Unet++," in shown["model_name"][1]
    assert all(meaning for column, (_, meaning) in shown.items() if "_" not in column)


def test_keywords_of_other_models_are_marked(tmp_path):
    path = write(tmp_path / "e.csv", [EJECTA | {"MDL_FPN_encoder_name": "resnet18", "loss": "dice"}])
    shown = {column: meaning for column, _, meaning in show_version(path, row_model("ejecta"), 0)}
    assert shown["MDL_FPN_encoder_name"] == shown["LS_focal_alpha"] == "not used by this row"
    assert shown["MDL_Unet++_encoder_name"] == ""


def test_equal_networks_are_built_once_and_failures_count_for_each_row(tmp_path):
    rows = [
        EJECTA | {"version": str(number), "MDL_Unet++_decoder_channels": channels}
        for number, channels in enumerate(["[32, 16, 8, 8, 4]", "[32, 16, 8, 8, 4]", "[32, 16]", "[32, 16]"])
    ]
    seen = []
    path = write(tmp_path / "e.csv", rows)
    report = check_table(path, row_model("ejecta"), build=True, size_px=64, progress=lambda *said: seen.append(said))
    assert [(built.network, built.versions) for built in report.built] == [("Unet++ resnet18, midinput 4", [0, 1])]
    assert report.built[0].parameters > 1e6
    assert report.built[0].version_ranges == "0–1"
    assert [(p.line, p.version) for p in report.problems] == [(4, "2"), (5, "3")]
    assert "can't be built" in report.problems[0].reason
    assert [done for _, done, _ in seen] == [0, 1, 2]
    with pytest.raises(InputError, match="2 problems"):
        report.require()


@pytest.mark.parametrize(("family", "networks"), [("connection", 5), ("ejecta", 17)])
def test_ejmaps_networks_build_and_run(real_data, family, networks):
    report = check_table(real_data(f"ejmap/{family}_version_hparams.csv"), row_model(family), build=True, size_px=64)
    assert len(report.built) == networks
    assert sum(len(built.versions) for built in report.built) == len(report.table.rows) == {"connection": 33, "ejecta": 204}[family]
    assert len(report.problems) == (2 if family == "connection" else 0)


def test_a_network_that_cant_take_the_size(tmp_path):
    path = write(tmp_path / "c.csv", [CONNECTION | {"model_name": "inception_v3"}])
    problems = check_table(path, row_model("connection"), build=True, size_px=64).problems
    assert [(p.column, p.value) for p in problems] == [("model_name", "inception_v3")]
