"""Tiles on disk: one memory-mapped stack of images, one table of tiles with their splits, one of circles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import atomic_path, content_digest, fingerprint, read_json, stat_fingerprint, write_json, write_table
from ...core.seeds import seed_of
from ...craters.catalogue import read_catalogue
from ...geo.mosaic import Mosaic
from ...geo.sampling import sample_many_masked
from ...samples.grey import grey_mark, grey_range, mean_of_bands
from ...samples.splits import held_out_tiles
from ...samples.steps import Steps
from .. import family_data
from .layout import WIDEST_TILE_DEG, boxes, circles_on, degree_m, extent, square
from .options import CraterData
from .sources import Tile, box_tiles, circle_tiles, dots_tiles

if TYPE_CHECKING:
    from ...config import Config
    from ...geo.bodies import Body

FAMILY = "crater_unet"
BYTES = (0.0, 255.0)


class TileSet:
    """What prepare leaves: ``image`` (N, H, W), and by name the columns of ``tiles`` and ``circles`` (tile, x, y, radius)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.meta = read_json(folder / "meta.json")
        if self.meta is None:
            raise InputError(f"{folder} holds no tiles", next_step="run 'cratermill prepare CONFIG'")
        self.image = np.load(folder / "image.npy", mmap_mode="r")
        self.tiles = pd.read_csv(folder / "tiles.csv")
        table = pd.read_csv(folder / "circles.csv")
        order = np.argsort(table["tile"].to_numpy(), kind="stable")
        starts = np.searchsorted(table["tile"].to_numpy()[order], np.arange(len(self.tiles) + 1))
        circles = table[["x", "y", "radius"]].to_numpy(float)[order]
        self.circles = [circles[first:last] for first, last in zip(starts[:-1], starts[1:], strict=True)]

    @property
    def norm(self) -> np.ndarray:
        """Offset and divisor (2, 1) that scale the images to −1…1."""
        low, high = self.meta["range"]
        return np.array([[(low + high) / 2], [(high - low) / 2]])

    def split(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the tiles to train and validate with, and of those to test on."""
        column = f"test_{number}"
        if column not in self.tiles:
            count = sum(str(name).startswith("test_") for name in self.tiles)
            raise InputError(f"split {number}", valid=f"0 to {count - 1}", next_step="raise splits.count in the config and prepare again")
        test = self.tiles[column].to_numpy() == 1
        return np.flatnonzero(~test), np.flatnonzero(test)


def folder_of(config: Config, data: str) -> Path:
    return config.data.family(FAMILY) / data


def prepare(config: Config, rows: list, progress, workers: int) -> dict:
    steps = Steps(config, progress, workers)
    options: CraterData = family_data(config, FAMILY)
    for data in sorted({row.data for row in rows}):
        folder = folder_of(config, data)
        outputs = [folder / name for name in ("image.npy", "tiles.csv", "circles.csv", "meta.json")]
        steps.step(f"{FAMILY} {data}", inputs(config, options, data), outputs, lambda d=data, f=folder: _make(config, options, d, f, steps))
    return {"made": steps.made}


def inputs(config: Config, options: CraterData, data: str) -> Any:
    """What the tiles are made from, as plain values."""
    common = [config.run.seed, config.run.splits.model_dump(mode="json")]
    if data == "dots":
        return [*common, options.dots.model_dump(mode="json")]
    given = options.model_dump(mode="json", exclude={"dots"})
    files = {"mosaic": [config.mosaic], "boxes": [], "circles": [*map(config.path, options.images), *map(config.path, options.tables)]}[
        options.kind
    ]
    if options.kind == "mosaic" and options.catalogue:
        files.append(config.path(options.catalogue))
    if options.kind == "boxes":
        path = config.path(options.path)
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    grey = grey_mark(config.mosaic) if options.kind == "mosaic" and config.mosaic.exists() else []
    return [*common, *grey, given, [[file.name, stat_fingerprint(file)] if file.exists() else [file.name] for file in files]]


def _make(config: Config, options: CraterData, data: str, folder: Path, steps: Steps) -> None:
    if data == "dots":
        tiles, span = list(dots_tiles(options.dots, seed_of(config.run.seed, "dots") % 2**31)), BYTES
    elif options.kind == "mosaic":
        tiles, span = _mosaic_tiles(config, options, steps)
    else:
        tiles = list(
            box_tiles(config.path(options.path), options)
            if options.kind == "boxes"
            else circle_tiles([config.path(name) for name in options.images], [config.path(name) for name in options.tables], options)
        )
        span = None
    if not any(len(tile.circles) for tile in tiles):
        raise InputError(
            f"none of the {len(tiles)} tiles holds a crater of the list",
            valid="tiles with craters",
            next_step="check that list and images belong together: body, longitudes, units",
        )
    write_tiles(folder, tiles, options.missing if data != "dots" else None, span, _by_place(options, data), config)


def _by_place(options: CraterData, data: str) -> bool:
    return data != "dots" and options.split_by == "longitude"


def _mosaic_tiles(config: Config, options: CraterData, steps: Steps) -> tuple[list[Tile], tuple[float, float]]:
    if not options.catalogue:
        raise InputError("train.crater_unet.data names no catalogue", next_step="add catalogue: a crater list of the mosaic's body")
    with Mosaic.open(config.mosaic) as mosaic:
        body, resolution = mosaic.grid.body, options.resolution_m or mosaic.grid.resolution_m
        _require_narrow(body, options.tile_px, resolution)
        craters = read_catalogue(
            config.path(options.catalogue), body, units=options.units, layer=options.layer, pixel_m=mosaic.grid.resolution_m
        )
        grey = grey_range(mosaic, config.data.statistics)
        span = (grey.low, grey.high)
        places = [box.centre for box in boxes(body, extent(mosaic.grid, options.latitudes), options.tile_px * resolution)]
        grids = [square(body, *place, resolution, options.tile_px) for place in places]

        def cut(chunk: list) -> list[np.ndarray]:
            return list(mean_of_bands(*sample_many_masked(mosaic, chunk, threads=1)))

        chunks = [grids[at : at + 16] for at in range(0, len(grids), 16)]
        images = [image for part in steps.each("tiles", chunks, cut) for image in part]
    tiles = []
    for number, (grid, image, (lon, lat)) in enumerate(zip(grids, images, places, strict=True)):
        # A tile without data teaches nothing.
        if is_missing(image, options.missing).mean() < 0.9:
            tiles.append(Tile(f"tile-{number}", image, circles_on(grid, craters)[:, :3], lon, resolution, {"lon": lon, "lat": lat}))
    return tiles, span


def _require_narrow(body: Body, tile_px: int, resolution_m: float) -> None:
    widest = int(WIDEST_TILE_DEG * degree_m(body) / resolution_m)
    if tile_px > widest:
        raise InputError(
            f"tiles of {tile_px} px are {tile_px * resolution_m / degree_m(body):.0f}° wide: craters near their edges would not be round",
            valid=f"at most {widest} px of {resolution_m:.5g} m ({WIDEST_TILE_DEG:g}°)",
            next_step="lower tile_px in train.crater_unet.data, or resolution_m",
        )


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


def write_tiles(
    folder: Path, tiles: list[Tile], missing: float | None, span: tuple[float, float] | None, by_place: bool, config: Config
) -> None:
    """The three files and ``meta.json``; missing pixels become their tile's mean here, once."""
    shapes = {tile.image.shape for tile in tiles}
    if len(shapes) > 1:
        given = ", ".join(f"{height} × {width}" for height, width in sorted(shapes)[:4])
        raise InputError(f"the tiles have several sizes: {given}", valid="images of one size", next_step="cut or resample them")
    images = np.stack([filled(tile.image, missing) for tile in tiles])
    if span == BYTES or all(tile.image.dtype == np.uint8 for tile in tiles):
        images, span = np.rint(images).astype(np.uint8), BYTES
    table = pd.DataFrame(
        [
            {"tile": n, "name": t.name, "place": t.place, "resolution_m": t.resolution_m, "craters": len(t.circles), **t.extra}
            for n, t in enumerate(tiles)
        ]
    )
    splits = config.run.splits
    for number in range(splits.count):
        seed = seed_of(config.run.seed, FAMILY, "split", number)
        table[f"test_{number}"] = held_out_tiles(table, splits.test_fraction, seed, by_place, number / splits.count).astype(int)
    circles = [np.column_stack([np.full(len(t.circles), n), t.circles]) for n, t in enumerate(tiles)]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "image.npy") as temporary, temporary.open("wb") as file:
        np.save(file, images)
    write_table(folder / "circles.csv", pd.DataFrame(np.concatenate(circles), columns=["tile", "x", "y", "radius"]).astype({"tile": int}))
    write_table(folder / "tiles.csv", table)
    span = span or (float(np.min(images)), float(np.max(images)) or 1.0)
    digest = fingerprint([content_digest(folder / name) for name in ("image.npy", "circles.csv", "tiles.csv")])
    write_json(folder / "meta.json", {"range": list(span), "digest": digest, "by_place": by_place})
