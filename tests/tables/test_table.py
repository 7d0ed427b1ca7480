"""Tables of hyper-parameters: sound rows, and what is said about the others."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.tables.table import load_versions, read_table
from cratermill.tables.versions import list_versions, show_version

CONNECTION = {
    "version": "0",
    "norm_from_train": "False",
    "img_augment": "False",
    "connection_weights": "True",
    "distance_weights": "False",
    "val_frac": "0.1",
    "val_metric": "F1_Score",
    "model_name": "resnet18",
    "pretrained": "False",
    "batch_size": "64",
    "loss": "focal",
    "LS_focal_alpha": "0.1",
    "lr": "0.0001",
    "scheduler": "StepLR",
    "LR_StepLR_step_size": "10",
    "LR_StepLR_gamma": "0.9",
    "optimizer": "AdamW",
    "OPT_AdamW_weight_decay": "0.1",
    "max_epochs": "200",
    "early_stop_patience": "20",
    "version_run": "True",
    "test-set": "[0]",
    "trainings_per_test": "1",
    "iter_threshold": "",
    "eval_ejc_version": "",
}
EJECTA = {
    key: value
    for key, value in CONNECTION.items()
    if key not in ("connection_weights", "distance_weights", "iter_threshold", "eval_ejc_version")
} | {
    "model_name": "Unet++",
    "accept_midinput": "True",
    "buffer_bounds": "(2,5)",
    "distance_mode": "absolute",
    "log_dist": "True",
    "num_1_factor": "",
    "num_1_point95": "10",
    "MDL_Unet++_encoder_name": "resnet18",
    "eval_conn_version": "",
}
BASES = {"connection": CONNECTION, "ejecta": EJECTA}


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path):
    """``table("ejecta", {"lr": "fast"}, …)``: a table with one changed row per dict, versions 0, 1, …"""

    def make(family: str, *changes: dict[str, str], drop: str | None = None) -> Path:
        rows = [BASES[family] | {"version": str(number)} | change for number, change in enumerate(changes)]
        columns = list(dict.fromkeys(key for row in rows for key in row if key != drop))
        rows = [{column: row.get(column, "") for column in columns} for row in rows]
        return write(tmp_path / "o'brien's \"tables\"" / f"{family}_version_hparams.csv", rows)

    return make


def problem(path: Path, family: str):
    """The only problem of a table."""
    problems = read_table(path, row_model(family)).problems
    assert len(problems) == 1, [str(found) for found in problems]
    return problems[0]


def test_a_sound_row_becomes_plain_values(table):
    row = read_table(table("ejecta", {}), row_model("ejecta")).require()[0]
    assert (row.version, row.test_set, row.buffer_bounds, row.lr, row.version_run) == (0, [0], [2.0, 5.0], 1e-4, True)
    assert row.keywords == {
        "LS_focal_alpha": 0.1,
        "LR_StepLR_step_size": 10,
        "LR_StepLR_gamma": 0.9,
        "OPT_AdamW_weight_decay": 0.1,
        "MDL_Unet++_encoder_name": "resnet18",
    }
    assert row.keywords_of("LS") == {"alpha": 0.1}
    assert row.tile_size_px == 224
    frozen = json.loads(json.dumps(row.model_dump(mode="json")))
    assert row_model("ejecta").from_plan(frozen) == row


@pytest.mark.parametrize(
    ("family", "change", "column", "reason", "valid"),
    [
        ("connection", {"model_name": "congedvnext_small"}, "model_name", "no network", "convnext_small"),
        ("connection", {"model_name": "resnet34.a9_in1k"}, "model_name", "no weights 'a9_in1k'", "a1_in1k"),
        ("connection", {"model_name": "torchgeo:resnet19"}, "model_name", "no network of torchgeo", "resnet18"),
        ("connection", {"model_name": "keras:resnet18"}, "model_name", "unknown library 'keras'", "timm, smp, torchgeo, terratorch"),
        ("connection", {"version_run": "Trgediue"}, "version_run", "neither True nor False", "True, False"),
        ("connection", {"lr": "fast"}, "lr", "no number", "0.001"),
        ("connection", {"lr": "nan"}, "lr", "no finite number", "left blank"),
        ("connection", {"lr": "0"}, "lr", "out of range", "greater than 0"),
        ("connection", {"lr": ""}, "lr", "blank", "learning rate"),
        ("connection", {"batch_size": "4.5"}, "batch_size", "no whole number", "20"),
        ("connection", {"batch_size": "1.000"}, "batch_size", "may be a thousand", "1000 or 1"),
        ("connection", {"val_frac": "1"}, "val_frac", "out of range", "less than 1"),
        ("connection", {"val_metric": "F1"}, "val_metric", "none of the choices", "F1_Score"),
        ("connection", {"scheduler": "StpLR"}, "scheduler", "none of the choices", "StepLR"),
        ("connection", {"LR_StepLR_step_size": ""}, "LR_StepLR_step_size", "needs it", "a value"),
        ("connection", {"LR_StepLR_gamma": "much"}, "LR_StepLR_gamma", "no number", "0.001"),
        ("connection", {"scheduler": "StepLR_Warmup"}, "LR_Warmup_milestone", "needs it", "10"),
        ("connection", {"pair_layout": "corrider"}, "pair_layout", "none of the choices", "corridor"),
        ("connection", {"tile_size_px": "63"}, "tile_size_px", "out of range", "multiple of 2"),
        (
            "connection",
            {"pretrained": "True", "model_name": "torchgeo:resnet18"},
            "pretrained",
            "no published weights",
            "torchgeo:resnet18.LANDSAT",
        ),
        ("connection", {"test-set": "[0, x]"}, "test-set", "no list of whole numbers", "[1, 2, 3]"),
        ("ejecta", {"model_name": "Unet+++"}, "model_name", "none of the choices", "Unet++"),
        ("ejecta", {"MDL_Unet++_encoder_name": "resnet33"}, "MDL_Unet++_encoder_name", "no network of smp or timm", "resnet"),
        ("ejecta", {"MDL_FPN_encoder_name": "resnet33"}, "MDL_FPN_encoder_name", "no network", "resnet"),
        ("ejecta", {"MDL_Unet++_encoder_depth": "deep"}, "MDL_Unet++_encoder_depth", "no whole number", "20"),
        ("ejecta", {"MDL_DeepLabV3_encoder_output_stride": "7"}, "MDL_DeepLabV3_encoder_output_stride", "none of the choices", "8, 16"),
        ("ejecta", {"buffer_bounds": "(5,2)"}, "buffer_bounds", "rising", "(2,5)"),
        ("ejecta", {"buffer_bounds": ""}, "buffer_bounds", "accept_midinput is True", "(2,5)"),
        ("ejecta", {"num_1_factor": "2", "num_1_point95": ""}, "num_1_point95", "num_1_factor is not", "both blank"),
        ("ejecta", {"tile_size_px": "100"}, "tile_size_px", "out of range", "multiple of 32"),
    ],
)
def test_a_flaw_is_named_with_row_column_value_and_what_is_valid(table, family, change, column, reason, valid):
    path = table(family, {}, change)
    found = problem(path, family)
    assert (found.file, found.line, found.version, found.column) == (path.name, 3, "1", column)
    assert reason in found.reason
    assert valid in found.valid
    given = next(iter(change.values()))
    assert found.value == change.get(column, "") or given in str(found)
    assert [row.version for row in read_table(path, row_model(family)).rows] == [0]


@pytest.mark.parametrize(
    ("change", "column", "valid"),
    [
        ({"optimiser": "AdamW"}, "optimiser", "optimizer"),
        ({"OPT_AdamW_weight_dekay": "0.1"}, "OPT_AdamW_weight_dekay", "OPT_AdamW_weight_decay"),
        ({"LR_StepLRx_gamma": "0.1"}, "LR_StepLRx_gamma", "LR_StepLR_gamma"),
        ({"LS_focal_mode": "binary"}, "LS_focal_mode", "LS_focal_"),
        ({"MDL_Unet_in_channels": "3"}, "MDL_Unet_in_channels", "MDL_Unet_"),
        ({"": "3"}, "without a name", ""),
    ],
)
def test_unknown_columns_are_refused(table, change, column, valid):
    found = problem(table("ejecta", change), "ejecta")
    assert (found.line, found.column) == (1, column)
    assert "no column of this family" in found.reason
    assert valid in found.valid


def test_a_family_refuses_the_columns_of_another(table):
    assert problem(table("connection", {"MDL_Unet_encoder_name": "resnet18"}), "connection").column == "MDL_Unet_encoder_name"


def test_a_missing_column_is_named_once(table):
    found = problem(table("connection", {}, {}, drop="lr"), "connection")
    assert (found.line, found.column, found.reason) == (1, "lr", "is missing")


def test_duplicate_versions_columns_and_ragged_rows(table):
    path = table("connection", {}, {"version": "0"})
    assert "stands in line 2 already" in problem(path, "connection").reason
    text = path.read_text().splitlines()
    path.write_text("\n".join([text[0], text[1] + ",7"]) + "\n")
    assert "has 26 cells, the header 25" in problem(path, "connection").reason
    path.write_text("\n".join([text[0] + ",lr", text[1] + ",7"]) + "\n")
    assert problem(path, "connection").reason == "appears twice"


def test_all_problems_are_listed_in_one_error(table):
    path = table("connection", {"lr": "fast", "batch_size": "many", "model_name": "resnt18"}, {"version_run": "maybe"})
    with pytest.raises(InputError) as caught:
        read_table(path, row_model("connection")).require()
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "3 problems" in text  # the network is looked up once the row is otherwise sound
    for part in ("line 2 (version 0), column lr", "column batch_size", "line 3 (version 1), column version_run", "versions check"):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [({"max_epochs": -1}, "max_epochs", "out of range"), ({"0": {"lr": "x"}}, "lr", "'x'"), ({"max_epoch": 3}, "max_epoch", "no column")],
)
def test_a_value_that_was_set_for_a_launch_is_not_blamed_on_the_table(table, changes, column, reason):
    found = read_table(table("ejecta", {}), row_model("ejecta"), changes=changes).problems[0]
    assert (found.column, found.changed) == (column, True) and reason in str(found) and "changed by --set" in str(found)
    with pytest.raises(InputError, match="the file itself needn't change"):
        load_versions(table("ejecta", {}), row_model("ejecta"), [0], changes)
    flaw = read_table(table("ejecta", {"tile_size_px": "100"}), row_model("ejecta"), changes={"lr": 0.1}).problems[0]
    assert (flaw.column, flaw.changed) == ("tile_size_px", False)


def test_launching_some_versions_is_not_stopped_by_flaws_in_others(table):
    path = table("connection", {}, {"lr": "fast"}, {"version_run": "False"})
    assert [row.version for row in load_versions(path, row_model("connection"), [2, 0])] == [2, 0]
    with pytest.raises(InputError, match="column lr"):
        load_versions(path, row_model("connection"), [1])
    with pytest.raises(InputError, match="column lr"):
        load_versions(path, row_model("connection"))
    with pytest.raises(InputError, match="no version 7") as caught:
        load_versions(path, row_model("connection"), [7])
    assert "0, 2" in str(caught.value)


@pytest.mark.parametrize("written", ["1.0", "01", "1"])
def test_a_version_is_the_same_however_it_is_written(table, written):
    with pytest.raises(InputError, match="column lr"):
        load_versions(table("connection", {}, {"version": written, "lr": "fast"}), row_model("connection"), [1])
    with pytest.raises(InputError, match="stands in line 3 already"):
        load_versions(table("connection", {}, {}, {"version": written}), row_model("connection"), [1])


def test_a_network_is_named_once(table):
    found = problem(table("connection", {"model_name": "foo:bar"}), "connection")
    assert str(found).count("foo:bar") == 1 and "'foo:bar' unknown library 'foo'" in str(found)
    names = problem(table("connection", {"model_name": "densnet169"}), "connection").valid.split(", ")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("keyword", ["StepLR_step_size", "CosineAnnealingLR_T_max", "CosineAnnealingWarmRestarts_T_0"])
def test_schedulers_count_from_one(table, keyword):
    path = table("connection", {"scheduler": keyword.split("_")[0], f"LR_{keyword}": "0"})
    assert problem(path, "connection").reason == "is below 1"


def test_without_a_list_the_rows_that_say_so_are_taken(table):
    path = table("connection", {}, {"version_run": "False"}, {})
    assert [row.version for row in load_versions(path, row_model("connection"))] == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version,lr\n", "no rows"),
        (b"version,lr\n0,\x81\xff\n", r"not UTF-8 \(byte 0x81 in line 2\)"),
        (b"version,lr\n0,\0\n", "zero byte"),
    ],
)
def test_files_that_are_no_table(tmp_path, content, message):
    path = tmp_path / "a table.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(path, row_model("connection"))
    assert path.read_bytes() == content


@pytest.mark.parametrize(("separator", "coding"), [(";", "utf-8-sig"), ("\t", "utf-16"), (",", "cp1252")])
def test_tables_as_spreadsheets_save_them(table, separator, coding):
    path = table("connection", {}, {"version_run": "False"})
    wanted = read_table(path, row_model("connection")).require()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="", encoding=coding) as file:
        csv.writer(file, delimiter=separator).writerows([*[[*row, ""] for row in rows], [""] * 3])
    assert read_table(path, row_model("connection")).require() == wanted


def test_missing_file_and_unknown_family(tmp_path, table):
    with pytest.raises(InputError, match="No such file"):
        read_table(tmp_path / "nothing.csv", row_model("connection"))
    with pytest.raises(InputError, match="unknown family 'ejector'") as caught:
        read_table(table("ejecta", {}), row_model("ejector"))
    assert "ejecta" in caught.value.valid


def test_byte_order_mark_blank_lines_and_spaces_are_taken(table):
    path = table("connection", {"lr": " 0.001 "})
    path.write_text("\ufeff" + path.read_text() + "\n,,,\n\n", encoding="utf-8")
    assert read_table(path, row_model("connection")).require()[0].lr == 0.001


def test_ranks_have_no_logarithm(table):
    assert read_table(table("ejecta", {"distance_mode": "rank"}), row_model("ejecta")).require()[0].log_dist is False


def test_rows_that_are_not_launched_import_no_library(table):
    path = table("connection", {}, {"model_name": "terratorch:no_such_network", "version_run": "False"})
    assert [row.version for row in load_versions(path, row_model("connection"), [0])] == [0]
    assert [row.version for row in load_versions(path, row_model("connection"))] == [0]
    assert [row["version"] for row in list_versions(path, row_model("connection"))] == [0, 1]
    assert [line[:2] for line in show_version(path, row_model("connection"), 0)][:1] == [("version", 0)]
    # The mark of an import is a new process without it.
    code = (
        "import sys; from cratermill.families import row_model; from cratermill.tables.table import load_versions; "
        f"load_versions({str(path)!r}, row_model('connection')); print('terratorch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize(("family", "sound"), [("connection", 33), ("ejecta", 204)])
def test_ejmaps_tables_unedited(real_data, family, sound):
    path = real_data(f"ejmap/{family}_version_hparams.csv")
    before = path.read_bytes()
    table = read_table(path, row_model(family))
    assert len(table.rows) == sound
    places = {(p.line, p.version, p.column, p.value) for p in table.problems}
    assert places == (
        {(5, "3", "model_name", "congedvnext_small"), (9, "7", "version_run", "Trgediue")} if family == "connection" else set()
    )
    assert path.read_bytes() == before


def test_ejmaps_odd_but_sound_rows(real_data):
    rows = {row.version: row for row in read_table(real_data("ejmap/ejecta_version_hparams.csv"), row_model("ejecta")).rows}
    assert (rows[49].buffer_bounds, rows[49].accept_midinput) == (None, False)
    assert rows[102].optimizer == "Muon"
    assert rows[51].encoder_name is None
    assert rows[25].num_1_factor is None
    final = rows[200]
    assert (final.model_name, final.encoder_name, final.scheduler, final.keywords_of("LR"), final.keywords_of("OPT")) == (
        "Unet++",
        "resnet34",
        "StepLR",
        {"step_size": 5, "gamma": 0.5},
        {"weight_decay": 0.5},
    )
    assert {row.scheduler for row in rows.values()} >= {None, "CosineAnnealingLR_Warmup"}
    assert {row.keywords_of("LR").get("eta_min") for row in rows.values() if row.chosen("LR") == "CosineAnnealingLR"} == {1e-6}
