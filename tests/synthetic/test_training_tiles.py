import numpy as np
import pytest

from cratermill.synthetic.parameters import Parameters
from cratermill.synthetic.pixels import Block
from cratermill.synthetic.render import Planet
from cratermill.synthetic.training_tiles import TileCounts, choose


def _campaign(**options):
    planet = Planet(Parameters(shape=(512, 1024), **options))
    counts = TileCounts(planet.parameters)
    shape = planet.parameters.shape
    for index, ejecta in enumerate(planet.fresh):
        counts.add(ejecta.crater.fid, 0, 0, planet.ejecta_of(index, Block(0, 0, *shape, shape)))
    return planet, counts, choose(planet.parameters, [ejecta.crater for ejecta in planet.fresh], counts)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pairs_with_and_without_ejecta_exist_at_all_distances(seed):
    planet, _, campaign = _campaign(seed=seed)
    assert (campaign.pairs >= 3).all(), campaign.pairs
    trained = {ejecta.crater.fid for ejecta in planet.fresh if ejecta.crater.train}
    assert set(campaign.listed) == trained
    assert all(len(indices) >= 6 for indices in campaign.listed.values())
    # A tile is listed for several craters.
    assert sum(map(len, campaign.listed.values())) > 1.5 * len(campaign.tiles)


def test_tiles_lie_on_the_mosaic_and_apart():
    planet, counts, campaign = _campaign(seed=1)
    height, width = planet.parameters.tile_shape
    assert (campaign.tiles[:, 2:] == (height, width)).all()
    assert (campaign.tiles[:, 0] + width <= 1024).all() and (campaign.tiles[:, 1] + height <= 512).all()
    assert len(np.unique(campaign.tiles, axis=0)) == len(campaign.tiles)
    listed = np.unique(np.concatenate(list(campaign.listed.values())))
    assert np.array_equal(listed, np.arange(len(campaign.tiles)))


def test_cap_on_craters_per_tile():
    _, _, campaign = _campaign(seed=1, craters_per_tile=2)
    listings = np.bincount(np.concatenate(list(campaign.listed.values())))
    assert listings.max() == 2


def test_counts_are_sums_over_cells_whatever_the_blocks():
    parameters = Parameters(shape=(100, 200), tile_shape_px=(24, 24))
    mask = np.random.default_rng(0).random((100, 200)) < 0.3
    whole, pieces = TileCounts(parameters), TileCounts(parameters)
    whole.add(7, 0, 0, mask)
    for row in range(0, 100, 37):
        for column in range(0, 200, 51):
            pieces.add(7, row, column, mask[row : row + 37, column : column + 51])
    expected = mask[:96, :192].reshape(4, 24, 8, 24).sum(axis=(1, 3))
    assert np.array_equal(whole.of[7], expected) and np.array_equal(pieces.of[7], expected)


def test_no_trained_crater_no_tile():
    _, _, campaign = _campaign(seed=1, n_fresh=4, train_fraction=0.0)
    assert len(campaign.tiles) == 0 and campaign.listed == {}
