"""The planet's rasters, each drawn block by block in threads and written as it comes: memory doesn't grow with the planet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..core.prefetch import prefetched
from ..geo.cog import write_cog
from ..geo.grid import Grid, Window, pixel_areas_m2
from .parameters import Parameters
from .pixels import Block, cut
from .planet_folder import PlanetFolder
from .render import Planet
from .training_tiles import Campaign, TileCounts, choose

Tick = Callable[[str], None]


@dataclass
class Painter:
    """Writes the rasters of one planet; ``tick(what)`` is called after each block."""

    planet: Planet
    grid: Grid
    folder: PlanetFolder
    pool: ThreadPoolExecutor
    block_px: tuple[int, int]
    tick: Tick
    ejecta_area: dict[int, float] = field(default_factory=dict)  # FID → m², all of it
    owned_area: dict[int, float] = field(default_factory=dict)  # FID → m², not covered by younger ejecta

    @property
    def tags(self) -> dict[str, object]:
        return {"synthetic_planet_seed": self.parameters.seed}

    @property
    def parameters(self) -> Parameters:
        return self.planet.parameters

    def mosaic(self) -> None:
        blocks = cut(self.parameters.shape, self.block_px)
        pixels = self._drawn(blocks, self.planet.image, "mosaic")
        write_cog(self.folder.mosaic, pixels, self.grid, resampling="average", tags=self.tags)

    def owner(self) -> None:
        # Whole numbers per row, so that the areas don't depend on the blocks in their last digit.
        pixels_in_row = np.zeros((self.parameters.shape[0], len(self.planet.fresh) + 1), np.int64)

        def pixels():
            for window, owner in self._drawn(cut(self.parameters.shape, self.block_px), self.planet.owner, "owner"):
                rows = pixels_in_row[window.row : window.row + window.height]
                flat = owner[0] + np.arange(len(rows))[:, None] * rows.shape[1]
                rows += np.bincount(flat.ravel(), minlength=rows.size).reshape(rows.shape)
                yield window, owner

        write_cog(self.folder.owner, pixels(), self.grid)
        owned = pixel_areas_m2(self.grid) @ pixels_in_row
        self.owned_area = {fid: float(area) for fid, area in enumerate(owned) if fid}

    def truth_masks(self) -> TileCounts:
        """All ejecta of each fresh crater, 1/0, on a window of the mosaic's grid; returns how much lies in which tile."""
        counts, areas = TileCounts(self.parameters), pixel_areas_m2(self.grid)
        for index, ejecta in enumerate(self.planet.fresh):
            fid, window = ejecta.crater.fid, _on_grid(self.planet.fresh_windows[index], self.parameters.shape)
            pixels_in_row = np.zeros(self.parameters.shape[0], np.int64)

            def pixels(index=index, fid=fid, window=window, pixels_in_row=pixels_in_row):
                blocks = _cut_window(window, self.block_px, self.parameters.shape)
                for part, mask in self._drawn(blocks, lambda block: self.planet.ejecta_of(index, block), "truth"):
                    counts.add(fid, part.row, part.col, mask[0])
                    pixels_in_row[part.row : part.row + part.height] += mask[0].sum(axis=1)
                    yield part, mask

            write_cog(self.folder.truth_mask(fid), pixels(), self.grid, window=window)
            self.ejecta_area[fid] = float(areas @ pixels_in_row)
        return counts

    def training(self, counts: TileCounts) -> Campaign:
        """Draw the training tiles and write the masks a mapper would have made inside them: per crater, and of anyone's ejecta."""
        campaign = choose(self.parameters, [ejecta.crater for ejecta in self.planet.fresh], counts)
        for index, ejecta in enumerate(self.planet.fresh):
            indices = campaign.listed.get(ejecta.crater.fid)
            if indices is not None and len(indices):
                tiles = campaign.tiles[indices]
                self._tiles_mask(self.folder.mask(ejecta.crater.fid), tiles, _bounds(tiles), partial(self.planet.ejecta_of, index))
        everything = Window(0, 0, *self.parameters.shape)
        self._tiles_mask(self.folder.human_mask, campaign.tiles, everything, lambda block: self.planet.owner(block) > 0)
        return campaign

    def _tiles_mask(self, path, tiles: np.ndarray, window: Window, inside: Callable[[Block], np.ndarray]) -> None:
        """``inside`` within the tiles, 0 elsewhere, one strip of rows after the other."""
        height = self.parameters.tile_shape[0]

        def strips():
            for top in range(window.row, window.row + window.height, height):
                rows = min(height, window.row + window.height - top)
                strip = np.zeros((1, rows, window.width), np.uint8)
                for x, y, tile_height, width in tiles[tiles[:, 1] == top]:
                    block = Block(int(y), int(x), int(tile_height), int(width), self.parameters.shape)
                    strip[0, :, x - window.col : x - window.col + width] = inside(block)
                yield Window(top, window.col, rows, window.width), strip

        write_cog(path, strips(), self.grid, window=window)

    def _drawn(self, blocks: list[Block], draw: Callable[[Block], np.ndarray], what: str) -> Iterator[tuple[Window, np.ndarray]]:
        """Blocks in order with their pixels (bands, height, width); a few are drawn ahead while one is written."""
        for block, pixels in zip(blocks, prefetched(self.pool, draw, blocks, most=3), strict=True):
            self.tick(what)
            yield Window(block.row, block.column, block.height, block.width), pixels if pixels.ndim == 3 else pixels[None]


def steps(planet: Planet, block_px: tuple[int, int]) -> int:
    """About how many ticks a planet takes, for a progress bar."""
    shape = planet.parameters.shape
    whole = 2 * len(cut(shape, block_px))
    masks = sum(len(_cut_window(_on_grid(window, shape), block_px, shape)) for window in planet.fresh_windows)
    return whole + masks


def _on_grid(window: np.ndarray, shape: tuple[int, int]) -> Window:
    """A crater's window as one rectangle of the mosaic; whole rows where it crosses the seam."""
    row, column, height, width = (int(value) for value in window)
    if column < 0 or column + width > shape[1]:
        column, width = 0, shape[1]
    return Window(row, column, height, width)


def _cut_window(window: Window, block_px: tuple[int, int], shape: tuple[int, int]) -> list[Block]:
    return [
        Block(row, column, min(block_px[0], window.row + window.height - row), min(block_px[1], window.col + window.width - column), shape)
        for row in range(window.row, window.row + window.height, block_px[0])
        for column in range(window.col, window.col + window.width, block_px[1])
    ]


def _bounds(tiles: np.ndarray) -> Window:
    x, y, height, width = tiles.T
    return Window(int(y.min()), int(x.min()), int((y + height).max() - y.min()), int((x + width).max() - x.min()))
