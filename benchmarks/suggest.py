"""Score against the number of drawn tiles: chosen by ``label suggest``, in turn from all strata as ``label start`` does, and at random.

On synthetic planets, one per seed. In place of networks, of which hundreds would have to be trained, a forest of pixel classifiers learns
from brightness, its neighbourhood, and distance in crater radii. Its trees are the members that agree or not. Scores are pixel F1 over
all ground within reach of craters of which nothing was drawn.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter
from sklearn.ensemble import ExtraTreesClassifier

from cratermill.analysis.masks import Mask
from cratermill.core.statistics import interval
from cratermill.families.ejecta_common.craters import read_craters
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from cratermill.labelling.drawing_folder import Tile
from cratermill.labelling.ground import Ground, stratified
from cratermill.labelling.suggest import brightness, candidates, suggest
from cratermill.synthetic import synthesise
from cratermill.synthetic.planet_folder import PlanetFolder

ROUND, ROUNDS, TREES = 12, 6, 24
TILE_PX = (16, 32)
SIZES = ((4, 8), (8, 16), (16, 32), (32, 64))
WAYS = ("random", "start", "suggest")


@dataclass
class World:
    """A planet whose truth is known: ``pool`` craters may be drawn, the others are tested on."""

    folder: PlanetFolder
    seed: int
    tile_px: tuple[int, int] = TILE_PX

    def __post_init__(self) -> None:
        synthesise(self.folder.root, shape=(256, 512), seed=self.seed, n_fresh=12, train_fraction=1.0, workers=1)
        with Mosaic.open(self.folder.mosaic) as mosaic:
            self.grid = mosaic.grid
            self.image = mosaic.read(Window(0, 0, *mosaic.grid.shape)).astype(np.float32)
            craters = {crater.fid: crater for crater in read_craters(self.folder.craters, mosaic)}
            reach = 0.15 * self.grid.body.half_circumference_m
            self.ground = Ground(self.grid, craters, self.tile_px, dict.fromkeys(craters, reach))
            self.pool, self.held = sorted(craters)[::3] + sorted(craters)[1::3], sorted(craters)[2::3]
            self.found = candidates(self.ground, brightness(mosaic, self.ground), self.pool, None)
        self.near = {fid: self.distance(fid) <= reach for fid in craters}

    @cached_property
    def texture(self) -> np.ndarray:
        return np.concatenate(
            [self.image, [uniform_filter(band, 5) for band in self.image], [uniform_filter(band, 15) for band in self.image]]
        )

    def distance(self, fid: int) -> np.ndarray:
        crater = self.ground.craters[fid]
        lon, lat = self.grid.lonlat(*np.indices(self.grid.shape))
        return self.grid.body.distance_m(crater.lon, crater.lat, lon, lat)

    @cached_property
    def truth(self) -> dict[int, np.ndarray]:
        whole = Window(0, 0, *self.grid.shape)
        return {fid: Mask.open(fid, self.folder.truth_mask(fid), self.grid).read(whole) for fid in self.ground.craters}

    @cached_property
    def inputs(self) -> dict[int, np.ndarray]:
        """(rows, cols, k) of each crater."""
        radii = {fid: np.log1p(self.distance(fid) / self.ground.craters[fid].radius_m) for fid in self.ground.craters}
        return {fid: np.moveaxis(np.concatenate([self.texture, one[None]]), 0, -1) for fid, one in radii.items()}

    def learn(self, tiles: list[Tile]) -> ExtraTreesClassifier:
        x = np.concatenate([self.inputs[tile.fid][tile.window.slices].reshape(-1, 10) for tile in tiles])
        y = np.concatenate([self.truth[tile.fid][tile.window.slices].ravel() for tile in tiles])
        return ExtraTreesClassifier(TREES, min_samples_leaf=3, random_state=self.seed).fit(x, y)

    def score(self, forest: ExtraTreesClassifier) -> float:
        tp = fp = fn = 0
        for fid in self.held:
            said = share(forest, self.inputs[fid][self.near[fid]]) >= 0.5
            true = self.truth[fid][self.near[fid]]
            tp, fp, fn = tp + (said & true).sum(), fp + (said & ~true).sum(), fn + (~said & true).sum()
        return float(2 * tp / max(2 * tp + fp + fn, 1))

    def disputed(self, forest: ExtraTreesClassifier) -> np.ndarray:
        whole = {fid: share(forest, self.inputs[fid].reshape(-1, 10)).reshape(self.grid.shape) for fid in self.pool}
        votes = [whole[tile.fid][tile.window.slices] for tile in self.found.tiles]
        return np.array([(4 * one * (1 - one)).mean() for one in votes])


def share(forest: ExtraTreesClassifier, inputs: np.ndarray) -> np.ndarray:
    """Mean of the trees' probabilities of ejecta; 0 where the forest never saw any."""
    found = forest.predict_proba(inputs)
    return found[:, list(forest.classes_).index(True)] if True in forest.classes_ else np.zeros(len(inputs))


