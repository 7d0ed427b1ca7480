"""The one shape that every experiment family has; stages and batch use nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError, InputError
from ..core.paths import cell_tag
from ..core.progress import Progress
from ..core.work import Workspace
from ..training.cell import FIRST, CellParams, Datasets, Round

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel

    from ..config import Config
    from ..samples.steps import Steps
    from ..training.hparams import RowHparams
    from .members import Trainings
    from .pictures import Picture


EVERY_MAP = frozenset(("name", "versions", "split", "mosaic", "bands", "catalogue", "options", "compare", "analyse"))
"""Keys of ``map`` that maps of all families obey."""
OF_DRAWN_TILES = frozenset(("tiles", "img_norm", "splits.by", "splits.drawn_tiles"))
"""Keys of a run configuration that only families obey which learn from drawn tiles."""
CHANGE = "# CHANGE"
"""Marks lines of a new configuration that need its owner's eyes."""


LOG_NAMES = {
    "train": {
        "checkpoints/best-checkpoint_{}.ckpt": "best.ckpt",
        "norms/norm_{}.npy": "norm.npy",
        "tests/results_{}.json": "results.json",
    },
    "evaluate": {"tests/eval_{}.json": "eval.json"},
}
"""Files of a cell's product by stage, and the names that users look for; {} stands for split and iteration."""


