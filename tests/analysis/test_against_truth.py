"""Maps against truth: itself, shifted as geometry says, as polygons, by part, anywhere on the globe."""

import geopandas
import numpy as np
import pytest
import shapely

from cratermill.analysis.against_truth import Compared, compare, pooled, score_table, scores
from cratermill.analysis.difference import write_difference
from cratermill.analysis.given_ejecta import Drawn, Empty, Tiles, ejecta_of
from cratermill.analysis.masks import Mask
from cratermill.analysis.plane import Crater, Place
from cratermill.core.errors import InputError
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Grid, Window
from tests.analysis import cases

RADII = 3.0


def shifted_disc(on: Grid, fid: int, by_km: float, radii: float = RADII) -> np.ndarray:
    """The crater's disc of so many radii, moved east."""
    lon, lat, radius_m = cases.CRATERS[fid]
    there = on.body.geod.fwd(lon, lat, 90, by_km * 1e3)
    return cases.polar(on, there[0], there[1], radius_m)[1] <= radii


def drawn(path, mask, on, fid=1) -> Drawn:
    return Drawn(Mask.open(fid, cases.write_mask(path, mask, on), on))


def crater(fid: int, rim_share: float = 1.0) -> Crater:
    lon, lat, radius_m = cases.CRATERS[fid]
    return Crater(fid, lon, lat, radius_m * rim_share)


@pytest.mark.parametrize("fid", [1, 7, 9])
def test_truth_against_itself_is_1_in_every_part(tmp_path, fid):
    on = cases.grid()
    truth = drawn(tmp_path / "mask_crater_1.tif", cases.disc_and_ray(*cases.polar(on, *cases.CRATERS[fid])), on)
    found = compare(Place(crater(fid), on), truth, truth, scales=(2, 4))
    values = np.array([scores(counts) for counts in {**found.groups(), **found.circles()}.values()])
    assert np.isin(values[np.isfinite(values)], 1.0).all() and np.isfinite(values).all(1).sum() > 20
    assert found.blanket_map == found.blanket_truth > 0
    rings = np.array([counts[0] for (by, _), counts in found.groups().items() if by == "ring"])
    assert abs(rings - rings.mean()).max() < 0.05 * rings.mean() + 12  # equal drawn areas
    assert found.blankets()["hm_quantile"] == pytest.approx((found.truth_distance < found.blanket_truth).mean())


@pytest.mark.parametrize("fid", [1, 7])
def test_shifted_truth_scores_what_geometry_says(tmp_path, fid):
    on, radius_m = cases.grid(), cases.CRATERS[fid][2]
    reach, shift = RADII * radius_m, 90e3
    truth = drawn(tmp_path / "mask_crater_1.tif", shifted_disc(on, fid, 0), on)
    moved = drawn(tmp_path / "mask_crater_2.tif", shifted_disc(on, fid, shift / 1e3), on)
    found = compare(Place(crater(fid, 0.02), on), moved, truth)
    lens = 2 * reach**2 * np.arccos(shift / (2 * reach)) - shift / 2 * np.sqrt(4 * reach**2 - shift**2)
    share = lens / (np.pi * reach**2)
    precision, recall, f1, iou = scores(found.counts)
    assert [precision, recall, f1] == pytest.approx([share] * 3, abs=0.012)
    assert iou == pytest.approx(share / (2 - share), abs=0.015)
    parts = found.groups()
    west, east = (parts["quadrant", f"Square {first}"] + parts["quadrant", f"Square {first + 2}"] for first in (1, 2))
    assert west[2] > 10 * max(west[1], 1) and east[1] > 10 * max(east[2], 1)  # missed in the west, wrongly found in the east


def test_polygons_across_the_seam_are_the_masks_they_outline(tmp_path):
    on = cases.grid()
    shapes = []
    for fid in (1, 7):
        lon, lat, radius_m = cases.CRATERS[fid]
        ring = on.body.geod.fwd(np.full(180, lon), np.full(180, lat), np.linspace(0, 358, 180), np.full(180, RADII * radius_m))
        shapes.append(shapely.Polygon(np.column_stack([lon + (np.array(ring[0]) - lon + 180) % 360 - 180, ring[1]])))
    frame = geopandas.GeoDataFrame({"crat_FID": [1, 7]}, geometry=shapes, crs=on.body.geographic_crs())
    frame.to_file(tmp_path / "truth.gpkg")
    craters = {fid: crater(fid) for fid in (1, 7)}
    truth = ejecta_of(tmp_path / "truth.gpkg", on)
    for fid in (1, 7):
        mask = drawn(tmp_path / f"mask_crater_{fid}.tif", shifted_disc(on, fid, 0), on)
        assert scores(compare(Place(craters[fid], on), mask, truth[fid]).counts)[2] > 0.98
    frame.drop(columns="crat_FID").to_file(tmp_path / "nameless.gpkg")
    with pytest.raises(InputError, match="no column crat_FID"):
        ejecta_of(tmp_path / "nameless.gpkg", on)
    with pytest.raises(InputError, match="another ellipsoid"):
        ejecta_of(tmp_path / "truth.gpkg", cases.grid(body=Body("other", 3e6, 3e6)))


