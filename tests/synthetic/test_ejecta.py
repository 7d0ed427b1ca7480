import numpy as np
import pytest

from cratermill.synthetic.ejecta import Ejecta
from cratermill.synthetic.parameters import Parameters
from cratermill.synthetic.pixels import Block, around
from cratermill.synthetic.population import FreshCrater, fresh_craters
from cratermill.synthetic.render import Planet


def _crater(lon=0.0, lat=0.0, radius=0.03, reach=15.0, **changes) -> FreshCrater:
    fields = {"fid": 1, "age": 0.1, "train": True, "seed": 77} | changes
    return FreshCrater(lon=np.radians(lon), lat=np.radians(lat), radius=radius, reach=reach, **fields)


def _mask(ejecta: Ejecta, shape=(512, 1024)) -> np.ndarray:
    crater = ejecta.crater
    return ejecta.strength(*around(Block(0, 0, *shape, shape), crater.lon, crater.lat))[0] > 0


def _area(mask: np.ndarray) -> float:
    lat = np.pi / 2 - (np.arange(len(mask)) + 0.5) * np.pi / len(mask)
    return float((mask.sum(axis=1) * np.cos(lat)).sum() * (np.pi / len(mask)) ** 2)


def _area_in_polar_coordinates(ejecta: Ejecta) -> float:
    """Midpoint rule over azimuth and distance around the crater: no mosaic takes part."""
    azimuth = (np.arange(2400) + 0.5) * (2 * np.pi / 2400)
    edges = np.linspace(ejecta.crater.radius, ejecta.reach_angle, 2401)
    angle = (edges[1:] + edges[:-1]) / 2
    sine = np.sin(angle)[:, None]
    views = [sine * np.sin(azimuth), sine * np.cos(azimuth), np.repeat(np.cos(angle)[:, None], 2400, axis=1)]
    inside = ejecta.strength(*(view.astype(np.float32) for view in views))[0] > 0
    return float((inside.mean(axis=1) * 2 * np.pi * np.sin(angle) * np.diff(edges)).sum())


@pytest.mark.parametrize(("lon", "lat"), [(0, 0), (179.9, 35), (20, 88), (-60, -90)])
def test_area_on_the_mosaic_is_the_analytic_area(lon, lat):
    ejecta = Ejecta(_crater(lon, lat))
    assert _area(_mask(ejecta, (1024, 2048))) == pytest.approx(_area_in_polar_coordinates(ejecta), rel=0.01)


def test_blanket_surrounds_the_rim_and_rays_reach_out():
    ejecta = Ejecta(_crater(reach=20.0))
    assert ejecta.edge.min() >= 1.5 and ejecta.edge.max() <= 3.5
    azimuth, ones = np.linspace(0, 2 * np.pi, 3000), np.ones(3000)

    def share(distance: float) -> float:
        angle = distance * 0.03
        views = np.sin(angle) * np.sin(azimuth), np.sin(angle) * np.cos(azimuth), np.cos(angle) * ones
        return float((ejecta.strength(*(view.astype(np.float32) for view in views))[0] > 0).mean())

    shares = [share(distance) for distance in (0.95, 1.1, 2.0, 5.0, 10.0, 18.0, 20.5)]
    assert shares[0] == 0 and shares[1] > 0.97 and shares[-1] == 0
    assert shares[1] > shares[2] > shares[3] > shares[4] > 0.005
    assert max(ray.length for ray in ejecta.rays) == pytest.approx(20.0)


def test_rays_are_broken_and_azimuths_differ():
    ejecta = Ejecta(_crater(reach=30.0, radius=0.04))
    distance = np.linspace(3, 28, 4000)
    gaps = 0
    for ray in ejecta.rays:
        if ray.length > 12:
            along = distance[distance < 0.9 * ray.length]
            azimuth = ray.azimuth + ray.bend * np.log(along)
            sine = np.sin(along * 0.04)
            views = sine * np.sin(azimuth), sine * np.cos(azimuth), np.cos(along * 0.04)
            inside = ejecta.strength(*(view.astype(np.float32)[None] for view in views))[0][0] > 0
            assert inside.mean() > 0.2
            gaps += int((np.diff(inside.astype(int)) == -1).sum())
    assert gaps >= 3


def test_mask_doesn_t_depend_on_where_the_seam_is():
    """The same crater, turned by whole pixels, leaves the same ejecta: also across ±180°."""
    shape, turn = (128, 256), 360 / 256
    here = _mask(Ejecta(_crater(turn * 0.5, 30)), shape)
    for columns in (100, 128, 200):
        there = _mask(Ejecta(_crater((turn * (0.5 + columns) + 180) % 360 - 180, 30)), shape)
        assert (np.roll(here, columns, axis=1) != there).mean() < 2e-4  # the rounding of the longitude


def test_coarse_and_fine_mosaics_show_the_same_ejecta():
    coarse, fine = (Planet(Parameters(seed=3, shape=(rows, 2 * rows), n_fresh=6)) for rows in (128, 640))
    for index in range(6):
        small = coarse.ejecta_of(index, Block(0, 0, 128, 256, (128, 256)))
        large = fine.ejecta_of(index, Block(0, 0, 640, 1280, (640, 1280)))
        assert np.array_equal(small, large[2::5, 2::5])


def test_younger_craters_own_overlaps_and_dig_away_older_ejecta():
    parameters = Parameters(seed=21, shape=(128, 256), n_fresh=40)
    planet = Planet(parameters)
    whole = Block(0, 0, 128, 256, (128, 256))
    masks = [planet.ejecta_of(index, whole) for index in range(40)]
    ages = [ejecta.crater.age for ejecta in planet.fresh]
    assert ages == sorted(ages, reverse=True)
    expected = np.zeros((128, 256), np.uint16)
    for ejecta, mask in zip(planet.fresh, masks, strict=True):
        expected[mask] = ejecta.crater.fid
    assert np.array_equal(planet.owner(whole), expected)
    assert (sum(mask.astype(int) for mask in masks) > 1).any()


def test_every_crater_has_its_own_ejecta():
    made = [Ejecta(crater) for crater in fresh_craters(Parameters(seed=2, n_fresh=5))]
    assert len({len(ejecta.rays) for ejecta in made}) > 1
    assert len({tuple(ejecta.colour) for ejecta in made}) == 5
