"""Poisson intervals, turn-overs and model ages against tables and published ages."""

import numpy as np
import pytest
from scipy.stats import poisson

from cratermill.core.errors import InputError
from cratermill.craters.chronology import SYSTEMS, model_age, system
from cratermill.craters.frequencies import frequencies, list_end, poisson_interval, turn_over


def test_intervals_are_those_of_gehrels():
    low, high = poisson_interval(np.array([0, 1, 5, 10]))
    assert low == pytest.approx([0, 0.1728, 2.840, 6.891], abs=2e-3) and high == pytest.approx([1.841, 3.300, 8.382, 14.27], abs=5e-3)


def test_an_interval_of_95_percent_holds_the_mean_at_least_so_often():
    mean, counts = 3.7, np.arange(60)
    low, high = poisson_interval(counts, 0.95)
    assert poisson.pmf(counts, mean)[(low <= mean) & (mean <= high)].sum() >= 0.95


@pytest.mark.parametrize(
    ("diameter_km", "per_million_km2", "age_ga"),
    [(1, 160, 0.328), (1, 600, 1.23), (1, 2100, 3.37), (5, 125, 3.61), (5, 200, 3.71), (16, 100, 3.83), (16, 200, 3.94)],
)
def test_epochs_of_mars_have_their_published_ages(diameter_km, per_million_km2, age_ga):
    """Michael (2013), Icarus 226, 885: boundaries by crater density, and their ages in Ivanov's and Hartmann & Neukum's functions."""
    production, chronology = system("mars")
    one = per_million_km2 * 1e-6 * production.cumulative(1.0) / production.cumulative(diameter_km)
    assert chronology.age(float(one)) == pytest.approx(age_ga, rel=0.004)


def test_curves_of_1_ga_meet_their_chronology():
    for name in ("moon-neukum-1983", "moon-neukum-2001", "mars-ivanov-2001", "mercury-neukum-2001"):
        production, chronology = SYSTEMS[name]
        assert float(production.cumulative(1.0)) == pytest.approx(float(chronology.density(1.0)), rel=1e-3)
        ages = np.linspace(0, 4.5, 20)
        assert [chronology.age(float(density)) for density in chronology.density(ages)] == pytest.approx(ages, abs=1e-6)
    moon = SYSTEMS["moon-neukum-2001"][1]
    # Luna 24's and Apollo 11's ground: 3.0e-3 and 6.4e-3 per km² at 3.22 and 3.58 Ga (Stöffler and Ryder 2001, table VI).
    assert moon.age(3.0e-3) == pytest.approx(3.2, abs=0.05) and moon.age(6.4e-3) == pytest.approx(3.58, abs=0.02)


def population(name, age_ga, area_km2, seed, smallest_km=1.0):
    """Diameters drawn from a production function at an age."""
    production, chronology = SYSTEMS[name]
    scale = float(chronology.density(age_ga) / production.cumulative(1.0)) * area_km2
    at = np.geomspace(smallest_km, 90, 4000)
    above = production.cumulative(at) * scale
    random = np.random.default_rng(seed)
    return np.interp(random.random(random.poisson(above[0])) * above[0], above[::-1], at[::-1])


def test_the_age_that_a_list_was_made_with_comes_back():
    diameters = population("moon-neukum-2001", 3.5, 2e6, seed=1)
    found = model_age(diameters, 2e6, "moon", (1.5, 30.0))
    assert found.low_ga < 3.5 < found.high_ga and found.high_ga - found.low_ga < 0.1
    few = [model_age(population("moon-neukum-2001", 3.5, 3e4, seed), 3e4, "moon", (1.5, 30.0)) for seed in range(40)]
    assert sum(one.low_ga <= 3.5 <= one.high_ga for one in few) >= 35
    none = model_age(np.array([0.5]), 100.0, "moon", (1.0, 10.0))
    assert none.age_ga == 0 and none.craters == 0 and none.high_ga > 0


def test_ages_that_cannot_be_had_are_refused():
    with pytest.raises(InputError, match="no chronology 'venus'"):
        model_age(np.ones(3), 10.0, "venus", (0.5, 2))
    with pytest.raises(InputError, match="within 0.01 to 100 km"):
        model_age(np.ones(3), 10.0, "moon", (0.001, 2))
    with pytest.raises(InputError, match="an area of 0 km²"):
        frequencies(np.ones(3), 0)


def test_a_list_that_misses_small_craters_turns_over_there():
    diameters = population("moon-neukum-2001", 3.5, 2e6, seed=2)
    random = np.random.default_rng(0)
    kept = diameters[random.random(len(diameters)) < np.clip((diameters / 3.0) ** 4, 0, 1)]
    found = turn_over(kept)
    assert found.seen and 2.0 <= found.diameter_km <= 4.0 and found.low_km <= found.diameter_km <= found.high_km
    assert not turn_over(diameters).seen and turn_over(np.array([2.0])).diameter_km == 2.0


def test_a_list_ends_where_its_smallest_craters_were_left_out():
    random = np.random.default_rng(4)
    whole = 2.0 * (1 - random.random(20000)) ** (-1 / 2)  # N(>D) ~ D^-2 from 2 on
    listed = whole[(whole > 5) | (random.random(len(whole)) < 0.01)]
    assert 4.5 < list_end(listed) < 5.5
    assert list_end(listed * 3) == pytest.approx(3 * list_end(listed), rel=0.1)
    assert list_end(np.linspace(3, 60, 500)) == 3  # no end: ever fewer towards small ones
    assert list_end(listed[:50]) == 0
