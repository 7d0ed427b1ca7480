"""``cratermill import-ejmap``: EJMAP's data, tables and results into a project, step by step; EJMAP's folder is only read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import read_json, write_json, write_table
from ..core.locks import held
from ..core.paths import DataFolder
from ..families import get_family
from ..families.ejecta_common.prepare import Preparation
from ..geo.band_statistics import RULE
from ..geo.mosaic import Mosaic
from ..pipeline.load_config import parse_config
from ..samples.inputs import mark
from ..samples.steps import hash_of
from ..samples.store import Store
from .agreement import disagreements
from .copying import bring
from .hparam_tables import bounds_asked, bring_tables, commonest, config_content, sizes_asked, versions_of, write_config
from .looking import Look, look, require_no
from .npy_tiles import Found, write_stack
from .positions import read_eval_positions, shifted
from .results import Results
from .run_configs import wanted
from .source import TABLES, Source, find_source

if TYPE_CHECKING:
    from ..core.progress import Progress

EJMAP_NORM = 0.0, 255.0
"""What EJMAP subtracts from pixels and divides them by unless a row says norm_from_train (the defaults of its data modules)."""


@dataclass(frozen=True)
class Options:
    into: str | None = None
    trust: bool = False
    resample: bool = False
    dry_run: bool = False
    workers: int = 1


@dataclass
class Report:
    """What an import has done or would do: what and how much, what a user should know, and checkpoints that could not be converted."""

    into: str
    brought: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def import_ejmap(folder: Path, root: Path, options: Options, progress: Progress) -> Report:
    """Import a folder of EJMAP's into ``root / into`` (``data/<its name>`` when left out); again: only what changed.

    Raises ``InputError`` naming the files that are missing or broken; then what was written before is kept, but not used.
    """
    source = find_source(folder)
    name = _name_of(source)
    target = DataFolder(root / (options.into or f"data/{name}"))
    _require_free(source, target)
    return _Import(source, target, root, Path(options.into or name).name, options, progress).run()


def _name_of(source: Source) -> str:
    """A name for data set and config, from the folder's: letters, digits and ``. _ -`` only."""
    folder = source.folder.parent if source.folder.name == "data" else source.folder
    return _plain(folder.name)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "ejmap"


def _require_free(source: Source, data: DataFolder) -> None:
    """The target and the source lie apart, and the target holds nothing but an earlier import of the same."""
    target = data.root.resolve()
    if target == source.folder or source.folder in target.parents or target in source.folder.parents:
        raise InputError(f"{target} and {source.folder} lie in each other", next_step="name another folder with --into, like data/mercury")
    record = read_json(data.prepared, {})
    earlier = record.get("import", {}).get("source")
    if earlier is None and data.root.is_dir() and any(data.root.iterdir()):
        raise InputError(
            f"{data.root} holds other data", valid="a new folder or that of an earlier import", next_step="name it with --into"
        )
    if earlier not in (None, str(source.folder)):
        raise InputError(f"{data.root} was imported from {earlier}", next_step="name another folder with --into")


