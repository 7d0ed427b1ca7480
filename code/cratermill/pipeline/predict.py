"""One trained row applied to an image, a folder of images or a mosaic, without a run configuration.

A mosaic is mapped as a launch maps it, in one process; ready-made images are what a family was trained on, one by one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import content_digest, write_json
from ..core.notices import notice
from ..core.paths import Project, find_root
from ..core.progress import Progress
from ..families import get_family
from ..families.map_page import PROJECT, write_map_project
from ..families.members import CELL, used_weights
from ..families.pictures import read_pictures
from ..geo.elsewhere import address_of, stand_in
from .changes import changed
from .index import refresh
from .load_config import parse_config
from .plan_maps import map_maker

if TYPE_CHECKING:
    from ..config import Config
    from ..families.base import Family
    from ..training.checkpoint import Checkpoint

RECORD = "predict.json"


class Work:
    """The folder of a part, and progress on the terminal."""

    stop_requested = False

    def __init__(self, folder: Path, progress: Progress):
        self.folder, self._progress = folder, progress
        folder.mkdir(parents=True, exist_ok=True)

    def report(self, **progress: Any) -> None:
        if "items" in progress:
            self._progress(progress.get("doing", "predicting"), progress["item"], progress["items"])

    def keep_going(self) -> None:
        """Nobody asks a process on the terminal to save itself."""


def predict(
    path: Path,
    checkpoints: Sequence[Path],
    into: Path | None = None,
    *,
    craters: Path | None = None,
    changes: Iterable[str] = (),
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Apply the networks of ``checkpoints`` (one version and split of a family, or of those that make a map together) to ``path``.

    ``changes``: key=value of a run configuration, such as ``map.options.step=0.5``. Returns facts and the folder of the results.
    """
    address = address_of(path)
    _require_there(None if address else path, craters)
    members = _members(checkpoints)
    names = {one.family: one.version for one, _ in members}
    into = _place(into, f"{path.stem}_{'_'.join(f'{name}-{version}' for name, version in names.items())}", overwrite)
    with tempfile.TemporaryDirectory(prefix=f".{into.name[:40]}.", dir=into.parent) as folder:
        root = Path(folder)
        there = root / stand_in(root, address) if address else path.resolve()
        run: dict[str, Any] = {"versions": names, "split": members[0][0].split, "mosaic": str(there), "name": "predicted"}
        run |= {"catalogue": str(craters.resolve())} if craters else {}
        config = parse_config(changed({"name": "predict", "data": "data", "map": run}, changes), root)
        for one, source in members:
            _link(one, source, config.project)
        made, facts = _apply(config, there, progress)
        record = {"path": address or str(there), "checkpoints": [_said(*one) for one in members], "changed": list(changes), **facts}
        _settle(made, into, there, remote=bool(address))
        _publish(made, into, record)
    refresh(into)
    return {**facts, "folder": str(into)}


