"""From mosaic, craters, masks and drawn tiles to tile tables, splits and sample stacks; redoes only what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.delimited import read_frame
from ...core.errors import InputError
from ...core.files import content_digest, read_json, write_json, write_table
from ...core.progress import Progress
from ...geo.band_statistics import RULE
from ...geo.layers import open_mosaic
from ...geo.mosaic import Mosaic, require_body
from ...samples.hold_outs import region_marks
from ...samples.inputs import mark, mosaic_mark
from ...samples.splits import split_classes
from ...samples.steps import Steps, hash_of
from ...samples.store import Make, Piece, Spec, Store, adopt, write_store
from . import tile_images as views
from .craters import Crater, read_craters
from .mask_warnings import mask_warnings
from .splits import add_splits, meeting
from .tile_positions import (
    POSITION_COLUMNS,
    ejecta_pixels,
    eval_positions,
    read_positions,
    require_on_mosaic,
    training_positions,
    window_of,
)

if TYPE_CHECKING:
    from ...config import Config


class Preparation(Steps):
    """Prepares one data folder in EJMAP's layout step by step."""

    def __init__(self, config: Config, progress: Progress = lambda *_: None, workers: int = 1, check: str | None = None):
        super().__init__(config, progress, workers, check)
        self._open = ExitStack()

    @classmethod
    def within(cls, work: Steps) -> Preparation:
        """The same work on data of this kind."""
        return cls(work.config, work.progress, work.workers, work.check)

    def __enter__(self) -> Preparation:
        if self.config.run.mosaic and not self.config.mosaic.exists():
            raise InputError(
                f"mosaic is {self.config.run.mosaic}, but there is no {self.config.mosaic}", next_step="correct mosaic in the config"
            )
        self.data.require(self.config.mosaic, "the mosaic")
        self.data.require(self.data.craters, "the crater list")
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def mosaic(self) -> Mosaic:
        mosaic = self._open.enter_context(open_mosaic(self.config.mosaic, self.config.bands))
        if self.config.run.body:
            require_body(mosaic, self.config.run.body)
        return mosaic

    @cached_property
    def craters(self) -> list[Crater]:
        craters = read_craters(self.data.craters, self.mosaic, self.config.run.crater_list)
        if not craters:
            raise InputError(f"{self.data.craters} lists no craters", next_step="give at least one crater")
        return craters

    @cached_property
    def imported(self) -> bool:
        """Whether the tile tables came with the data (import-ejmap) and are not ours to make."""
        return bool(read_json(self.data.prepared, {}).get("imported"))

    @property
    def imported_views(self) -> list[str]:
        """Names of the stacks that were filled with imported tiles; all others are sampled from the mosaic."""
        return read_json(self.data.prepared, {}).get("import", {}).get("views", [])

    def warnings(self) -> list[str]:
        """What is odd about the drawn masks."""
        return mask_warnings(self.data, self.craters, read_table(self.data.az_positions))

    # --- steps -----------------------------------------------------------------------------------------------------

    @cached_property
    def _mosaic_mark(self) -> str:
        return mosaic_mark(self.config)

    def positions(self) -> pd.DataFrame:
        """``az_positions_all.csv`` and one table per train crater."""
        if self.imported:
            table = read_table(self.data.az_positions)
            require_columns(table, self.data.az_positions)
            if self.config.run.splits.hold_out or self.config.run.splits.drawn_tiles:
                given = f"{self.data.az_positions} was imported with its own splits, and splits asks for others"
                raise InputError(given, next_step="leave out splits.hold_out and splits.drawn_tiles, or add columns test_N to that table")
            return table
        drawn = [crater for crater in self.craters if crater.train]
        if not drawn:
            raise InputError(
                f"no crater in {self.data.craters} has train = 1", next_step="set train = 1 for the craters whose ejecta were drawn"
            )
        self.each("tile positions", drawn, self._positions_of)
        run, half = self.config.run, self.mosaic.grid.body.half_circumference_m
        inputs = {
            "positions": [self.mark_of(f"positions {crater.fid}") for crater in drawn],
            "splits": run.splits.model_dump(mode="json"),
            "seed": run.seed,
            "tiles": run.tiles.max_distance_fraction,
            "body": half,
            **region_marks(run.splits, self.config.path),
        }
        self.step("splits", inputs, [self.data.az_positions], lambda: self._write_splits(drawn, run.tiles.max_distance_fraction * half))
        return read_table(self.data.az_positions)

    def _positions_of(self, crater: Crater) -> None:
        mask, tiles = self.data.mask(crater.fid), self._tiles_of(crater)
        undrawn = f"draw them (cratermill label start CONFIG), set train of crater {crater.fid} to 0 in the crater list, "
        self.data.require(mask, f"the ejecta mask of crater {crater.fid}", undrawn)
        joint = self.data.human_mask if self.data.human_mask.exists() else mask
        output = self.data.az_positions_of(crater.fid)
        inputs = {
            "mosaic": self._mosaic_mark,
            "crater": vars_of(crater),
            "tiles": self._reach_m(crater),
            "ejecta mask": mark(mask),
            "drawn tiles": mark(tiles),
            "joint mask": mark(joint),
        }

        def work() -> None:
            with Mosaic.open(mask, labels=True) as own, Mosaic.open(joint, labels=True) as every:
                self.mosaic.grid.window_of(own.grid, f"the mask {mask}")
                drawn = read_positions(tiles)
                require_on_mosaic(drawn, self.mosaic.grid, tiles)
                table = training_positions(crater, self.mosaic.grid, own, every, drawn, self.config.run.tiles)
            write_table(output, table)

        self.step(f"positions {crater.fid}", inputs, [output], work)

    def _reach_m(self, crater: Crater) -> float:
        return self.config.run.tiles.max_distance_m(crater.fid, self.mosaic.grid.body.half_circumference_m)

    def _tiles_of(self, crater: Crater) -> Path:
        """The tiles drawn for this crater, or the list of all drawn tiles where there is none of its own."""
        own = self.data.positions(crater.fid)
        drawing = "draw some tiles (cratermill label start CONFIG), "
        return (
            own
            if own.exists()
            else self.data.require(self.data.human_positions, f"the list of drawn tiles of crater {crater.fid}", drawing)
        )

    def _write_splits(self, drawn: list[Crater], max_distance_m: float) -> None:
        table = pd.concat([read_table(self.data.az_positions_of(crater.fid)) for crater in drawn], ignore_index=True)
        if table.empty:
            raise InputError(
                "no drawn tile lies within reach of its crater", next_step="check the positions and tiles.max_distance_fraction"
            )
        run = self.config.run
        table["split_class"] = split_classes(table["num_1"].to_numpy(), table["distance"].to_numpy(), max_distance_m)
        add_splits(table, run.splits, run.seed, partial(self._meeting, drawn, table))
        write_table(self.data.az_positions, table)

    def _meeting(self, drawn: list[Crater], table: pd.DataFrame, regions: str) -> tuple[np.ndarray, np.ndarray]:
        """Which pairs of a table lie in a file of regions, and which touch one."""
        tiles = pd.concat([read_positions(self._tiles_of(crater)).assign(crat_FID=crater.fid) for crater in drawn])
        pairs = table[["crat_FID", "pos_index"]].merge(tiles, on=["crat_FID", "pos_index"], how="left")
        places = pairs[["x", "y", "height", "width"]]
        unique, which = np.unique(places.to_numpy(int), axis=0, return_inverse=True)
        inside, near = meeting(self.config.path(regions), self.mosaic.grid, pd.DataFrame(unique, columns=list(places)))
        return inside[which.ravel()], near[which.ravel()]

    def evaluation_tiles(self) -> None:
        """``eval_positions_crater_{FID}.csv`` of every crater, drawn or not."""
        self.each("tiles to map", self.craters, self._eval_of)

    def _eval_of(self, crater: Crater) -> None:
        output = self.data.eval_positions(crater.fid)
        if self.imported and output.exists() and f"eval {crater.fid}" not in self.done:
            return  # it came with the data
        tiles = self._tiles_of(crater) if crater.train else None
        grid, config = self.mosaic.grid, self.config.run.tiles
        inputs = {
            "mosaic": self._mosaic_mark,
            "crater": vars_of(crater),
            "tiles": {"eval_size_px": config.eval_size_px, "eval_step": config.eval_step, "reach_m": self._reach_m(crater)},
            "drawn tiles": tiles and mark(tiles),
        }
        self.step(
            f"eval {crater.fid}",
            inputs,
            [output],
            lambda: write_table(output, eval_positions(crater, grid, read_positions(tiles) if tiles else None, config)),
        )

    def norm(self) -> None:
        """The bands' offsets and divisors for rows without ``norm_from_train``: the config's, else the mosaic's mean and deviation."""
        given = self.config.run.img_norm.model_dump() if self.config.run.img_norm else None
        if self.imported and given is None and self.data.img_norm.exists():
            return  # EJMAP's own
        self.step(
            "norm", {"img_norm": given, "mosaic": self._mosaic_mark, "rule": RULE}, [self.data.img_norm], lambda: self._write_norm(given)
        )

    def _write_norm(self, given: dict[str, list[float]] | None) -> None:
        mean, std = (given["mean"], given["std"]) if given else self.mosaic.statistics(self.data.statistics)[:2]
        if len(mean) != self.mosaic.count or len(std) != self.mosaic.count:
            raise InputError(
                f"img_norm has {len(mean)} means and {len(std)} deviations", valid=f"one per band: the mosaic has {self.mosaic.count}"
            )
        write_json(self.data.img_norm, {"mean": [float(value) for value in mean], "std": [float(value) or 1.0 for value in std]})

    @property
    def _table_mark(self) -> str | None:
        """What ``az_positions_all.csv`` was made of; of an imported one its content."""
        return content_digest(self.data.az_positions) if self.imported else self.mark_of("splits")

    def connection_stack(self, layout: str, size_px: int, view_radii: float) -> None:
        """All training pairs in one layout and size."""
        store = Store(self.data.stack("conn_data", pair_view(layout, size_px, view_radii)))
        if store.folder.name in self.imported_views:
            self._adopt(store)
            return
        view = {"layout": layout, "size_px": size_px, "view_radii": view_radii}
        self._sampled(store, view, lambda given: self._write_pairs(store, given, layout, size_px, view_radii))

    def _sampled(self, store: Store, view: dict[str, Any], write: Callable[[dict[str, Any]], Any]) -> None:
        given = {"positions": self._table_mark, "mosaic": self._mosaic_mark, **view}
        if self.mosaic.dtype != np.uint8:
            given |= {"missing pixels": "mean of the band"}
        self.step(f"stack {store.folder.name}", given, [store], lambda: write(given))

    def _adopt(self, store: Store) -> None:
        """Imported tiles, which nobody can make again, are checked; those that an earlier version brought get their record."""
        fault = None if self.check is None and adopt(store) else store.fault()
        if fault:
            raise InputError(fault, next_step="run 'cratermill import-ejmap' again")

    def _write_pairs(self, store: Store, given: Any, layout: str, size_px: int, view_radii: float) -> None:
        shape, by_fid = (size_px // 2, size_px), {crater.fid: crater for crater in self.craters}
        bare = read_json(self.data.img_norm)["mean"]
        arrays = {"image": Spec((self.mosaic.count, *shape), self.mosaic.dtype), "attention": Spec(shape, np.dtype(np.uint8))}

        def make(rows: pd.DataFrame) -> Piece:
            filled = empty(arrays, len(rows))
            for fid, at in positions_by(rows["crat_FID"]):
                images = views.pair_images(self.mosaic, by_fid[fid], rows.iloc[at], layout, size_px, view_radii, bare)
                filled["image"][at], filled["attention"][at] = images
            return Piece(rows, filled)

        self._write(store, given, read_table(self.data.az_positions), arrays, make, f"{layout} samples")

    def ejecta_stack(self, size_px: int) -> None:
        """The training tiles with ejecta, and their masks, at one size."""
        store = Store(self.data.stack("ejc_data", square_view(size_px)))
        if store.folder.name in self.imported_views:
            self._adopt(store)
            return
        masks = [mark(self.data.mask(crater.fid)) for crater in self.craters if crater.train and self.data.mask(crater.fid).exists()]
        self._sampled(store, {"size_px": size_px, "ejecta masks": masks}, lambda given: self._write_squares(store, given, size_px))

    def _write_squares(self, store: Store, given: Any, size_px: int) -> None:
        table, by_fid = read_table(self.data.az_positions), {crater.fid: crater for crater in self.craters}
        square = (size_px, size_px)
        bare = read_json(self.data.img_norm)["mean"]
        arrays = {"image": Spec((self.mosaic.count, *square), self.mosaic.dtype), "mask": Spec(square, np.dtype(np.uint8))}

        def make(rows: pd.DataFrame) -> Piece:
            filled = empty(arrays, len(rows))
            for fid, at in positions_by(rows["crat_FID"]):
                grid = by_fid[fid].grid(self.mosaic.grid)
                filled["image"][at] = views.square_images(self.mosaic, grid, rows.iloc[at], size_px, bare)
                with Mosaic.open(self.data.mask(fid), labels=True) as drawn:
                    for number, row in zip(at, rows.iloc[at].itertuples(), strict=True):
                        filled["mask"][number] = mask_tile(drawn, grid.window(window_of(row)).resized(square))
            return Piece(rows, filled)

        self._write(store, given, table[table["num_1"] > 0].reset_index(drop=True), arrays, make, "ejecta samples")

    def _write(self, store: Store, given: Any, table: pd.DataFrame, arrays: dict[str, Spec], make: Make, label: str) -> None:
        unknown = sorted(set(table["crat_FID"]) - {crater.fid for crater in self.craters})
        if unknown:
            raise InputError(
                f"{self.data.az_positions} has tiles of the craters {unknown[:5]}, which {self.data.craters} doesn't list",
                next_step="correct one of the two files",
            )
        tell = partial(self.progress, label)
        write_store(store.folder, hash_of(given), table, arrays, make, tell=tell, workers=self.workers)

    def annuli(self, bounds: list[tuple[float, float]]) -> None:
        """Mean band values around every drawn crater, for each pair of ``buffer_bounds`` that a row asks for."""
        pairs = {(float(inner), float(outer)) for inner, outer in bounds}
        if self.data.annuli.exists():
            # Rows prepared earlier keep theirs.
            pairs |= {(inner, outer) for inner, outer in read_table(self.data.annuli)[["inner", "outer"]].to_numpy().tolist()}
        if not pairs:
            return
        wanted = sorted(pairs)
        drawn = [crater for crater in self.craters if crater.train]
        inputs = {"buffer_bounds": wanted, "craters": [vars_of(crater) for crater in drawn], "mosaic": self._mosaic_mark}

        def work() -> None:
            jobs = [(crater, pair) for crater in drawn for pair in wanted]
            means = self.each("annuli", jobs, lambda job: views.annulus_mean(self.mosaic, *job))
            rows = [[crater.fid, *pair, *mean] for (crater, pair), mean in zip(jobs, means, strict=True)]
            names = [f"mean_{band}" for band in range(self.mosaic.count)]
            write_table(self.data.annuli, pd.DataFrame(rows, columns=["crat_FID", "inner", "outer", *names]))

        self.step("annuli", inputs, [self.data.annuli], work)


def empty(arrays: dict[str, Spec], count: int) -> dict[str, np.ndarray]:
    return {name: np.empty((count, *spec.shape), spec.dtype) for name, spec in arrays.items()}


def positions_by(column: pd.Series) -> Iterator[tuple[int, np.ndarray]]:
    """Each value of a column, in order of appearance, and where it stands."""
    values = column.to_numpy()
    for value in dict.fromkeys(values.tolist()):
        yield value, np.flatnonzero(values == value)


def pair_view(layout: str, size_px: int, view_radii: float) -> str:
    return f"{layout}_{size_px // 2}x{size_px}_{view_radii:g}r" if layout == "pair" else f"{layout}_{size_px // 2}x{size_px}"


def square_view(size_px: int) -> str:
    return f"tiles_{size_px}px"


def vars_of(crater: Crater) -> list:
    return [crater.fid, crater.lon, crater.lat, crater.radius_m, crater.train]


def read_table(path: Path) -> pd.DataFrame:
    return read_frame(path, next_step="run 'cratermill prepare CONFIG'")


def mask_tile(mask: Mosaic, grid) -> np.ndarray:
    """A 0/1 mask on a tile's grid, each pixel as the ground at its centre."""
    return ejecta_pixels(mask, grid).astype(np.uint8)


def require_columns(table: pd.DataFrame, path: Path) -> None:
    missing = [column for column in (*POSITION_COLUMNS, "split_class") if column not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {missing}", valid=", ".join((*POSITION_COLUMNS, "split_class", "test_0, …")))
