"""Tiles on disk: one memory-mapped stack of images, one table of tiles with their splits, one of circles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import write_table
from ...core.frames import rows_of
from ...core.seeds import seed_of
from ...craters.catalogue import read_catalogue
from ...geo.layers import open_mosaic
from ...geo.sampling import sample_many_masked
from ...samples.grey import SIDES, grey_mark, grey_range, mean_of_bands
from ...samples.hold_outs import TEST, TV, VALIDATES, Squares, Ways, by_name, held_out, region_marks
from ...samples.inputs import mark, mosaic_mark
from ...samples.shared_ground import SIDE, ground_groups, thumbnails
from ...samples.splits import held_out_tiles
from ...samples.steps import Steps, hash_of
from ...samples.store import Piece, Spec, Store, write_store
from .. import family_data
from .ground_tiles import WIDEST_TILE_DEG, boxes, circles_on, degree_m, extent, square
from .options import CraterData
from .sources import Images, Tile, box_tiles, circle_tiles
from .synthetic import dots_tile

if TYPE_CHECKING:
    from ...config import Config
    from ...geo.bodies import Body
    from ...geo.mosaic import Mosaic

SPLITS = "crater_unet"
"""Splits are drawn by this name for every family, so that all hold out the same tiles."""
BYTES = (0.0, 255.0)
READ_TOGETHER = 16


class TileSet:
    """What prepare leaves: ``image`` (N, H, W), or (N, C, H, W) where the bands are of several rasters; the table ``tiles``, and by tile
    ``circles`` (M, 3): x, y and radius in pixels."""

    def __init__(self, folder: Path):
        self.store = Store(folder)
        self.image, self.meta = self.store.array("image"), self.store.facts()
        table = self.store.rows()
        self.circles = [np.reshape(circles, (-1, 3)).astype(float) for circles in table.pop("circles")]
        self.tiles = table

    @property
    def spans(self) -> list[tuple[float, float]]:
        """What becomes −1 and 1, of each channel."""
        return [(low, high) for low, high in self.meta.get("ranges", [self.meta.get("range")])]

    @property
    def norm(self) -> np.ndarray:
        """Offsets and divisors (2, C) that scale the images to −1…1."""
        return np.array([((low + high) / 2, (high - low) / 2) for low, high in self.spans]).T

    @property
    def lit(self) -> list[bool]:
        """Which channels would look different in another light."""
        return [kind in ("own", "hillshade") for kind in self.meta.get("kinds", ["own"])]

    def channels(self, row: int) -> np.ndarray:
        """One tile (C, H, W) float32."""
        image = np.asarray(self.image[row], np.float32)
        return image if image.ndim == 3 else image[None]

    def split(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of the tiles to train and validate with, of those named to validate with, if any, and of those to test on."""
        column = f"test_{number}"
        if column not in self.tiles:
            count = sum(str(name).startswith("test_") for name in self.tiles)
            raise InputError(
                f"split {number}",
                valid=f"0 to {count - 1}",
                next_step="raise splits.count in the config, or add to splits.hold_out, and prepare again",
            )
        side = self.tiles[column].to_numpy()
        return np.flatnonzero(side == TV), np.flatnonzero(side == VALIDATES), np.flatnonzero(side == TEST)


def folder_of(config: Config, family: str, data: str) -> Path:
    return config.data.family(family) / data


def make_data(config: Config, family: str, rows: list[Any], steps: Steps, by_band: bool) -> dict[str, Any]:
    """``by_band``: bands of several rasters are channels of their own; other families look at grey pictures alone."""
    options: CraterData = family_data(config, family)
    for data in sorted({row.data for row in rows}):
        given, store = inputs(config, options, data), Store(folder_of(config, family, data))
        make = partial(_make, config, options, data, store.folder, steps, hash_of(given), by_band)
        steps.step(f"{family} {data}", given, [store], make)
    return {"made": steps.made}


