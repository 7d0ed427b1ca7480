"""What is told while training goes: it arrives, it goes on after a kill, and it never hurts."""

import inspect
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cratermill.training import events, sheets
from cratermill.training.events import BackgroundLogger

SAMPLE = sheets.Sample("", np.zeros((8, 8, 3), np.uint8), "1", "0.9", 0.1)
FACTS = {"family": "ejecta", "version": 3, "lr": 0.001}


def told(folder):
    read = EventAccumulator(str(folder / events.FOLDER))
    read.Reload()
    return read


def test_scores_and_pictures_arrive_and_a_killed_attempt_is_continued(tmp_path):
    first = BackgroundLogger(["tensorboard"], tmp_path, FACTS, [])
    for epoch in range(3):
        first.log("scalars", epoch, {"validation/F1_Score": epoch / 10})
    first.log("picture", 1, "predictions", sheets.as_jpeg([("first", SAMPLE)]))
    first.close()
    time.sleep(1.1)  # names of event files go by the second
    behind = [{"validation/F1_Score": epoch / 10} for epoch in range(2)]
    again = BackgroundLogger(["tensorboard"], tmp_path, FACTS, behind)  # killed in epoch 2, which is trained again
    for epoch in (2, 3):
        again.log("scalars", epoch, {"validation/F1_Score": 0.5 + epoch / 10})
    again.close()
    read = told(tmp_path)
    assert [(one.step, round(one.value, 3)) for one in read.Scalars("validation/F1_Score")] == [(0, 0.0), (1, 0.1), (2, 0.7), (3, 0.8)]
    (shown,) = read.Images("predictions")
    assert shown.step == 1 and shown.encoded_image_string[:2] == b"\xff\xd8" and shown.width > 3 * sheets.PANEL_PX
    assert "hyper-parameters" in read.Tags()["tensors"]


def test_what_was_waiting_for_a_logger_when_a_training_was_killed_is_told_when_it_goes_on(tmp_path):
    behind = [{"validation/F1_Score": epoch / 10} for epoch in range(4)]
    killed = BackgroundLogger(["tensorboard"], tmp_path, FACTS, behind[:2])  # these are told; 2 and 3 never were
    killed.close()
    time.sleep(1.1)  # names of event files go by the second
    again = BackgroundLogger(["tensorboard"], tmp_path, FACTS, behind)
    again.log("scalars", 4, {"validation/F1_Score": 0.9})
    again.close()
    found = [(one.step, round(one.value, 3)) for one in told(tmp_path).Scalars("validation/F1_Score")]
    assert found == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.9)]


class Bad:
    def __init__(self, folder, facts, step):
        self.told = 0

    def scalars(self, step, values):
        raise ConnectionError("the server was killed")

    picture = scalars

    def close(self):
        raise AssertionError("a sink that failed is left alone")


class Hanging(Bad):
    def scalars(self, step, values):
        threading.Event().wait(300)


@pytest.mark.parametrize("sink", [Bad, Hanging])
def test_a_sink_that_dies_or_hangs_costs_nothing(tmp_path, monkeypatch, capfd, sink):
    monkeypatch.setitem(events.SINKS, "mlflow", sink)
    monkeypatch.setattr(events, "LAST_WORDS_S", 0.3)
    start = time.monotonic()
    logger = BackgroundLogger(["mlflow"], tmp_path, FACTS, [])
    for step in range(events.MOST_WAITING + 50):
        logger.log("scalars", step, {"loss": 1.0})
    logger.close()
    assert time.monotonic() - start < 60, "much less than it hangs"
    assert ("the server was killed" in capfd.readouterr().err) == (sink is Bad)


def test_a_package_that_is_not_there_is_named(tmp_path, capfd):
    logger = BackgroundLogger(["wandb"], tmp_path, FACTS, [])
    logger.log("scalars", 0, {"loss": 1.0})
    logger.close()
    assert "wandb isn't installed; training goes on" in capfd.readouterr().err


