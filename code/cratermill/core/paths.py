"""Every path of a project, built here and nowhere else."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

_ROOT_MARKS = ("configs", "pyproject.toml")


def find_root(start: Path) -> Path:
    """The project folder that a configuration belongs to: the nearest ancestor that holds ``configs/``, else its own folder."""
    start = start.resolve()
    folder = start if start.is_dir() else start.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in _ROOT_MARKS):
            return candidate
    return folder


def shipped_configs() -> Path:
    """The folder ``configs/`` that cratermill was installed with, or that CRATERMILL_CONFIGS names."""
    return Path(os.environ.get("CRATERMILL_CONFIGS") or Path(__file__).resolve().parents[3] / "configs")


@dataclass(frozen=True)
class Project:
    """Folders of one project: ``log/`` for runs and per-iteration files, ``results/`` for what users read.

    ``group``: versions of a group lie in folders of their own, so that their numbers may repeat those of others.
    """

    root: Path
    group: str = ""

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def fetched(self) -> Path:
        """Public data that were fetched by name; they are only read."""
        return self.root / "data" / "fetched"

    def run(self, run: str) -> Path:
        return self.log / "runs" / run

    def plan(self, run: str) -> Path:
        return self.run(run) / "plan.json"

    def version_log(self, short: str, version: int) -> Path:
        return self.log / f"{short}_log" / self.group / f"version_{version}"

    def family_results(self, short: str) -> Path:
        return self.results / f"{short}_results" / self.group

    def version_results(self, short: str, version: int) -> Path:
        return self.family_results(short) / f"version_{version}"

    def cell_product(self, short: str, version: int, stage: str, split: int, iteration: int) -> Path:
        return self.version_log(short, version) / "cells" / f"{stage}_{cell_tag(split, iteration)}"

    def cells(self, short: str, version: int, stage: str, name: str, split: int | None = None) -> dict[tuple[int, int], Path]:
        """A file of every published cell of a version's stage, by split and iteration; replaced or unfinished ones are none."""
        files = (self.version_log(short, version) / "cells").glob(f"{stage}_test-set-*/{name}")
        found = {path: re.fullmatch(rf"{stage}_test-set-(\d+)_iteration-(\d+)", path.parent.name) for path in files}
        places = {(int(match[1]), int(match[2])): path for path, match in found.items() if match}
        return {place: path for place, path in sorted(places.items()) if split in (None, place[0])}

    def map_folder(self, name: str) -> Path:
        return self.results / "output_masks" / name

    def map_log(self, name: str) -> Path:
        return self.log / "map_log" / name

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def cell_tag(split: int, iteration: int) -> str:
    return f"test-set-{split}_iteration-{iteration}"


@dataclass(frozen=True)
class DataFolder:
    """One data set in EJMAP's layout; see docs/data.md for who writes what."""

    root: Path

    @property
    def mosaic(self) -> Path:
        return self.root / "mosaics" / "cylindrical_mosaic.tif"

    @property
    def craters(self) -> Path:
        """The crater rims, whichever format is there; the GeoPackage's name when none is."""
        folder = self.root / "ejc_data"
        found = [folder / f"fresh_craters{suffix}" for suffix in (".gpkg", ".shp", ".csv", ".geojson")]
        return next((path for path in found if path.exists()), found[0])

    @property
    def human_mask(self) -> Path:
        return self.root / "ejc_data" / "human_mask.tif"

    @property
    def human_positions(self) -> Path:
        return self.root / "ejc_data" / "human_positions.csv"

    def mask(self, fid: int) -> Path:
        return self.root / "cyl_data" / f"mask_crater_{fid}.tif"

    def positions(self, fid: int) -> Path:
        return self.root / "cyl_data" / f"positions_crater_{fid}.csv"

    @property
    def drawing(self) -> Path:
        """Where people draw tiles that aren't part of the data yet."""
        return self.root / "drawing"

    @property
    def drawing_log(self) -> Path:
        """Who drew which tile, when, and what it began as."""
        return self.root / "cyl_data" / "drawn.csv"

    @property
    def az_positions(self) -> Path:
        return self.root / "conn_data" / "az_positions_all.csv"

    def az_positions_of(self, fid: int) -> Path:
        return self.root / "ejc_data" / "positions" / f"az_positions_crater_{fid}.csv"

    def eval_positions(self, fid: int) -> Path:
        return self.root / "conn_data" / "eval_positions" / f"eval_positions_crater_{fid}.csv"

    @property
    def img_norm(self) -> Path:
        return self.root / "conn_data" / "img_norm.json"

    @property
    def annuli(self) -> Path:
        """Mean band values around each drawn crater, per pair of buffer bounds."""
        return self.root / "ejc_data" / "annuli.csv"

    def stack(self, area: str, view: str) -> Path:
        """``area``: ``conn_data`` or ``ejc_data``; ``view``: what was sampled, e.g. ``pair_112x224``."""
        return self.root / area / "stacks" / view

    def family(self, name: str) -> Path:
        """What prepare makes for a family with data of its own."""
        return self.root / name

    @property
    def statistics(self) -> Path:
        """Means and deviations of mosaics, by what the files were when they were measured."""
        return self.root / "statistics.json"

    @property
    def prepared(self) -> Path:
        """What prepare has done and from which inputs."""
        return self.root / "prepared.json"

    @property
    def lock(self) -> Path:
        """There while somebody prepares or imports these data."""
        return self.root / ".prepare.lock"

    def require(self, path: Path, what: str, first: str = "") -> Path:
        """``path``, if it exists; ``first``: what else the user may have to do before."""
        if not path.exists():
            raise InputError(
                f"{what} is missing: {path}",
                valid=f"a data folder with EJMAP's names below {self.root}",
                next_step=f"{first}put the file there, name another data folder in the config, or make one with 'cratermill planet synth'",
            )
        return path