class _Import:
    """One import. The steps of a :class:`Preparation` remember what was done, so that prepare goes on where the import ends."""

    def __init__(self, source: Source, data: DataFolder, root: Path, name: str, options: Options, progress: Progress):
        self.source, self.data, self.root, self.options, self.progress = source, data, root, options, progress
        self.name = _plain(name)
        self._configure({})
        self.report = Report(self._relative(data.root))

    def run(self) -> Report:
        seen = look(self.source.data, self.work, with_tiles=not self.options.resample)
        self._say_what_is_there(seen)
        if self.options.dry_run:
            return self.report
        with held(self.data.lock, f"prepares {self.data.root}"):
            self._import(seen)
        return self.report

    def _import(self, seen: Look) -> None:
        self._configure(self._tile_options())
        self._record(complete=False)
        self._copy()
        with self.work:
            self._write_tables(seen)
            views = self._write_stacks(seen)
            self._measure(seen)
        self._record(complete=True, shift_px=seen.shift_px, views=views)
        self._bring_results(seen)
        self._bring_configs(seen)

    # --- what there is ------------------------------------------------------------------------------------------------------

    def _configure(self, tiles: dict[str, Any]) -> None:
        content = {"name": self.name, "data": self._relative(self.data.root), "tiles": tiles}
        self.config = parse_config(content, self.root, self.root / "configs" / self.name / f"{self.name}.yaml")
        self.work = Preparation(self.config, self.progress, self.options.workers)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def _say_what_is_there(self, seen: Look) -> None:
        splits = [name for name in seen.table.columns if name.startswith("test_")]
        self.report.brought = {
            "craters": len(seen.craters),
            "craters with drawn ejecta": len(seen.drawn),
            "training tiles": len(seen.table),
            "splits": len(splits),
            "shift of x and y [px]": seen.shift_px,
        }
        for found in seen.found:
            self.report.brought[f"{found.kind.label} (npy)"] = len(found.rows)
            if found.rows.empty:
                self.report.notes.append(f"there are no {found.kind.label} (npy): prepare will sample them from the mosaic")
        if self.options.resample:
            self.report.notes.append("tiles (npy) are left out: prepare will sample them from the mosaic")

    def _tile_options(self) -> dict[str, Any]:
        """``tiles`` of the run configuration: the size that EJMAP's own tiles to map have."""
        sides = commonest([read_eval_positions(path) for path in self.source.data.all_eval_positions().values()], ["height"])
        return {"eval_size_px": sides[0]} if sides else {}

    # --- data ---------------------------------------------------------------------------------------------------------------

    def _record(self, complete: bool, **facts: Any) -> None:
        """Who made this folder. Until the import is complete, neither prepare nor launch take the data for whole."""
        content = read_json(self.data.prepared, {})
        made = content.get("import", {}) | {"source": str(self.source.folder), "complete": complete, **facts}
        write_json(self.data.prepared, content | {"imported": True, "import": made})

    def _copy(self) -> None:
        """Rasters as links, tables as copies; only what differs."""
        ours, theirs = self.data, self.source.data
        jobs = [(theirs.mosaic, ours.mosaic, True)]
        jobs += [(path, ours.mask(fid), True) for fid, path in theirs.masks().items()]
        jobs += [(path, ours.positions(fid), False) for fid, path in theirs.crater_positions().items()]
        jobs += [(path, ours.root / "ejc_data" / path.name, False) for path in theirs.crater_files()]
        pairs = ((theirs.human_mask, ours.human_mask, True), (theirs.human_positions, ours.human_positions, False))
        jobs += [job for job in pairs if job[0].exists()]
        changed = self.work.each("copying", jobs, lambda job: bring(job[0], job[1], link=job[2]))
        self.report.brought["files copied or linked"] = sum(changed)

    def _write_tables(self, seen: Look) -> None:
        """The tables of tiles, as positions on our grid."""
        source, target = self.source.data.az_positions, self.data.az_positions
        inputs = {"tiles": mark(source), "craters": mark(self.source.data.craters), "shift": seen.shift_px}
        self.work.step("import tiles", inputs, [target], lambda: write_table(target, shifted(seen.table, seen.shift_px)))
        paths = self.source.data.all_eval_positions()
        targets = {fid: self.data.eval_positions(fid) for fid in paths}

        def write() -> None:
            self.work.each("tiles to map", list(paths), lambda fid: write_table(targets[fid], self._eval_table(paths[fid], seen)))

        inputs = {"tiles": [[fid, mark(path)] for fid, path in paths.items()], "shift": seen.shift_px}
        self.work.step("import tiles to map", inputs, targets.values(), write)

    def _eval_table(self, path: Path, seen: Look):
        return shifted(read_eval_positions(path), seen.shift_px)

    def _write_stacks(self, seen: Look) -> list[str]:
        """The stacks of both families at the sizes that rows ask for; returns their names."""
        views = []
        for family, found in zip(("connection", "ejecta"), seen.found, strict=False):
            if not found.rows.empty:
                views += [self._stack(found, size_px, seen) for size_px in sizes_asked(self.source.table(family))]
        return views

    def _stack(self, found: Found, size_px: int, seen: Look) -> str:
        folder = self.data.stack(found.kind.area, found.kind.view(size_px))
        # Rows go into the stack as our grid has them, like those of prepare.
        placed = replace(found, rows=shifted(found.rows, seen.shift_px))
        inputs = {
            "files": found.marks,
            "size_px": size_px,
            "type": str(found.dtype),
            "shift": seen.shift_px,
            "tiles": mark(self.source.data.az_positions),
        }
        write = partial(self._write_stack, placed, folder, size_px, hash_of(inputs))
        self.work.step(f"stack {folder.name}", inputs, [Store(folder)], write)
        with Mosaic.open(self.data.mosaic) as mosaic:
            unlike = disagreements(found.kind, folder, size_px, mosaic, seen.craters)
        self.report.notes += [
            f"{found.kind.label}: {text}; evaluation and mapping look at the mosaic, so --resample may serve you better" for text in unlike
        ]
        return folder.name

    def _write_stack(self, found: Found, folder: Path, size_px: int, made_of: str) -> None:
        require_no(write_stack(found, self.source.data, folder, size_px, self.work, made_of))

    def _measure(self, seen: Look) -> None:
        """What prepare would measure: the bands' norm, annuli for the rows of EJMAP's table, and tiles to map that EJMAP has not made."""
        norm = ejmap_norm(seen)
        if norm:
            write = partial(write_json, self.data.img_norm, norm)
            self.work.step("norm", {"img_norm": norm, "mosaic": mark(self.data.mosaic), "rule": RULE}, [self.data.img_norm], write)
        else:
            self.work.norm()
        self.work.annuli(bounds_asked(self.source.table("ejecta")))
        self.work.evaluation_tiles()

    # --- results and configs ------------------------------------------------------------------------------------------------

    def _bring_results(self, seen: Look) -> None:
        results = Results(self.source, self.work, seen.shift_px, self.options.trust)
        results.bring()
        self.report.brought |= results.brought
        self.report.notes += results.notes
        self.report.refused = results.refused

    def _bring_configs(self, seen: Look) -> None:
        path = self.config.source
        assert path is not None, "a config that was read has a file"
        known = read_json(self.data.prepared, {})["import"].get("tables", {})
        self._record(complete=True, tables=bring_tables(self.source, path.parent, known, self.report.notes))
        results = {family: list(self.source.versions("results", get_family(family).short)) for family in TABLES}
        folder = self._relative(path.parent)
        tiles = self.config.run.tiles.model_dump(mode="json", include={"eval_size_px"})
        known = {family: versions_of(self.source.table(family)) for family in TABLES}
        asked = wanted(self.source.folder / "code", known, results, [crater.fid for crater in seen.drawn])
        self.report.notes += asked.notes
        content = config_content(self.source, folder, self._relative(self.data.root), ejmap_norm(seen), tiles, results, asked)
        written = write_config(path, content, self.source)
        self.report.brought["config"] = self._relative(path) + ("" if written else " (kept)")


def ejmap_norm(seen: Look) -> dict[str, list[float]] | None:
    """EJMAP's fixed norm of the bands, which makes sense for 8-bit mosaics only."""
    offset, divisor = EJMAP_NORM
    return {"mean": [offset] * seen.bands, "std": [divisor] * seen.bands} if seen.byte_pixels else None