def read_masks(
    path: Path, row: str, into: Path | None = None, *, overwrite: bool = False, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """What a row (``family:version`` of this project's table) reads off masks that somebody else drew."""
    from ..tables.table import load_versions

    _require_there(path, None)
    name, _, version = row.partition(":")
    family, root = get_family(name), find_root(Path.cwd())
    if not version.isdigit():
        raise InputError(f"--masks {row}", valid="a family and a version of its table, such as crater_unet:41")
    table = root / "configs" / f"{name}_version_hparams.csv"
    chosen = load_versions(table, family.hparams_model(), [int(version)])
    into = _place(into, f"{path.stem}_masks", overwrite)
    with tempfile.TemporaryDirectory(prefix=f".{into.name[:40]}.", dir=into.parent) as folder:
        config = parse_config({"name": "predict", "data": "data"}, Path(folder))
        work = Work(Path(folder) / "made", progress)
        facts = family.read_masks(config, chosen[0], read_pictures(path), work)
        _publish(work.folder, into, {"path": str(path.resolve()), "row": chosen[0].model_dump(mode="json"), **facts})
    return {**facts, "folder": str(into)}


# --- what is given -------------------------------------------------------------------------------------------------------------


def _require_there(path: Path | None, craters: Path | None) -> None:
    for one, valid in ((path, "an image, a folder or zip of images, or a mosaic"), (craters, "a crater list")):
        if one is not None and not one.exists():
            raise InputError(f"there is no {one}", valid=valid, next_step="check the path")


def _members(paths: Sequence[Path]) -> list[tuple[Checkpoint, Path]]:
    """The checkpoints, without their weights; ``InputError`` where they don't belong together."""
    from dataclasses import replace

    from ..training.checkpoint import load

    found = [(replace(load(path), state_dict={}), path) for path in paths]
    versions = {(one.family, one.version) for one, _ in found}
    places = [(one.family, one.iteration) for one, _ in found]
    if (
        len(versions) > len({family for family, _ in versions})
        or len({one.split for one, _ in found}) > 1
        or len(set(places)) < len(places)
    ):
        given = "; ".join(f"{path} is {one.family} {one.version}, split {one.split}, iteration {one.iteration}" for one, path in found)
        raise InputError(f"these checkpoints are no ensemble: {given}", valid="different iterations of one version and split")
    return found


def _place(into: Path | None, name: str, overwrite: bool) -> Path:
    into = (into or Project(find_root(Path.cwd())).results / "predicted" / name).absolute()
    if into.exists() and not (overwrite and (into / RECORD).exists()):
        valid = "another folder, or --overwrite" if (into / RECORD).exists() else "a new folder"
        raise InputError(f"{into} is there already", valid=valid, next_step="name another folder with --into")
    into.parent.mkdir(parents=True, exist_ok=True)
    return into


def _link(one: Checkpoint, source: Path, project: Project) -> None:
    """The checkpoint, and what its project's validation tiles said of how its answers are read, where maps look for them."""
    short = get_family(one.family).short
    target = project.version_results(short, one.version) / f"best-checkpoint_test-set-{one.split}_iteration-{one.iteration}.ckpt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())
    place = (short, one.version, "evaluate", one.split, one.iteration)
    homes = (Project(folder).cell_product(*place) for folder in source.resolve().parents)
    evaluated = next((home for home in homes if (home / CELL).exists()), None)
    if evaluated is None:
        return
    link = project.cell_product(*place)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(evaluated, target_is_directory=True)


def _said(one: Checkpoint, path: Path) -> dict[str, Any]:
    place = {name: getattr(one, name) for name in ("family", "version", "split", "iteration")}
    return {"path": str(path.resolve()), "digest": content_digest(path), **place}


# --- the work ------------------------------------------------------------------------------------------------------------------


def _apply(config: Config, path: Path, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """The folder with the results, and facts."""
    from ..geo.mosaic import is_zarr

    names = config.map_run.versions
    family = map_maker(config) if len(names) > 1 else get_family(next(iter(names)))
    if (path.is_dir() and not is_zarr(path)) or not family.maps or not _is_mosaic(path):
        if config.map_run.catalogue:
            raise InputError(
                f"{path} is no mosaic, and a crater list is of no use for images",
                valid="a GeoTIFF in a geographic or equidistant cylindrical projection",
                next_step="leave out --craters, or name the mosaic",
            )
        work = Work(config.root / "made", progress)
        return work.folder, family.predict(config, read_pictures(path), work)
    if family.maps_a_list and config.map_run.catalogue is None:
        raise InputError(f"{family.name} is applied to the craters of a list", next_step="name the list with --craters")
    facts = _mapped(config, family, progress)
    return config.project.map_folder(family.map_name(config)), {
        name: value for name, value in facts.items() if name not in ("name", "results")
    }


def _is_mosaic(path: Path) -> bool:
    """Whether a file is a raster whose columns are longitudes and whose rows are latitudes: such are mapped."""
    from ..geo.mosaic import Mosaic
    from ..geo.raster_files import place_of

    grid = None if path.suffix.lower() == ".zip" else place_of(path) if path.is_file() else Mosaic.open(path).grid
    return grid is not None and grid.columns_per_turn is not None


def _mapped(config: Config, family: Family, progress: Progress) -> dict[str, Any]:
    """The cells of the map one after the other, then what joins them."""
    for text in family.map_warnings(config):
        notice(text)
    cells, products = family.map_cells(config), []
    for number, params in enumerate(cells):
        tell = progress if len(cells) == 1 else partial(_part_of, progress, number, len(cells))
        work = Work(config.project.map_log("predicted") / "cells" / params["key"], tell)
        metrics = family.map(config, params, work)
        metrics["weights"] = used_weights(config, params["weights"], config.map_run.split)
        write_json(work.folder / CELL, {"params": params, "metrics": metrics})
        products.append(work.folder)
    progress("joining", 0, 1)
    return family.composite(config, products, Work(config.project.map_log("predicted") / "composite", progress))


def _part_of(progress: Progress, number: int, count: int, what: str, done: int, total: int) -> None:
    progress(f"part {number + 1} of {count}, {what}", done, total)


def _settle(made: Path, into: Path, mosaic: Path, remote: bool) -> None:
    """What of a map leads out of its folder, led from where it will lie: to the mosaic, and to the page of all results."""
    from ..geo.mosaic import Mosaic
    from ..report.html import INDEX, will_move

    if not (made / PROJECT).exists():
        return
    if remote:
        mosaic = Path(shutil.copy(mosaic, made / "mosaic.vrt"))
    with Mosaic.open(mosaic) as opened:
        write_map_project(made, opened, into)
    will_move(made / INDEX, into)


def _publish(made: Path, into: Path, record: dict[str, Any]) -> None:
    write_json(made / RECORD, record)
    if into.exists():
        aside = made.parent / "replaced"
        into.rename(aside)  # goes with the temporary folder
    made.rename(into)