def test_ground_that_others_cover_too_is_a_class_of_its_own(tmp_path):
    on = cases.grid()
    masks = {fid: drawn(tmp_path / f"mask_crater_{fid}.tif", shifted_disc(on, fid, 0), on, fid) for fid in (1, 4)}
    found = compare(Place(crater(1), on), masks[1], masks[1], [masks[4]])
    both = (shifted_disc(on, 1, 0) & shifted_disc(on, 4, 0)).sum()
    parts = found.groups()
    assert parts["overlap", "shared"][0] == pytest.approx(both, rel=0.1) and parts["overlap", "alone"][0] > both


def test_training_masks_are_scored_inside_their_tiles_alone(tmp_path):
    on = cases.grid()
    disc = shifted_disc(on, 1, 0)
    row, col = (round(float(at)) for at in on.rowcol_of_lonlat(*cases.CRATERS[1][:2]))
    tile = Window(row - 8, col + 6, 16, 12)  # east of the crater
    part = np.zeros_like(disc)
    part[tile.slices] = disc[tile.slices]
    training = drawn(tmp_path / "mask_crater_2.tif", part, on)
    truth = drawn(tmp_path / "mask_crater_1.tif", disc, on)
    tiles = Drawn(Tiles(tmp_path / "tiles.csv", [tile], on))
    found = compare(Place(crater(1), on), Empty(), truth, drawn=(training, tiles))
    assert scores(found.tiles["drawn"]).tolist() == [1.0] * 4 and found.tiles["drawn"][0] > 50
    assert found.tiles["map"][0] == 0 and found.tiles["map"][2] == found.tiles["drawn"][0]


def test_rolling_the_planet_changes_no_count_and_rolls_the_difference(tmp_path):
    tables, rasters = [], []
    for first in (-180.0, -60.0):
        on, folder = cases.grid(first), tmp_path / str(first)
        truth = drawn(folder / "mask_crater_1.tif", shifted_disc(on, 7, 0), on)
        moved = drawn(folder / "mask_crater_2.tif", shifted_disc(on, 7, 60), on)
        found = compare(Place(crater(7), on), moved, truth, scales=(2,))
        tables.append({key: counts.tolist() for key, counts in found.groups().items()})
        write_difference(folder / "difference.tif", {7: moved}, {7: truth}, [7], on)
        rasters.append(cases.read(folder / "difference.tif")[0])
    assert tables[0] == tables[1] and set(np.unique(rasters[0])) == {0, 1, 2, 3}
    assert np.array_equal(np.roll(rasters[0], -round(120 / 360 * cases.SHAPE[1]), axis=1), rasters[1])


def test_intervals_are_over_craters():
    same = np.tile(np.array([[[80, 10, 20]]]), (6, 1, 1))
    whole, limits = pooled(same)
    assert (limits == whole).all() and whole[0].tolist() == pytest.approx([80 / 90, 0.8, 160 / 190, 80 / 110])
    mixed = np.concatenate([same, np.array([[[5, 60, 60]]])])
    low, high = pooled(mixed)[1][:, 0, 2]
    assert low < scores(mixed.sum(0))[0, 2] < high and high - low > 0.1
    assert np.isnan(pooled(same[:1])[1]).all() and np.isnan(scores(np.zeros(3))).all()


def test_a_map_without_anything_finds_nothing(tmp_path):
    on = cases.grid()
    truth = drawn(tmp_path / "mask_crater_1.tif", shifted_disc(on, 1, 0), on)
    found = [compare(Place(crater(1), on), Empty(), truth), compare(Place(crater(4), on), Empty(), Empty())]
    assert all(isinstance(one, Compared) for one in found) and found[0].counts[0] == 0
    table = score_table(found).set_index(["by", "part"])
    assert table.loc[("all", "all"), ["Precision", "Recall", "F1", "IoU"]].tolist() == [0, 0, 0, 0]
    assert table.loc[("all", "all"), "craters"] == 1 and np.isnan(table.loc[("distance", "20+"), "F1"])
