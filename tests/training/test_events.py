"""What is told while training goes: it arrives, it goes on after a kill, and it never hurts."""

import threading
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cratermill.training import events, sheets
from cratermill.training.events import BackgroundLogger

FACTS = {"family": "ejecta", "version": 3, "lr": 0.001}


def told(folder):
    read = EventAccumulator(str(folder / events.FOLDER))
    read.Reload()
    return read


def test_scores_and_pictures_arrive_and_a_killed_attempt_is_continued(tmp_path):
    first = BackgroundLogger(["tensorboard"], tmp_path, FACTS, 0)
    for epoch in range(3):
        first.log("scalars", epoch, {"validation/F1_Score": epoch / 10})
    first.log("picture", 1, "predictions", sheets.as_jpeg([("first", sheets.Sample("", np.zeros((8, 8, 3), np.uint8), "1", "0.9", 0.1))]))
    first.close()
    time.sleep(1.1)  # names of event files go by the second
    again = BackgroundLogger(["tensorboard"], tmp_path, FACTS, 2)  # killed in epoch 2, which is trained again
    for epoch in (2, 3):
        again.log("scalars", epoch, {"validation/F1_Score": 0.5 + epoch / 10})
    again.close()
    read = told(tmp_path)
    assert [(one.step, round(one.value, 3)) for one in read.Scalars("validation/F1_Score")] == [(0, 0.0), (1, 0.1), (2, 0.7), (3, 0.8)]
    (shown,) = read.Images("predictions")
    assert shown.step == 1 and shown.encoded_image_string[:2] == b"\xff\xd8" and shown.width > 3 * sheets.PANEL_PX
    assert "hyper-parameters" in read.Tags()["tensors"]


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
        threading.Event().wait(60)


@pytest.mark.parametrize("sink", [Bad, Hanging])
def test_a_sink_that_dies_or_hangs_costs_nothing(tmp_path, monkeypatch, capfd, sink):
    monkeypatch.setitem(events.SINKS, "mlflow", sink)
    monkeypatch.setattr(events, "LAST_WORDS_S", 0.3)
    start = time.monotonic()
    logger = BackgroundLogger(["mlflow"], tmp_path, FACTS, 0)
    for step in range(events.MOST_WAITING + 50):
        logger.log("scalars", step, {"loss": 1.0})
    logger.close()
    assert time.monotonic() - start < 5
    assert ("the server was killed" in capfd.readouterr().err) == (sink is Bad)


def test_a_package_that_is_not_there_is_named(tmp_path, capfd):
    logger = BackgroundLogger(["wandb"], tmp_path, FACTS, 0)
    logger.log("scalars", 0, {"loss": 1.0})
    logger.close()
    assert "wandb isn't installed; training goes on" in capfd.readouterr().err
