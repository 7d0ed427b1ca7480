"""Forecasts whose calibration is known, and what is made of them."""

import numpy as np
import pandas as pd
import pytest
import rasterio

from cratermill.analysis.given_ejecta import Drawn
from cratermill.analysis.masks import Mask
from cratermill.analysis.plane import Crater, Place
from cratermill.analysis.reliability import Histogram, crossed, histogram, reliability, summary
from cratermill.analysis.shares import Shares, ensemble_areas, share_files, write_disagreement
from cratermill.core.calibration import FINE, apply, counted, figures, fit
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import pixel_areas_m2
from cratermill.pipeline.calibrate import calibrated
from tests.analysis import cases


def craters(true_share, seed=0, number=6, pixels=20000):
    """Forecasts spread evenly, of which ``true_share(forecast)`` come true."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(number):
        forecast = random.random(pixels)
        rows.append(counted(forecast, (random.random(pixels) < true_share(forecast)).astype(float)))
    return Histogram.of(rows)


def test_an_honest_forecast_has_no_error_and_a_boaster_is_found_out():
    honest, boaster = summary(craters(lambda p: p)), summary(craters(lambda p: 0.5 + (p - 0.5) * 0.4))
    assert honest["ECE"] < 0.01 and honest["Brier"] == pytest.approx(1 / 6, abs=0.003)  # ∫ p(1 − p) dp
    assert boaster["ECE"] == pytest.approx(0.15, abs=0.01) and boaster["ECE_low"] < boaster["ECE"] < boaster["ECE_high"]
    table = reliability(craters(lambda p: p))
    assert (abs(table["forecast"] - table["observed"]) < 0.02).all()
    assert (table["observed_low"] <= table["observed"]).all() and (table["observed"] <= table["observed_high"]).all()


def test_brier_score_is_the_mean_square():
    random = np.random.default_rng(3)
    forecast, true = random.random(5000), (random.random(5000) < 0.3).astype(float)
    assert figures(counted(forecast, true))[1] == pytest.approx(((forecast - true) ** 2).mean(), abs=1e-3)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_corrections_help_craters_that_they_were_not_fitted_on(method):
    def tempered(p):
        return 1 / (1 + np.exp(-np.log(p / (1 - p)) / 2.5))

    bold = craters(tempered)
    how = fit(bold.weighted(np.ones(bold.craters)), method)
    if method == "temperature":
        assert how["temperature"] == pytest.approx(2.5, rel=0.05)
    assert apply(how, np.array([0.1, 0.5, 0.95])) == pytest.approx(tempered(np.array([0.1, 0.5, 0.95])), abs=0.03)
    before, after = summary(bold), summary(crossed(bold, method))
    assert after["ECE"] < 0.2 * before["ECE"] and after["Brier"] < before["Brier"]


def test_vote_shares_of_a_crater_give_histograms_areas_and_disagreement(tmp_path):
    on, (lon, lat, radius_m) = cases.grid(), cases.CRATERS[7]
    distance = cases.polar(on, lon, lat, radius_m)[1]
    share = np.where(distance < 4, np.select([distance < 2, distance < 3], [1.0, 0.5], 0.0), np.nan).astype(np.float32)
    write_cog(tmp_path / "vote_share_crater_7.tif", np.stack([share, share / 2]), on, nodata=np.nan)
    files = share_files(tmp_path)
    truth = Drawn(Mask.open(7, cases.write_mask(tmp_path / "mask_crater_7.tif", distance < 2.5, on), on))
    place = Place(Crater(7, lon, lat, radius_m), on)
    found = histogram(place, Shares.open(7, files[7], on), truth)
    ground = (np.pi * (radius_m / on.resolution_m) ** 2) * np.array([4 - 1, 9 - 4, 16 - 9])  # share 1 beyond the rim, ½, 0
    assert found[0][[FINE - 1, FINE // 2, 0]] == pytest.approx(ground, rel=0.05) and found[0].sum() == pytest.approx(ground.sum(), rel=0.05)
    assert found[1][FINE - 1] == found[0][FINE - 1] and found[1][0] == 0
    assert found[1][FINE // 2] / found[0][FINE // 2] == pytest.approx((6.25 - 4) / (9 - 4), abs=0.05)
    row = ensemble_areas(files, on, 0.5).iloc[0]
    areas = pixel_areas_m2(on)
    wanted = [(mask.sum(1) @ areas) / 1e6 for mask in (distance < 3, distance < 2)]
    assert row["area_km2"] == row["area_high_km2"] == pytest.approx(wanted[0]) and row["area_low_km2"] == pytest.approx(wanted[1])
    assert row["members_mean_km2"] == pytest.approx((wanted[0] + wanted[1]) / 2, rel=1e-6)
    with rasterio.open(write_disagreement(tmp_path / "disagreement.tif", files, on)) as raster:
        values = raster.read(1)
    assert np.nanmax(values) == 1 and np.array_equal(values == 1, share == 0.5) and np.array_equal(np.isnan(values), np.isnan(share))
    assert isinstance(ensemble_areas({}, on, 0.5), pd.DataFrame)
    assert calibrated(tmp_path, {7: truth}, {7: Crater(7, lon, lat, radius_m)}, on)[1]["vote_share"]["Brier"] > 0
    write_cog(tmp_path / "vote_share_crater_7.tif", np.full((2, *share.shape), np.nan, np.float32), on, nodata=np.nan)
    assert calibrated(tmp_path, {7: truth}, {7: Crater(7, lon, lat, radius_m)}, on) is None  # no forecast anywhere is no perfect one
