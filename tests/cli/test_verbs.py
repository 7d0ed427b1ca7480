"""Each verb hands over to its implementation and prints the answer, for people and as JSON."""

import json

import pytest
from typer.testing import CliRunner

from cratermill.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("it's a planet") / "data"
    made = run("planet", "synth", folder, "--shape", 64, 128, "--fresh", 3, "--bands", 1, "--seed", 5, "--json")
    assert made.exit_code == 0, made.stderr
    return folder, json.loads(made.stdout)


def test_planet_synth(planet):
    folder, made = planet
    assert (made["shape"], made["fresh"], made["bands"], made["made"]) == ([64, 128], 3, 1, True)
    again = run("planet", "synth", folder, "--shape", 64, 128, "--fresh", 3, "--bands", 1, "--seed", 5)
    assert "was there already" in again.stdout


def test_another_planet_is_not_overwritten(planet):
    answer = run("planet", "synth", planet[0], "--shape", 64, 128, "--seed", 6)
    assert answer.exit_code == 2
    assert "--overwrite" in answer.stderr


def test_planet_info(planet):
    folder, _ = planet
    assert json.loads(run("planet", "info", folder, "--json").stdout)["parameters"]["seed"] == 5
    shown = run("planet", "info", folder).stdout.splitlines()
    assert "Mercury, seed 5" in shown[0]
    assert len(shown) == 3 + 3  # two sentences, a heading, three craters


def test_planet_info_where_there_is_none(tmp_path):
    answer = run("planet", "info", tmp_path)
    assert answer.exit_code == 2
    assert "cratermill planet synth" in answer.stderr


def test_a_file_is_no_place_for_a_planet(tmp_path):
    (tmp_path / "x.yaml").write_text("")
    answer = run("planet", "synth", tmp_path / "x.yaml")
    assert answer.exit_code == 2 and "is a file" in answer.stderr


@pytest.mark.parametrize("word", ["5-2", "²", "1-", "-1", "x", ""])
def test_words_that_are_no_cells(tmp_path, word):
    from cratermill.cli.cluster import parse_cells
    from cratermill.core.errors import InputError
    from tests.batch import fake

    plan = fake.plan_of(tmp_path, [{}, {}, {}])
    with pytest.raises(InputError, match="is no cell of"):
        parse_cells([word], plan)
    assert parse_cells(["1-2"], plan) == {1, 2}


def test_bad_value(tmp_path):
    answer = run("planet", "synth", tmp_path / "x", "--shape", 64, 100)
    assert answer.exit_code == 2
    assert "twice as many columns" in answer.stderr
    assert not (tmp_path / "x").exists()


@pytest.fixture
def table(project_folder):
    return project_folder / "configs" / "connection_version_hparams.csv"


def test_versions_list_and_show(table):
    rows = json.loads(run("versions", "list", table, "--family", "connection", "--json").stdout)
    first = rows[0]["version"]
    shown = run("versions", "list", table, "--family", "connection").stdout.splitlines()
    assert shown[0].startswith("version")
    assert len(shown) == 1 + len(rows)
    one = run("versions", "show", table, first, "--family", "connection")
    assert "model_name" in one.stdout
    assert json.loads(run("versions", "show", table, first, "--family", "connection", "--json").stdout)["version"] == first


def test_versions_check(table, tmp_path):
    assert "all sound" in run("versions", "check", table, "--family", "connection").stdout
    spoilt = tmp_path / "spoilt.csv"
    spoilt.write_text(table.read_text().replace("resnet18", "resnett18"))
    answer = run("versions", "check", spoilt, "--family", "connection")
    assert answer.exit_code == 2
    assert "resnett18" in answer.stderr
    assert "resnet18" in answer.stderr
    found = run("versions", "check", spoilt, "--family", "connection", "--json")
    assert found.exit_code == 2
    assert json.loads(found.stdout)["problems"][0]["column"] == "model_name"


def test_unknown_family(table):
    answer = run("versions", "check", table, "--family", "conection")
    assert answer.exit_code == 2
    assert "connection" in answer.stderr


@pytest.mark.parametrize("verb", [["prepare"], ["launch", "train"], ["launch", "map"], ["weights", "fetch"], ["weights", "check"]])
def test_missing_config(verb, tmp_path):
    answer = run(*verb, tmp_path / "none.yaml")
    assert answer.exit_code == 2
    assert "can't read the config" in answer.stderr


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        *(("launch " + kind, ()) for kind in ("train", "map", "all")),
        *((verb, ()) for verb in ("prepare", "search", "summarise", "analyse", "view", "fetch", "show augment")),
        ("compare", ("truth",)),
        ("predict", ("--checkpoint", "none.ckpt")),
        ("show sample", ("ejecta", 0)),
    ],
)
def test_what_may_take_a_while_says_at_once_what_it_begins_with(verb, rest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run(*verb.split(), "none.yaml", *rest)
    first, *others = answer.stderr.splitlines()
    assert answer.exit_code == 2 and first.startswith(f"{verb}: ") and first.endswith(" …") and others, answer.stderr


@pytest.mark.parametrize("verb", [["status"], ["summarise"]])
def test_missing_run(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run(*verb, "nothing")
    assert answer.exit_code == 2
    assert "nothing" in answer.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fetch", "--from", "."), "--from without the name of a data set"),
        (("fetch", "--renew"), "--renew without the name of a data set"),
        (("view", "latest", "--layer", "nope.gpkg"), "--layer nope.gpkg for the run latest"),
    ],
)
def test_options_that_would_do_nothing_are_refused(words, said, tmp_path, monkeypatch):
    from cratermill.batch.plan import freeze
    from tests.batch import fake

    monkeypatch.chdir(tmp_path)
    freeze(fake.plan_of(tmp_path, [{}]))
    answer = run(*words)
    assert answer.exit_code == 2 and said in answer.stderr


def test_status_and_cell_of_a_run(tmp_path, monkeypatch):
    from cratermill.batch.plan import freeze
    from tests.batch import fake

    monkeypatch.chdir(tmp_path)
    plan = fake.plan_of(tmp_path, [{}, {"needs": [0]}])
    path = freeze(plan)
    found = json.loads(run("status", "latest", "--json").stdout)
    assert [cell["state"] for cell in found["cells"]] == ["waiting", "waiting"]
    outside = run("cell", path, 7)
    assert outside.exit_code == 2
    assert "0 to 1" in outside.stderr
    nothing = run("summarise", plan.run)
    assert nothing.exit_code == 2
    assert "nothing to summarise" in nothing.stderr
