"""``python -m tests.pipeline.killed_prepare FOLDER``: prepares projects and does them harm.

For each project in FOLDER/killed, two processes are killed at their second piece of samples, one before the piece is noted and one after;
a third comes to the end. Those in FOLDER/calm are prepared undisturbed. Pieces have as many bytes as stand in the project's chunk.txt, and
pieces.txt tells which were noted. What is imported is imported once, before processes are forked.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

import geopandas as _geopandas
import pyarrow.parquet as _parquet
import scipy.sparse.csgraph as _csgraph
import scipy.spatial as _spatial

from cratermill.config import Config
from cratermill.families.autoencoder import prepare as _crops
from cratermill.families.chips_common import prepare as _chips
from cratermill.families.craters_common import prepare as _tiles
from cratermill.families.ejecta_common import prepare as _ejecta
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import Rows, wanted_rows
from cratermill.pipeline.prepare import prepare as make
from cratermill.samples import store

FORKED = (_crops, _chips, _tiles, _ejecta, _geopandas, _parquet, _csgraph, _spatial)
AT = 2


def config_of(folder: Path) -> Path:
    return next((folder / "configs").glob("*.yaml"))


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def prepare(config: Config, rows: Rows, kill: str) -> None:
    """Prepare, and note the pieces; ``kill``: before or after the second one is noted, or never."""
    append, made, folder = store._Writer._append, 0, config.root

    def noted(self, *given) -> None:
        nonlocal made
        made += 1
        if made == AT and kill == "before":
            store.write_json = die
        append(self, *given)
        with (folder / "pieces.txt").open("a") as file:
            print(self.part.name, self.state["done"], file=file)
        if made == AT and kill == "after":
            die()

    store._Writer._append = noted
    store.CHUNK_BYTES = int((folder / "chunk.txt").read_text())
    make(config, rows, lambda *_: None)


def in_a_process(config: Config, rows: Rows, kill: str) -> int:
    """Prepare in a process of its own; how it ended."""
    child = os.fork()
    if not child:
        try:
            prepare(config, rows, kill)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def harm(folder: Path) -> None:
    configs = [load_config(config_of(one)) for way in ("killed", "calm") for one in sorted((folder / way).iterdir())]
    for config, rows in [(config, wanted_rows(config)) for config in configs]:
        ways = ("before", "after", "never") if config.root.parent.name == "killed" else ("never",)
        ended = [in_a_process(config, rows, way) for way in ways]
        assert ended == [0 if way == "never" else -signal.SIGKILL for way in ways], (config.root, ended)


if __name__ == "__main__":
    harm(Path(sys.argv[1]))
