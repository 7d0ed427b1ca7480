"""What training tells other programs as it goes: TensorBoard's event files, MLflow or W&B. None of them may hurt a training."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..core.errors import first_line
from ..core.files import read_json, write_json
from ..core.notices import notice
from ..core.paths import find_root

FOLDER, TOLD = "events", "events/told.json"
"""Within a cell's folder: ``tensorboard --logdir log/ejc_log/version_3`` finds all cells of a version. And the last epoch that each
sink was told of."""
LAST_WORDS_S = 10.0
"""How long the end of a training waits for what is still to be told."""
MOST_WAITING = 1000


class Sink(Protocol):
    """One program that listens. Its methods may block or raise."""

    def scalars(self, step: int, values: dict[str, float]) -> None: ...

    def picture(self, step: int, name: str, content: bytes) -> None:
        """``content``: a PNG or JPEG."""

    def close(self) -> None: ...


Make = Callable[[Path, dict[str, Any], int], Sink]
Epochs = list[dict[str, float]]
"""What each epoch is told by, from the first one on."""


class TensorBoard:
    """Event files, written by tensorboard's own writer: torch's would take seconds to import."""

    def __init__(self, folder: Path, facts: dict[str, Any], step: int):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.plugins.text.summary import text_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.event, self.writer = Event, EventFileWriter(str(folder / FOLDER), flush_secs=10)
        # What an attempt that was killed has written from here on is forgotten: it is written again.
        self.writer.add_event(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))
        if step == 0:
            rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
            summary = text_pb("hyper-parameters", f"| | |\n|---|---|\n{rows}")
            self.writer.add_event(Event(wall_time=time.time(), step=0, summary=summary))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self.writer.add_event(self.event(wall_time=time.time(), step=step, summary=summary))
        self.writer.flush()

    def picture(self, step: int, name: str, content: bytes) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = _opened(content).size
        image = Summary.Image(encoded_image_string=content, width=width, height=height, colorspace=3)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self.writer.add_event(self.event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        self.writer.close()


def _run_name(folder: Path, facts: dict[str, Any]) -> str:
    return f"{facts.get('family')}-v{facts.get('version')}_{folder.name.removesuffix('.part')}"


class MLflow:
    """To ``MLFLOW_TRACKING_URI``, or files of the folder ``mlruns`` in the project; a cell that goes on continues its run.

    Files are no longer MLflow's own choice, which is SQLite: cells that run at once on the nodes of a cluster would lock each other out.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], step: int):
        import mlflow  # an optional package: whoever asks for it installs it

        if not (store := os.environ.get("MLFLOW_TRACKING_URI")):
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
            store = (find_root(folder) / "mlruns").as_uri()
        self.client = mlflow.MlflowClient(store)
        mark = folder / "mlflow-run"  # outlives a kill
        if mark.exists():
            self.run = mark.read_text(encoding="utf-8")
            self.client.update_run(self.run, status="RUNNING")
            return
        self.run = self.client.create_run(self._experiment("cratermill"), run_name=_run_name(folder, facts)).info.run_id
        mark.write_text(self.run, encoding="utf-8")
        for key, value in facts.items():
            self.client.log_param(self.run, key, str(value)[:250])

    def _experiment(self, name: str) -> str:
        """Its number."""
        if (found := self.client.get_experiment_by_name(name)) is None:
            with contextlib.suppress(Exception):  # another cell may make it at the same moment
                return str(self.client.create_experiment(name))
            found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run, name, value, step=step)

    def picture(self, step: int, name: str, content: bytes) -> None:
        self.client.log_image(self.run, _opened(content), key=name, step=step)

    def close(self) -> None:
        self.client.set_terminated(self.run)


class WandB:
    """To W&B as its own settings say (``WANDB_MODE=offline`` for nodes without a network)."""

    def __init__(self, folder: Path, facts: dict[str, Any], step: int):
        import wandb  # an optional package: whoever asks for it installs it

        mark = folder / "wandb-run"
        if not mark.exists():
            mark.write_text(secrets.token_hex(4), encoding="utf-8")
        self.run = wandb.init(
            project="cratermill",
            name=_run_name(folder, facts),
            id=mark.read_text(encoding="utf-8"),
            resume="allow",
            config=facts,
            dir=str(find_root(folder) / "log"),  # not the cell's folder, which is renamed when it is done
            settings=wandb.Settings(console="off"),  # a thread that takes a training's output away may hurt it
        )
        # W&B's own steps only rise, and an attempt that was killed is told again from its last checkpoint on.
        self.run.define_metric("*", step_metric="epoch")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log({**values, "epoch": step})

    def picture(self, step: int, name: str, content: bytes) -> None:
        import wandb

        self.run.log({name: wandb.Image(_opened(content)), "epoch": step})

    def close(self) -> None:
        self.run.finish()


def _opened(content: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(content))


SINKS: dict[str, Make] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


class BackgroundLogger:
    """Hands what is logged to the sinks in a thread of its own, so that a server which hangs or dies costs training nothing.

    A sink that fails is named once and left alone from then on. ``earlier``: the epochs that a resumed training has behind it, of which
    each sink is told those that were still waiting when the training was killed.
    """

    def __init__(self, names: list[str], folder: Path, facts: dict[str, Any], earlier: Epochs):
        self.waiting: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue(MOST_WAITING)
        self.names, self.folder, self.facts, self.earlier = names, folder, facts, list(earlier)
        self.told: dict[str, int] = read_json(folder / TOLD, {})
        self.over = False
        self.thread = threading.Thread(target=self._work, daemon=True, name="logger")
        if names:
            self.thread.start()

    def log(self, what: str, *given: Any) -> None:
        """``scalars`` or ``picture``; dropped where nobody has listened for long."""
        if self.names:
            with contextlib.suppress(queue.Full):
                self.waiting.put_nowait((what, given))

    def close(self) -> None:
        if self.names:
            with contextlib.suppress(queue.Full):
                self.waiting.put_nowait(None)
            self.thread.join(LAST_WORDS_S)
            self.over = True  # the folder may be moved from now on

    def _work(self) -> None:
        sinks: dict[str, Sink] = {}
        for name in self.names:
            self._try(sinks, name, partial(self._open, sinks, name))
        while (logged := self.waiting.get()) is not None:
            what, given = logged
            for name, sink in list(sinks.items()):
                self._try(sinks, name, partial(self._tell, name, sink, what, given))
        for name, sink in list(sinks.items()):
            self._try(sinks, name, sink.close)

    def _open(self, sinks: dict[str, Sink], name: str) -> None:
        first = min(self.told.get(name, -1) + 1, len(self.earlier))
        sinks[name] = sink = SINKS[name](self.folder, self.facts, first)
        for step, values in enumerate(self.earlier[first:], first):
            self._tell(name, sink, "scalars", (step, values))

    def _tell(self, name: str, sink: Sink, what: str, given: tuple[Any, ...]) -> None:
        getattr(sink, what)(*given)
        if what == "scalars" and not self.over:
            self.told[name] = given[0]
            write_json(self.folder / TOLD, self.told)

    @staticmethod
    def _try(sinks: dict[str, Sink], name: str, work: Callable[[], Any]) -> None:
        try:
            work()
        except ModuleNotFoundError as error:
            notice(f"trainer.logger {name}: the package {error.name} isn't installed; training goes on without it")
            sinks.pop(name, None)
        except Exception as error:  # noqa: BLE001 - whatever a logger does wrong, training goes on
            notice(f"trainer.logger {name} failed and is left alone from here on, training goes on: {first_line(error)}")
            sinks.pop(name, None)
