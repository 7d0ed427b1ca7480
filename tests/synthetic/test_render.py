import numpy as np
import pytest

from cratermill.synthetic.parameters import Parameters
from cratermill.synthetic.pixels import Block, cut
from cratermill.synthetic.render import Planet

SHAPE = (192, 384)


@pytest.fixture(scope="module")
def planet() -> Planet:
    return Planet(Parameters(seed=4, shape=SHAPE))


@pytest.fixture(scope="module")
def image(planet) -> np.ndarray:
    return planet.image(Block(0, 0, *SHAPE, SHAPE))


@pytest.mark.parametrize("block_px", [(64, 128), (192, 50), (31, 384)])
def test_image_and_owner_don_t_depend_on_the_blocks(planet, image, block_px):
    whole = planet.owner(Block(0, 0, *SHAPE, SHAPE))
    for block in cut(SHAPE, block_px):
        assert np.array_equal(planet.image(block), image[(slice(None), *block.slices)])
        assert np.array_equal(planet.owner(block), whole[block.slices])


def test_same_seed_same_planet_other_seed_other_planet(image):
    block = Block(0, 0, *SHAPE, SHAPE)
    again, other = (Planet(Parameters(seed=seed, shape=SHAPE)).image(block) for seed in (4, 5))
    assert np.array_equal(again, image)
    assert (other != image).mean() > 0.9


def test_seam_is_no_edge(image):
    """Column 0 follows the last one as any column follows its neighbour."""
    values = image.astype(float).mean(axis=0)
    steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
    seam = np.abs(values[:, 0] - values[:, -1]).mean()
    assert steps.min() * 0.7 < seam < steps.max() * 1.1


def test_bands_are_correlated_but_differ(image):
    flat = image.reshape(3, -1).astype(float)
    correlation = np.corrcoef(flat)
    assert 0.8 < correlation[0, 2] < 0.995
    assert flat[0].mean() > flat[1].mean() > flat[2].mean() > 40
    assert image.min() >= 1  # 0 is free for "no data"
    assert (flat == 255).mean() < 0.01


def test_ejecta_are_brighter_than_their_surroundings_but_not_everywhere(planet, image):
    """Learnable, not trivial: brightness alone separates ejecta from the rest better than chance and worse than well."""
    grey = image.astype(float).mean(axis=0)
    inside = planet.owner(Block(0, 0, *SHAPE, SHAPE)) > 0
    assert 0.02 < inside.mean() < 0.3
    order = np.argsort(np.argsort(grey, axis=None)).reshape(grey.shape)
    auc = (order[inside].mean() - (inside.sum() - 1) / 2) / (~inside).sum()
    assert 0.7 < auc < 0.97
    threshold = np.quantile(grey, 1 - inside.mean())
    overlap = ((grey > threshold) & inside).sum() / ((grey > threshold) | inside).sum()
    assert overlap < 0.6


def test_contrast_fades_with_distance(planet):
    """Same ground with and without ejecta: the difference shrinks outwards."""
    block = Block(0, 0, *SHAPE, SHAPE)
    bare = Planet(planet.parameters)
    bare.fresh, bare.fresh_windows = [], bare.fresh_windows[:0]
    difference = (planet.image(block).astype(float) - bare.image(block)).mean(axis=0)
    near, far = [], []
    from cratermill.synthetic.pixels import around

    for ejecta in planet.fresh:
        strength, distance = ejecta.strength(*around(block, ejecta.crater.lon, ejecta.crater.lat))
        near.append(difference[(strength > 0) & (distance < 3)])
        far.append(difference[(strength > 0) & (distance > 8)])
    assert np.concatenate(near).mean() > 1.3 * np.concatenate(far).mean() > 5


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_any_number_of_bands(bands):
    planet = Planet(Parameters(seed=1, shape=(64, 128), n_fresh=3, bands=bands))
    image = planet.image(Block(0, 0, 64, 128, (64, 128)))
    assert image.shape == (bands, 64, 128) and image.std() > 5


def test_light_changes_over_the_globe(planet):
    lon = np.linspace(-np.pi, np.pi, 200)
    east, north = planet.light.at(lon, np.zeros(200))
    azimuth, strength = np.unwrap(np.arctan2(east, north)), np.hypot(east, north)
    assert np.ptp(azimuth) > 0.5 and strength.max() > 1.4 * strength.min() > 0
    assert east[0] == pytest.approx(east[-1], abs=1e-5)  # no jump at the seam
