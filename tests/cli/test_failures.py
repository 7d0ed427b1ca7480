"""Whatever a verb raises becomes one message and an exit code."""

import errno
import json
import subprocess
import sys

import pyogrio
import pytest
import typer
from typer.testing import CliRunner

from cratermill.cli.app import _Guarded, _options
from cratermill.core.errors import InputError, WorkError

SURPRISE = ZeroDivisionError("division by zero\nsecond line")


def run(error, before=(), after=()):
    app = typer.Typer(cls=_Guarded, rich_markup_mode=None)
    app.callback()(_options)

    @app.command()
    def verb(as_json: bool = typer.Option(False, "--json")):
        raise error

    return CliRunner().invoke(app, [*before, "verb", *after])


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    folder = tmp_path / "it's a project"
    (folder / "configs").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return folder


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("no such row", valid="0, 1", next_step="edit the table"), 2),
        (WorkError("loss is NaN", valid="a number", next_step="lower the rate"), 1),
    ],
)
def test_foreseen_errors_say_given_valid_next(error, code):
    answer = run(error)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert answer.stderr == f"Error: {error.given}\nValid: {error.valid}\nNext: {error.next_step}\n"


def test_errors_as_json():
    answer = run(InputError("no such row", valid="0, 1"), after=["--json"])
    assert answer.exit_code == 2
    assert json.loads(answer.stdout) == {"error": {"given": "no such row", "valid": "0, 1", "next": None, "exit_code": 2}}


def test_usage_errors_as_json_too():
    answer = CliRunner().invoke(_app(), ["nonsense", "--json"])
    assert answer.exit_code == 2
    assert "nonsense" in json.loads(answer.stdout)["error"]["given"]


def test_usage_errors():
    answer = CliRunner().invoke(_app(), ["doctor", "--nonsense"])
    assert answer.exit_code == 2
    assert "Usage: " in answer.stderr
    assert "--nonsense" in answer.stderr


def _app():
    from cratermill.cli import app

    return app


def test_full_disk_by_the_words_of_sqlite():
    answer = run(pyogrio.errors.FeatureError("sqlite3_exec(INSERT …) failed: database or disk is full"))
    assert answer.exit_code == 1
    assert "no space left for a file: sqlite3_exec" in answer.stderr and "free some space" in answer.stderr


def test_interrupt_says_how_to_go_on():
    answer = run(KeyboardInterrupt())
    assert answer.exit_code == 130
    assert answer.stderr.count("\n") == 1
    assert "same command again" in answer.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(number):
    answer = run(OSError(number, "full", "results/map one.tif"))
    assert answer.exit_code == 1
    assert "no space left for results/map one.tif" in answer.stderr
    assert "goes on where it stopped" in answer.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_forbidden_path(number):
    answer = run(OSError(number, "Permission denied", "/root/secret"))
    assert answer.exit_code == 2
    assert "not allowed to use /root/secret" in answer.stderr


def test_surprise_is_one_line_and_a_file(project):
    answer = run(SURPRISE)
    assert answer.exit_code == 1
    assert "Traceback" not in answer.stderr
    assert answer.stderr.startswith("Error: unexpected ZeroDivisionError: division by zero\nNext: ")
    kept = next((project / "log" / "errors").iterdir())
    assert str(kept) in answer.stderr
    assert "Traceback" in kept.read_text()


def test_debug_shows_the_traceback():
    assert "Traceback" in run(SURPRISE, before=["--debug"]).stderr


def test_surprise_where_log_can_not_be_written(project):
    (project / "log").write_text("a file in the way")
    answer = run(SURPRISE)
    assert answer.exit_code == 1
    assert f"the traceback is in {project.parent}/" in answer.stderr


TALKATIVE = """
from cratermill.cli import app, main

@app.command()
def talk():
    for number in range(100_000):
        print("line", number)

main()
"""


@pytest.mark.parametrize(("argument", "code"), [("talk", 141), ("--help", 0)])
def test_reader_that_goes_away_is_no_error(argument, code):
    command = f"'{sys.executable}' -c '{TALKATIVE}' {argument} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert int(shown.stdout) == code


@pytest.mark.parametrize(
    ("error", "code", "said", "step"),
    [
        (OSError(errno.EFBIG, "File too large", "big.npy"), 1, "big.npy would be larger", "ulimit -f"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "too little memory", "fewer workers"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "too little memory: Unable to allocate 9 GiB", "fewer workers"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 1, "too little memory: libtorch", "fewer workers"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "too little memory: Default", "fewer workers"),
        (OSError("m.tif: Too many open files"), 1, "too many files are open at once: m.tif", "ulimit -n"),
        (OSError(errno.EMFILE, "Too many open files", "a.tif"), 1, "too many files", "ulimit -n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 300), 2, "a name is too long", "shorten"),
    ],
)
def test_what_the_machine_refuses_is_foreseen(error, code, said, step):
    answer = run(error)
    assert answer.exit_code == code
    assert said in answer.stderr and step in answer.stderr
    assert "traceback" not in answer.stderr


def test_a_deleted_current_folder_is_named(project):
    project.joinpath("configs").rmdir()
    project.rmdir()
    answer = run(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    assert answer.exit_code == 2 and "current folder does not exist" in answer.stderr
    refused = run(InputError("can't read the config configs/x.yaml: No such file or directory"))
    assert refused.exit_code == 2 and "current folder does not exist" in refused.stderr
    assert "unexpected ZeroDivisionError" in run(SURPRISE).stderr  # its traceback has a place all the same