def more(world: World, way: str, drawn: list[Tile], random: np.random.Generator, forest: ExtraTreesClassifier | None) -> list[Tile]:
    """The next ``ROUND`` tiles."""
    free = sorted(set(world.found.tiles) - set(drawn))
    if way == "random" or forest is None:
        return [free[at] for at in random.choice(len(free), ROUND, replace=False)]
    if way == "start":
        each, chosen = {fid: sum(tile.fid == fid for tile in drawn) for fid in world.pool}, []
        for fid in sorted(world.pool, key=lambda one: (each[one], random.random())) * 4:
            own = [tile for tile in [*drawn, *chosen] if tile.fid == fid]
            chosen += stratified(world.ground, fid, len(own) + 1, own, world.seed)
        return chosen[:ROUND]
    table = suggest(replace(world.found, disagreement=world.disputed(forest)), drawn, ROUND)
    return [Tile(int(row.crat_FID), int(row.y), int(row.x), int(row.height), int(row.width)) for row in table.itertuples()]


def campaign(world: World, way: str) -> list[float]:
    random, drawn, forest, scores = np.random.default_rng(world.seed), [], None, []
    for _ in range(ROUNDS):
        drawn += more(world, way, drawn, random, forest)
        forest = world.learn(drawn)
        scores.append(world.score(forest))
    return scores


def measured(seeds: int) -> pd.DataFrame:
    rows = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            world = World(PlanetFolder(Path(folder) / "planet"), seed)
            for way in WAYS:
                rows += [(seed, way, (at + 1) * ROUND, score) for at, score in enumerate(campaign(world, way))]
                print(seed, way, " ".join(f"{row[3]:.3f}" for row in rows[-ROUNDS:]), flush=True)
    return pd.DataFrame(rows, columns=["seed", "way", "tiles", "F1"])


def of_sizes(seeds: int, share: float) -> pd.DataFrame:
    """F1 by tile size with the same number of drawn pixels: that of ``share`` of a campaign's tiles, laid out as ``label start`` does."""
    rows = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            for tile_px in SIZES:
                world = World(PlanetFolder(Path(folder) / "planet"), seed, tile_px)
                count = round(share * ROUND * ROUNDS * np.prod(TILE_PX) / np.prod(tile_px))
                each = -(-count // len(world.pool))
                laid = [stratified(world.ground, fid, each, (), seed) for fid in world.pool]
                # One tile of each crater after another, so that what is cut off at the end is cut off from all.
                tiles = [own[at] for at in range(each) for own in laid if at < len(own)][:count]
                rows.append((seed, f"{tile_px[0]} x {tile_px[1]}", len(tiles), world.score(world.learn(tiles))))
                print(*rows[-1], flush=True)
    return pd.DataFrame(rows, columns=["seed", "tile", "tiles", "F1"])


def draw(table: pd.DataFrame, path: Path) -> None:
    """Means over planets, and each planet as a thin line."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for number, way in enumerate(WAYS):
        wide = table[table["way"] == way].pivot_table(index="tiles", columns="seed", values="F1")
        axes.plot(wide.index, wide, color=f"C{number}", linewidth=0.5, alpha=0.5)
        axes.plot(wide.index, wide.mean(axis=1), "o-", color=f"C{number}", label=way)
    axes.set(xlabel="drawn tiles", ylabel="F1 on craters not drawn", ylim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="where to write every score")
    parser.add_argument("--read", type=Path, help="scores of an earlier run, instead of measuring")
    parser.add_argument("--figure", type=Path, help="where to draw them")
    parser.add_argument("--sizes", type=float, metavar="SHARE", help="of a campaign's pixels: compare sizes of tiles with so many drawn")
    options = parser.parse_args()
    if options.sizes:
        table = of_sizes(options.seeds, options.sizes)
        print(table.pivot_table(index="seed", columns="tile", values="F1", sort=False).agg(["mean", "min", "max"]).round(3))
        return
    table = pd.read_csv(options.read) if options.read else measured(options.seeds)
    if options.csv:
        table.to_csv(options.csv, index=False)
    if options.figure:
        draw(table, options.figure)
    wide = table.pivot_table(index=["seed", "tiles"], columns="way", values="F1")
    print("\nmean F1 by tiles\n", wide.groupby("tiles").mean().round(3))
    # The first round is the same for all ways.
    later = wide[wide.index.get_level_values("tiles") > ROUND].groupby("seed").mean()
    for way in WAYS[1:]:
        gain = (later[way] - later["random"]).to_numpy()
        mean, _, low, high = interval(np.arange(len(gain)), gain)
        print(f"{way} - random, mean over {2 * ROUND} to {ROUNDS * ROUND} tiles: {mean:+.3f}, 95 % {low:+.3f} to {high:+.3f}")
        print(f"    of each planet: {gain.round(3)}")


if __name__ == "__main__":
    main()