MLFLOW = {
    "get_experiment_by_name": lambda name: None,
    "create_experiment": lambda name, artifact_location=None, tags=None: None,
    "create_run": lambda experiment_id, start_time=None, tags=None, run_name=None: None,
    "update_run": lambda run_id, status=None, name=None: None,
    "log_param": lambda run_id, key, value, synchronous=None: None,
    "log_metric": lambda run_id, key, value, timestamp=None, step=None, synchronous=None: None,
    "log_image": lambda run_id, image, artifact_file=None, key=None, step=None, timestamp=None, synchronous=None: None,
    "set_terminated": lambda run_id, status=None, end_time=None: None,
}
WANDB = {
    "init": lambda project=None, dir=None, id=None, name=None, config=None, resume=None, settings=None: None,
    "Settings": lambda console: None,
    "define_metric": lambda name, step_metric=None: None,
    "log": lambda data, step=None, commit=None: None,
    "Image": lambda data_or_path, mode=None, caption=None: None,
    "finish": lambda exit_code=None: None,
}
"""What these methods of mlflow-skinny 3.17 and wandb 0.31 can be given: all of MLflow's arguments but its newest, of W&B's those in use."""


@pytest.mark.parametrize(("name", "known"), [("mlflow", MLFLOW), ("wandb", WANDB)])
def test_the_stand_ins_take_what_the_real_packages_take(name, known):
    """Where these are installed; else they are as they were when they were last tried."""
    real = pytest.importorskip(name)
    owners = [real, real.MlflowClient] if name == "mlflow" else [real, real.Run]
    for method, stand_in in known.items():
        function = next(getattr(owner, method) for owner in reversed(owners) if hasattr(owner, method))
        taken = [one for one in inspect.signature(function).parameters if one != "self"]
        ours = list(inspect.signature(stand_in).parameters)
        assert set(ours) <= set(taken) or method == "Settings", method
        assert name == "wandb" or taken[: len(ours)] == ours, method


class Listening:
    """Stands in for MLflow and W&B, which no lock of ours holds: what their clients are asked, in words that the real ones take."""

    def __init__(self, calls, known):
        self.calls, self.known = calls, known

    def __getattr__(self, name):
        def asked(*given, **named):
            inspect.signature(self.known[name]).bind(*given, **named)
            self.calls.append((name, given, named))
            found = SimpleNamespace(info=SimpleNamespace(run_id="run 1"))
            return {"get_experiment_by_name": None, "create_experiment": "7", "create_run": found, "init": self}.get(name)

        return asked


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_resumed_training_goes_on_in_its_run(tmp_path, monkeypatch, name):
    (tmp_path / "it's mine" / "configs").mkdir(parents=True)
    folder, calls = tmp_path / "it's mine" / "log" / "train_test-set-0.part", []
    folder.mkdir(parents=True)
    package = Listening(calls, MLFLOW if name == "mlflow" else WANDB)
    package.MlflowClient = lambda store: calls.append(("client", (store,), {})) or package
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    for first in (0, 2):  # killed while epoch 1 waited to be told
        logger = BackgroundLogger([name], folder, FACTS, [{"loss": 0.5}] * first)
        logger.log("scalars", first, {"loss": 0.5})
        logger.log("picture", first, "predictions", sheets.as_jpeg([("first", SAMPLE)]))
        logger.close()
    asked = {what: [(given, named) for one, given, named in calls if one == what] for what, _, _ in calls}
    if name == "mlflow":
        assert asked["client"] == [(((tmp_path / "it's mine" / "mlruns").as_uri(),), {})] * 2
        assert len(asked["create_run"]) == 1 and len(asked["log_param"]) == len(FACTS)
        assert asked["update_run"] == [(("run 1",), {"status": "RUNNING"})] and len(asked["set_terminated"]) == 2
        assert asked["log_metric"] == [(("run 1", "loss", 0.5), {"step": step}) for step in range(3)]
        assert [(named["key"], named["step"]) for _, named in asked["log_image"]] == [("predictions", 0), ("predictions", 2)]
    else:
        runs = [named for _, named in asked["init"]]
        assert runs[0]["id"] == runs[1]["id"] and runs[0]["resume"] == "allow" and runs[0]["config"] == FACTS
        assert runs[0]["dir"] == str(tmp_path / "it's mine" / "log") and runs[0]["name"] == "ejecta-v3_train_test-set-0"
        assert [one for (one,), _ in asked["log"] if "loss" in one] == [{"loss": 0.5, "epoch": step} for step in range(3)]
        assert [one["epoch"] for (one,), _ in asked["log"] if "predictions" in one] == [0, 2] and len(asked["finish"]) == 2