def inputs(config: Config, options: CraterData, data: str) -> dict[str, Any]:
    """What the tiles are made from, as plain values."""
    common = {"seed": config.run.seed, "splits": config.run.splits.model_dump(mode="json"), **region_marks(config.run.splits, config.path)}
    if data == "dots":
        return common | {"dots": options.dots.model_dump(mode="json")}
    given = common | options.model_dump(mode="json", exclude={"dots", "catalogue", "path", "images", "tables"})
    if options.kind == "mosaic":
        # A list that isn't named is a fault of its own, which making the tiles says.
        lists = {"catalogue": mark(config.path(options.catalogue))} if options.catalogue else {}
        mosaic = config.data.require(config.mosaic, "the mosaic")
        return given | {"mosaic": mosaic_mark(config), "grey": grey_mark(mosaic, config.bands)} | lists
    if options.kind == "boxes":
        return given | {"path": mark(config.path(options.path or ""))}
    return given | {name: [mark(config.path(path)) for path in getattr(options, name)] for name in ("images", "tables")}


def _make(config: Config, options: CraterData, data: str, folder: Path, steps: Steps, made_of: str, by_band: bool) -> None:
    splits = Splits(config, data != "dots" and options.split_by == "longitude")
    tell = partial(steps.progress, "tiles")
    if data == "dots":
        dots, seed = options.dots, seed_of(config.run.seed, "dots") % 2**31
        numbers = pd.DataFrame({"number": np.arange(dots.tiles)})

        spec = Spec((dots.tile_px, dots.tile_px), np.dtype(np.uint8))

        def draw(rows: pd.DataFrame) -> Piece:
            tiles = [Tile(f"dots-{number}", *dots_tile(dots.tile_px, seed + number)) for number in rows["number"].tolist()]
            return _piece(tiles, None, spec)

        finish = splits.with_facts(lambda _: {"range": list(BYTES)})
        write_store(folder, made_of, numbers, {"image": spec}, draw, finish=finish, tell=tell, workers=steps.workers)
    elif options.kind == "mosaic":
        _mosaic_tiles(config, options, folder, steps, made_of, splits, by_band)
    else:
        images = (
            box_tiles(config.path(options.path or ""), options)
            if options.kind == "boxes"
            else circle_tiles([config.path(name) for name in options.images], [config.path(name) for name in options.tables], options)
        )
        _given_tiles(images, options.missing, folder, steps, made_of, replace(splits, overlapping=options.kind == "boxes"))
    _write_tables(folder)


def _write_tables(folder: Path) -> None:
    """``tiles.csv`` and ``circles.csv`` (tile, x, y, radius in pixels), to look at; nothing here reads them."""
    made = TileSet(folder)
    numbered = [np.column_stack([np.full(len(circles), number), circles]) for number, circles in enumerate(made.circles)]
    table = pd.DataFrame(np.concatenate(numbered), columns=["tile", "x", "y", "radius"]).astype({"tile": int})
    write_table(folder / "circles.csv", table)
    write_table(folder / "tiles.csv", made.tiles)


