import numpy as np
import pytest

from cratermill.core.errors import InputError
from cratermill.synthetic.parameters import Parameters, parameters_from
from cratermill.synthetic.population import background, fresh_craters, old_blankets

BIG = Parameters(seed=5, shape=(2048, 4096), n_fresh=200)


def _slope(diameter: np.ndarray, low: float, high: float) -> float:
    """Maximum-likelihood exponent of a power law between two bounds (bisection on the score)."""
    logs = np.log(diameter / low).mean()
    width = np.log(high / low)
    a, b = 0.01, 10.0
    for _ in range(80):
        middle = (a + b) / 2
        expected = 1 / middle - width / np.expm1(middle * width)
        a, b = (middle, b) if expected > logs else (a, middle)
    return middle


@pytest.mark.parametrize(("slope", "density"), [(1.5, 2.0), (2.0, 0.3), (2.8, 0.02)])
def test_sizes_follow_the_power_law(slope, density):
    craters = background(Parameters(seed=5, shape=(2048, 4096), slope=slope, density=density))
    diameter = 2 * craters.radius
    assert len(craters) > 3000 and np.all(np.diff(diameter) <= 0)
    p = Parameters(shape=(2048, 4096))
    # 4 standard errors of the estimate
    assert _slope(diameter, p.smallest_diameter, p.largest_diameter) == pytest.approx(slope, abs=4 * slope / np.sqrt(len(craters)))


def test_number_is_the_density_times_the_law():
    craters = background(BIG)
    above = (2 * craters.radius > 0.01).sum()
    expected = BIG.density * (0.01**-BIG.slope - BIG.largest_diameter**-BIG.slope)
    assert above == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_places_are_uniform_on_the_sphere():
    craters = background(BIG)
    # Equal areas hold equal numbers: bands of equal height, lunes of equal width.
    bands = np.histogram(np.sin(craters.lat), bins=10, range=(-1, 1))[0]
    lunes = np.histogram(craters.lon, bins=12, range=(-np.pi, np.pi))[0]
    for counts in (bands, lunes):
        assert np.abs(counts - counts.mean()).max() < 4.5 * np.sqrt(counts.mean())


def test_finer_mosaic_adds_craters_and_changes_none():
    few, many = (background(Parameters(seed=9, shape=(rows, 2 * rows))) for rows in (512, 1024))
    assert 3 * len(few) < len(many) < 5 * len(few)
    assert np.array_equal(few.lon, many.lon[: len(few)]) and np.array_equal(few.radius, many.radius[: len(few)])


def test_fresh_craters_are_apart_aged_and_partly_trained():
    craters = fresh_craters(BIG)
    assert [crater.fid for crater in craters] == list(range(1, 201))
    assert len({crater.age for crater in craters}) == 200
    assert sum(crater.train for crater in craters) == 120
    radii = np.array([crater.radius for crater in craters])
    assert radii.min() >= BIG.fresh_radius_min and radii.max() <= BIG.fresh_radius_max
    lat, lon = (np.array([getattr(crater, name) for crater in craters]) for name in ("lat", "lon"))
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    distance = np.arccos(np.clip(points @ points.T, -1, 1)) + 10 * np.eye(200)
    assert (distance > radii + radii[:, None]).all()


def test_some_rays_outreach_the_training_tiles():
    for seed in range(5):
        craters = fresh_craters(Parameters(seed=seed))
        reach = np.array([crater.reach * crater.radius for crater in craters if crater.train])
        assert (reach > 0.25 * np.pi).sum() >= 2 and np.median(reach) < 0.7


def test_old_blankets_lie_on_old_craters():
    craters = background(BIG)
    old = old_blankets(BIG, craters)
    assert len(old) == BIG.n_fresh and {blanket.lon for blanket in old} <= set(craters.lon.tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (100, 150)}, "twice as many columns"),
        ({"shape": (32, 64)}, "rows ≥ 64"),
        ({"bands": 0}, "0 bands"),
        ({"n_fresh": 0}, "0 fresh craters"),
        ({"tile_shape_px": (400, 16)}, "tiles of 400 × 16"),
        ({"slope": -1.0}, "positive exponents"),
        ({"fresh_radius_min": 0.05}, "minimum < maximum"),
        ({"n_frehs": 3}, "n_fresh"),
    ],
)
def test_impossible_planets_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        parameters_from(options)


def test_tiles_scale_with_the_mosaic():
    assert Parameters(shape=(11520, 23040)).tile_shape == (112, 224)
    assert Parameters(shape=(512, 1024)).tile_shape == (16, 32)
    assert Parameters(shape=(64, 128)).tile_shape == (16, 32)
    assert Parameters(tile_shape_px=(20, 20)).tile_shape == (20, 20)