class Family:
    """Base of the families. Methods import what they need when called, so that listing families costs nothing."""

    name: str
    short: str
    """Folder names: ``log/{short}_log``, ``results/{short}_results``."""

    metrics: tuple[str, ...] = ("F1_Score", "IoU", "Precision", "Recall", "Accuracy", "conn_F1_Score")
    """Scores that the leaderboard shows, the deciding one first: columns of ``eval_metrics.csv``, those of the Test data (``test_…``)
    where there are any, or of ``test_metrics.csv`` where nothing is evaluated."""
    lower_is_better: frozenset[str] = frozenset()
    """Those of them of which less is better."""

    def captions(self) -> Mapping[str, str]:
        """What the pictures among a version's results show, by their files' names without suffix."""
        return {}

    own_log_names: Mapping[str, dict[str, str]] = {}
    """By stage what a family adds to ``LOG_NAMES``."""

    files_marked = False
    """Whether prepared data and parts of maps follow from the configuration, its rows and trainings, and from files in the data folder or
    such that ``samples.inputs`` marked or digested alone: then launches remember what they were told while those files stay."""

    def hparams_model(self) -> type[RowHparams]:
        """The pydantic model of one CSV row."""
        raise NotImplementedError

    def data_model(self) -> type[BaseModel]:
        """What may stand in ``train.<family>.data`` of a run configuration: where the family's own data come from."""
        from ..config import NoOptions

        return NoOptions

    joining_room = 0.0
    """Bytes on the disk that joining the parts of a map takes meanwhile, by each that the parts keep; 0: next to none."""

    map_keys: frozenset[str] = frozenset()
    """Keys of ``map`` that its maps obey beside ``EVERY_MAP`` of them; others would do nothing, and are refused."""

    ignored_keys: frozenset[str] = frozenset()
    """Keys of a run configuration that do nothing for it; such as no family of a configuration obeys are refused."""

    draws = False
    """Whether it learns from what was drawn on the tiles of the run's own crater list, not from what ``train.<family>.data`` names."""

    def first_data(self, name: str, catalogue: str) -> dict[str, str]:
        """``train.<family>.data`` of a configuration to begin with, values as they stand in the file; ``catalogue``: its crater list."""
        return {}

    def map_model(self) -> type[BaseModel]:
        """What may stand in ``map.options`` where this family makes the map."""
        from ..config import NoOptions

        return NoOptions

    def make_data(self, config: Config, rows: list[Any], work: Steps) -> dict[str, Any]:
        """All that these rows train on, as steps of ``work``: those that are up to date are left alone. Returns facts for the user."""
        raise NotImplementedError

    def prepare(self, config: Config, rows: Iterable[Any], progress: Progress, workers: int = 1) -> dict[str, Any]:
        """Make the data that these rows train on; redo only what changed. Returns what was made, for the user."""
        from ..samples.steps import Steps

        return self.make_data(config, list(rows), Steps(config, progress, workers))

    def require_prepared(self, config: Config, rows: Iterable[Any]) -> None:
        """Raise ``InputError`` unless ``prepare`` has made what these rows train on, from the very files and keys that are there now."""
        from ..samples.steps import Steps

        work = Steps(config, check="all")
        work.require()
        self.make_data(config, list(rows), work)

    def require_map_data(self, config: Config, rows: Iterable[Any]) -> None:
        """Raise ``InputError`` where data were prepared for these rows' map, but from other files or keys than are there now."""
        from ..samples.steps import Steps

        work, rows = Steps(config, check="changed"), list(rows)
        if work.done and rows:
            self.make_data(config, rows, work)

    def require_splits(self, config: Config, splits: Iterable[int]) -> None:
        """Raise ``InputError`` where the prepared data lack one of these TV-Test splits; for families that draw them when preparing."""

    def rounds(self, hparams: Any) -> int:
        """How many trainings a cell makes in turn, each with a fresh network; the last one is the cell's result."""
        return 1

    def round_hparams(self, hparams: Any, number: int) -> Any:
        """The row as the given round trains by it: its own learning rate, number of epochs and so on."""
        return hparams

    def datasets(self, config: Config, params: CellParams, round: Round = FIRST) -> Datasets:
        raise NotImplementedError

    def task(self, params: CellParams, norm) -> Any:
        """The :class:`~.task.Task` of a row, its network built and its input normalisation inside it."""
        raise NotImplementedError

    def upstream(self, hparams: Any, split: int) -> list[tuple[str, int, int]]:
        """(family, version, split) whose evaluate cells must be done before this row's own are."""
        return []

    def require_evaluated(self, config: Config, version: int, split: int) -> None:
        """Raise ``InputError`` unless results of these evaluations are there for other rows to build on."""

    def evaluate(self, config: Config, params: CellParams, workspace: Workspace) -> dict:
        """Apply the trained cell to the data it has not seen; files into ``workspace.folder``, metrics returned."""
        raise NotImplementedError

    def data_fingerprint(self, config: Config, row: Any) -> Any:
        """A plain value that changes when the data that this row trains on change, and only then."""
        raise NotImplementedError

    def log_names(self, stage: str, params: CellParams) -> dict[str, str]:
        """Names below ``log/{short}_log/version_N/`` that users look for, and the files of a cell's product they stand for."""
        tag = cell_tag(params.split, params.iteration)
        return {name.format(tag): file for name, file in (LOG_NAMES[stage] | self.own_log_names.get(stage, {})).items()}

    def gather(self, config: Config, version: int, cells: pd.DataFrame, into: Path) -> list[dict]:
        """Family-specific files of ``results/{short}_results/version_N``; returns further rows of ``eval_metrics.csv``.

        ``cells``: one row per done cell: stage, split, iteration, product, metrics, hparams.
        """
        return []

    def result_warnings(self, metrics: list[dict[str, Any]]) -> list[str]:
        """What is odd about a version's evaluations, by the metrics of each; said in the log and in ``status``."""
        return []

    maps = False
    """Whether maps are made by this family."""

    obeys_precision = False
    """Whether it evaluates and maps in ``trainer.precision``; the others do in 32 bits."""

    maps_a_list = False
    """Whether a map shows the craters of a list, without which there is none."""
    maps_with: tuple[str, ...] = ()
    """Families whose networks may help this one to make a map."""

    def map_name(self, config: Config, trainings: Trainings | None = None) -> str:
        """Folder of the map at work (``config.map``) below ``results/output_masks``."""
        raise NotImplementedError

    def map_cells(self, config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
        """Params of the map's cells, one per independent part (crater, tile, …), each with a ``key`` and the ``weights`` it is made with.

        Everything that the result depends on must show in the params, since a cell is redone only when they change; what ``composite``
        applies to the parts must not. The networks may have to be trained yet: ``trainings`` (by default what is on disk) knows them all.
        """
        raise NotImplementedError

    def map_warnings(self, config: Config) -> list[str]:
        """What to say before a map is made: a mosaic that is unlike what the networks learned from."""
        return []

    def compose_mark(self, config: Config, trainings: Trainings) -> Any:
        """A plain value that changes when the composite does, beside the map's keys and its parts."""
        return None

    def page_warnings(self, config: Config) -> list[str]:
        """The same for the page of a map, which is made later: none where the files to tell by are gone since."""

        try:
            return self.map_warnings(config)
        except CratermillError:
            return []

    def map(self, config: Config, params: dict[str, Any], workspace: Workspace) -> dict:
        raise NotImplementedError

    def composite(self, config: Config, products: list[Path], workspace: Workspace) -> dict:
        """Join the products of the map cells in ``results/output_masks``; must not depend on their order."""
        raise NotImplementedError

    def predict(self, config: Config, pictures: Sequence[Picture], workspace: Workspace) -> dict[str, Any]:
        """Apply the networks of the map at work to ready-made images; files into ``workspace.folder``, facts returned.

        Images that are mosaics are mapped instead, where the family makes maps.
        """
        raise InputError(
            f"{self.name} can't be applied to {pictures[0].name} alone",
            valid="a mosaic in a geographic or cylindrical projection, and a crater list",
            next_step="name a mosaic, and the list with --craters",
        )

    def read_masks(self, config: Config, row: Any, pictures: Sequence[Picture], workspace: Workspace) -> dict[str, Any]:
        """What ``predict`` would read off the networks' answers, of such answers that somebody else drew."""
        raise InputError(f"{self.name} reads nothing off masks", valid="a family whose networks draw craters")