@dataclass(frozen=True)
class Splits:
    """Which tiles are held out in each TV-Test split.

    ``overlapping``: nobody knows where the tiles were cut, so those that show the same ground are looked for, and held out together.
    """

    config: Config
    by_place: bool
    overlapping: bool = False
    body: Body | None = None
    craters: pd.DataFrame | None = None

    def ways(self, table: pd.DataFrame, side_px: int) -> Ways:
        """Tiles are found by their names, those of a mosaic by craters and regions, too."""
        named = by_name(table["name"], "tile")
        if self.body is None or self.craters is None:
            return Ways("tile", names=named, validates=True)
        places = (table[name].to_numpy(float) for name in ("lon", "lat", "resolution_m"))
        lon, lat, pixel_m = places
        squares = Squares(self.body, lon, lat, pixel_m * side_px / 2)
        return Ways(
            "tile", partial(squares.with_craters, self.craters), lambda path: squares.in_regions(self.config.path(path)), named, True
        )

    def with_facts(
        self, facts: Callable[[pd.DataFrame], dict[str, Any]], side_px: int = 0
    ) -> Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[str, Any]]]:
        """Rows with a column per split, and facts of them; refuses tiles of which none holds a crater."""

        def finish(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
            if not table["craters"].any():
                raise InputError(
                    f"none of the {len(table)} tiles holds a crater of the list",
                    valid="tiles with craters",
                    next_step="check that list and images belong together: body, longitudes, units",
                )
            splits, table = self.config.run.splits, table.assign(tile=np.arange(len(table)))
            found = facts(table)
            for number in range(splits.count):
                seed = seed_of(self.config.run.seed, SPLITS, "split", number)
                turn = number / splits.count
                table[f"test_{number}"] = held_out_tiles(table, splits.test_fraction, seed, self.by_place, turn).astype(int)
            groups = table["ground" if "ground" in table else "tile"].to_numpy()
            for number, one in enumerate(splits.hold_out, splits.count):
                table[f"test_{number}"] = held_out(one, self.ways(table, side_px), groups)
            return table, found | {"by_place": self.by_place}

        return finish


def _piece(tiles: list[Tile], missing: float | None, spec: Spec) -> Piece:
    """Tiles as they are stored; missing pixels become their tile's mean here, once."""
    images = [filled(tile.image, missing) for tile in tiles]
    table = pd.DataFrame(
        {
            "name": [tile.name for tile in tiles],
            "place": np.array([tile.place for tile in tiles], float),
            "resolution_m": np.array([tile.resolution_m for tile in tiles], float),
            "craters": np.array([len(tile.circles) for tile in tiles], int),
            "circles": [np.asarray(tile.circles, float).ravel() for tile in tiles],
        }
    )
    for name in tiles[0].extra if tiles else ():
        table[name] = [tile.extra[name] for tile in tiles]
    stack = np.stack(images) if images else np.zeros((0, *spec.shape), np.float32)
    return Piece(table, {"image": np.rint(stack).astype(np.uint8) if spec.dtype == np.uint8 else stack})


def _given_tiles(images: Images, missing: float | None, folder: Path, steps: Steps, made_of: str, splits: Splits) -> None:
    """Tiles that come as images."""
    if len(images.shapes) > 1:
        given = ", ".join(f"{height} × {width}" for height, width in sorted(images.shapes)[:4])
        raise InputError(f"the tiles have several sizes: {given}", valid="images of one size", next_step="cut or resample them")
    spec = Spec(next(iter(images.shapes)), np.dtype(np.uint8 if images.is_bytes else np.float32))

    def make(rows: pd.DataFrame) -> Piece:
        piece = _piece(images.read(rows), missing, spec)
        ends = {name: end(piece.arrays["image"], axis=(1, 2)).astype(float) for name, end in (("low", np.min), ("high", np.max))}
        rows = piece.rows.assign(**ends)
        if splits.overlapping:
            rows["thumbnail"] = pd.Series(list(thumbnails(piece.arrays["image"]).reshape(len(rows), -1)), index=rows.index)
        return Piece(rows, piece.arrays)

    def finish(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
        span = BYTES if images.is_bytes else (float(table["low"].min()), float(table["high"].max()) or 1.0)
        if splits.overlapping:
            table["ground"] = ground_groups(np.stack([np.reshape(one, (SIDE, SIDE)) for one in table.pop("thumbnail")]))
        return splits.with_facts(lambda _: {"range": list(span)})(table.drop(columns=["low", "high"]))

    tell = partial(steps.progress, "tiles")
    write_store(folder, made_of, images.rows, {"image": spec}, make, finish=finish, tell=tell, workers=steps.workers)


def _mosaic_tiles(config: Config, options: CraterData, folder: Path, steps: Steps, made_of: str, splits: Splits, by_band: bool) -> None:
    if not options.catalogue:
        raise InputError("train.<family>.data names no catalogue", next_step="add catalogue: a crater list of the mosaic's body")
    with open_mosaic(config.mosaic, config.bands) as mosaic:
        body, resolution = mosaic.grid.body, options.resolution_m or mosaic.grid.resolution_m
        _require_narrow(body, options.tile_px, resolution)
        craters = read_catalogue(config.path(options.catalogue), body, pixel_m=mosaic.grid.resolution_m, **options.told)
        by_band = by_band and mosaic.is_layered
        grey = None if by_band else grey_range(mosaic, config.data.statistics)
        span = (grey.low, grey.high) if grey else None
        places = [box.centre for box in boxes(body, extent(mosaic.grid, options.latitudes), options.tile_px * resolution)]

        def make(rows: pd.DataFrame) -> Piece:
            tiles = []
            for start in range(0, len(rows), READ_TOGETHER):
                part = rows.iloc[start : start + READ_TOGETHER]
                grids = [square(body, row.lon, row.lat, resolution, options.tile_px) for row in rows_of(part)]
                pixels, missing = sample_many_masked(mosaic, grids, threads=1)
                gaps = repeat(None) if missing is None else missing
                for row, grid, one, gap in zip(rows_of(part), grids, pixels, gaps, strict=False):
                    image, share = without_gaps(mosaic, one, gap, options.missing, by_band)
                    # A tile without data teaches nothing.
                    if share > 0.1:
                        extra, circles = {"lon": row.lon, "lat": row.lat}, circles_on(grid, craters)[:, :3]
                        if span is None:
                            extra |= {"means": image.mean((1, 2), dtype=float), "deviations": image.std((1, 2), dtype=float)}
                        tiles.append(Tile(f"tile-{row.Index}", image if span is None else image[0], circles, row.lon, resolution, extra))
            return _piece(tiles, None, spec)

        side, kinds = (options.tile_px, options.tile_px), list(mosaic.kinds)
        spec = Spec(side if span else (mosaic.count, *side), np.dtype(np.uint8 if span == BYTES else np.float32))
        table, arrays = pd.DataFrame(places, columns=["lon", "lat"]), {"image": spec}
        split = replace(splits, body=body, craters=craters).with_facts
        finish = split(lambda table: {"range": list(span)} if span else _facts_of_bands(table, kinds), options.tile_px)
        tell = partial(steps.progress, "tiles")
        write_store(folder, made_of, table, arrays, make, finish=finish, tell=tell, workers=steps.workers)


def _require_narrow(body: Body, tile_px: int, resolution_m: float) -> None:
    widest = int(WIDEST_TILE_DEG * degree_m(body) / resolution_m)
    if tile_px > widest:
        raise InputError(
            f"tiles of {tile_px} px are {tile_px * resolution_m / degree_m(body):.0f}° wide: craters near their edges would not be round",
            valid=f"at most {widest} px of {resolution_m:.5g} m ({WIDEST_TILE_DEG:g}°)",
            next_step="lower tile_px in train.<family>.data, or resolution_m",
        )


def _facts_of_bands(table: pd.DataFrame, kinds: list[str]) -> dict[str, Any]:
    """What each band shows, and its values that become −1 and 1: as many deviations around the mean of all tiles as grey pictures have."""
    means, variances = np.stack(table.pop("means").tolist()), np.stack(table.pop("deviations").tolist()) ** 2
    mean, deviation = means.mean(0), np.sqrt(variances.mean(0) + means.var(0))
    if not deviation.all():
        raise InputError(f"band {int(np.argmin(deviation)) + 1} is the same everywhere", next_step="leave it out of 'bands'")
    return {"ranges": np.stack([mean - SIDES * deviation, mean + SIDES * deviation], axis=1).tolist(), "kinds": kinds}


def without_gaps(
    mosaic: Mosaic, pixels: np.ndarray, missing: np.ndarray | None, value: float | None, by_band: bool = True
) -> tuple[np.ndarray, float]:
    """What networks see of pixels (C, h, w) as float32, and the share with data: grey (1, h, w), or ``by_band`` bands of several rasters.

    Gaps are filled with the mean of the rest, 0 where nothing is there. ``value``: that of the mosaic's own pixels without data. Of another
    raster's values (heights, as a rule) their mean here is taken away, since what a crater looks like doesn't hang on it.
    """
    if by_band and mosaic.is_layered:
        kinds, image = mosaic.kinds, pixels.astype(np.float32)
        if missing is not None:
            image[np.broadcast_to(missing, image.shape)] = np.nan
    else:
        kinds, image = ("made" if mosaic.is_layered else "own",), mean_of_bands(pixels, missing)[None]
    values = [value if kind == "own" else None for kind in kinds]
    gone = np.any([is_missing(band, one) for band, one in zip(image, values, strict=True)], axis=0)
    bands = [filled(band, one) for band, one in zip(image, values, strict=True)]
    return np.stack([band - band.mean() if kind == "values" else band for band, kind in zip(bands, kinds, strict=True)]), 1 - gone.mean()


def is_missing(image: np.ndarray, value: float | None) -> np.ndarray:
    missing = ~np.isfinite(image)
    return missing if value is None else missing | (image == value)


def filled(image: np.ndarray, missing: float | None) -> np.ndarray:
    """The image (h, w) float32 with the mean of the rest where pixels are missing; 0 where nothing is there."""
    gone = is_missing(image, missing)
    image = image.astype(np.float32)
    if gone.any():
        image[gone] = image[~gone].mean() if not gone.all() else 0.0
    return image
