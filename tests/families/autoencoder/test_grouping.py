"""Clusters: known groups are found by every method, figures mean what they say, nuisances are taken out."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.families.autoencoder import grouping
from cratermill.families.autoencoder.cluster_scores import agreement, associations, judge
from cratermill.families.autoencoder.grouping import Clustering, Recipe, group, nearest_mean, nuisance_columns, require_enough
from cratermill.families.autoencoder.projection_2d import plane

NONE = np.zeros((150, 0))
METHODS = ["kmeans", "gmm", "spectral", "agglomerative", "hdbscan"]


def three_groups(count: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(count) % 3)
    return (rng.normal(0, 0.4, (count, 5)) + 4 * np.eye(5)[truth]).astype(np.float32), truth


def rows(count: int = 150, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    plain = {
        "lat": rng.uniform(-60, 60, count),
        "radius_m": rng.uniform(1e3, 1e4, count),
        "upsampling": rng.uniform(0.5, 2, count),
        "light_deg": rng.uniform(-180, 180, count),
        "light_contrast": rng.uniform(10, 60, count),
        "brightness": rng.uniform(80, 120, count),
    }
    return pd.DataFrame({**plain, **columns})


def same_grouping(first: np.ndarray, second: np.ndarray) -> bool:
    return len({*zip(first.tolist(), second.tolist(), strict=True)}) == len(set(first)) == len(set(second))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_groups_that_are_plain_to_see(method):
    latents, truth = three_groups()
    found = group(latents, Recipe(method, None if method == "hdbscan" else 3), NONE)
    core = found.labels >= 0
    assert core.mean() > 0.9 and same_grouping(found.labels[core], truth[core])
    again, _ = three_groups(seed=5)
    assert same_grouping(found.assign(again, NONE), three_groups(seed=5)[1])


@pytest.mark.parametrize("method", ["kmeans", "gmm", "agglomerative"])
def test_the_number_of_groups_is_found(method):
    assert group(three_groups()[0], Recipe(method, most=6, pca=3), NONE).count == 3


@pytest.mark.parametrize("method", METHODS)
def test_latents_beyond_those_that_a_method_takes_join_the_nearest_group(method, monkeypatch):
    monkeypatch.setitem(grouping.MOST, method, 90)
    latents, truth = three_groups()
    labels = group(latents, Recipe(method, None if method == "hdbscan" else 3), NONE).labels
    assert same_grouping(labels[labels >= 0], truth[labels >= 0]) and (labels >= 0).mean() > 0.9


def test_clusters_are_numbered_by_size_and_kept_whole(tmp_path):
    rng = np.random.default_rng(0)
    latents = np.concatenate([rng.normal(place, 0.1, (size, 2)) for place, size in ((0, 20), (5, 50), (9, 30))])
    found = group(latents, Recipe("kmeans", 3), np.zeros((100, 0)))
    assert np.bincount(found.labels).tolist() == [50, 30, 20]
    np.savez(tmp_path / "c.npz", **found.arrays())
    with np.load(tmp_path / "c.npz") as arrays:
        assert np.array_equal(Clustering.of_arrays(dict(arrays)).assign(latents, np.zeros((100, 0))), found.labels)


def test_what_the_light_adds_is_taken_out():
    latents, truth = three_groups()
    table = rows()
    angle = np.radians(table["light_deg"].to_numpy())
    mixed = latents.copy()
    mixed[:, 3] += 30 * np.cos(angle)
    mixed[:, 4] += 30 * np.sin(angle)
    with_light = group(mixed, Recipe("kmeans", 3), NONE)
    without = group(mixed, Recipe("kmeans", 3, regress_out="light"), nuisance_columns(table, "light"))
    assert associations(with_light.labels, table)["eta2_light"] > 0.5 > 0.1 > associations(without.labels, table)["eta2_light"]
    assert agreement(without.labels, pd.Series(truth))["ARI"] > 0.9


def test_unknown_places_count_as_the_mean_and_unknown_columns_not_at_all():
    latents, recipe = three_groups()[0], Recipe("kmeans", 3, regress_out="all")
    table = rows(lat=np.append(np.nan, np.linspace(-60, 60, 149)), upsampling=np.nan)
    columns = nuisance_columns(table, "all")
    means = np.where(np.isfinite(columns), columns, np.nanmean(columns[:, :9], axis=0).tolist() + [0])
    assert columns.shape == (150, 10)
    assert np.allclose(group(latents, recipe, columns).features, group(latents, recipe, means[:, :9]).features)


def test_associations_tell_all_from_nothing():
    table = rows(light_deg=np.repeat([-90.0, 90.0], 75))
    side = (table["light_deg"] > 0).astype(int).to_numpy()
    found = associations(side, table)
    assert found["eta2_light"] == pytest.approx(1) and found["AMI_light"] > 0.9
    assert abs(found["eta2_latitude"]) < 0.1 and abs(found["AMI_diameter"]) < 0.1
    assert "eta2_upsampling" not in associations(side, table.assign(upsampling=np.nan))


def test_directions_near_the_turn_of_the_circle_are_near():
    angle = np.concatenate([np.linspace(170, 180, 40), np.linspace(-180, -170, 40), np.linspace(-5, 5, 70)])
    found = associations((np.arange(150) >= 80).astype(int), rows(light_deg=angle))
    assert found["eta2_light"] > 0.98


def test_agreement_matches_clusters_to_classes():
    truth = pd.Series(["old"] * 6 + ["fresh"] * 4 + [None] * 2)
    labels = np.array([1] * 5 + [0] + [0] * 4 + [2] * 2)
    found = agreement(labels, truth)
    assert found["matched_accuracy"] == pytest.approx(0.9)
    assert found["confusion"] == {"classes": ["fresh", "old"], "clusters": [0, 1], "counts": [[4, 0], [1, 5]]}
    perfect = agreement(np.array([1] * 6 + [0] * 6), truth)
    assert perfect["ARI"] == perfect["NMI"] == perfect["V_measure"] == perfect["matched_accuracy"] == 1


def test_figures_of_groups_and_of_noise():
    latents, truth = three_groups()
    recipe = Recipe("kmeans", 3)
    sound = judge(latents, group(latents, recipe, NONE), recipe, NONE, rows(label=truth.astype(str)), 0)
    assert sound["seed_ARI"] == 1 and sound["bootstrap_ARI"] > 0.95 and sound["silhouette"] > 0.5 and sound["ARI"] == 1
    noise = np.random.default_rng(0).normal(size=(150, 5))
    poor = judge(noise, group(noise, recipe, NONE), recipe, NONE, rows(), 0)
    assert poor["bootstrap_ARI"] < 0.7 and poor["silhouette"] < 0.3 and "ARI" not in poor


def test_fewer_crops_than_clusters_are_refused():
    with pytest.raises(InputError, match="4 crops can't make 5 clusters"):
        group(np.zeros((4, 3)), Recipe("kmeans", 5), np.zeros((4, 0)))
    with pytest.raises(InputError, match="no 9 principal components"):
        require_enough(8, Recipe("kmeans", 2, pca=9))


@pytest.mark.parametrize("view", ["pca", "tsne", "umap"])
def test_views_keep_groups_apart(view):
    latents, truth = three_groups()
    chosen, places, shares = plane(latents, view)
    assert same_grouping(group(places, Recipe("kmeans", 3), NONE).labels, truth[chosen])
    assert (0 < sum(shares.values()) <= 1) if view == "pca" else not shares


def test_a_method_that_leaves_numbers_out_or_finds_nothing_is_no_trouble(monkeypatch):
    latents, truth = three_groups()
    monkeypatch.setitem(grouping._METHODS, "spectral", lambda features, count, seed: truth * 2)
    found = group(latents, Recipe("spectral", 6), NONE)
    assert found.count == 3 and same_grouping(found.labels, truth) and np.isfinite(found.centres).all()
    monkeypatch.setitem(grouping._METHODS, "hdbscan", lambda features, count, seed: np.full(len(features), -1))
    nothing = judge(latents, group(latents, Recipe("hdbscan"), NONE), Recipe("hdbscan"), NONE, rows(), 0)
    assert nothing["clusters"] == 0 and nothing["unclustered"] == 150


def test_nothing_found_is_no_agreement_and_gives_further_latents_no_cluster():
    noise = np.random.default_rng(0).normal(size=(12, 20))
    found = group(noise, Recipe("hdbscan"), NONE[:12])
    assert found.count == 0 and found.assign(noise, NONE[:12]).tolist() == [-1] * 12
    figures = judge(noise, found, Recipe("hdbscan"), NONE[:12], rows(12), 0)
    assert np.isnan(figures["seed_ARI"]) and np.isnan(figures["bootstrap_ARI"])


@pytest.mark.parametrize("unknown", ["training", "map"])
def test_what_is_known_of_one_side_only_moves_no_crater_to_another_cluster(unknown):
    latents, truth = three_groups()
    known = rows()
    blank = known.assign(upsampling=np.nan, lat=np.nan, radius_m=np.nan)
    first, second = (blank, known) if unknown == "training" else (known, blank)
    found = group(latents, Recipe("kmeans", 3, regress_out="all"), nuisance_columns(first, "all"))
    again = Clustering.of_arrays(found.arrays()).assign(latents, nuisance_columns(second, "all"))
    assert same_grouping(again, truth)


def test_latents_cleaned_of_other_quantities_are_refused():
    found = group(three_groups()[0], Recipe("kmeans", 3), NONE)
    with pytest.raises(InputError, match="with 0 quantities .* there are 6"):
        found.assign(three_groups()[0], nuisance_columns(rows(), "light"))


@pytest.mark.parametrize(("recipe", "crops"), [(Recipe("spectral", 6), 6), (Recipe("kmeans"), 3), (Recipe("hdbscan", 3), 4)])
def test_methods_have_more_crops_than_they_need(recipe, crops):
    latents = np.random.default_rng(0).normal(size=(crops + 1, 3))
    with pytest.raises(InputError, match=f"{crops} crops"):
        group(latents[:-1], recipe, NONE[:crops])
    assert len(group(latents, recipe, NONE[: crops + 1]).labels) == crops + 1


def test_grouping_many_latents_takes_little_more_than_they_are_as_doubles():
    latents = np.random.default_rng(0).normal(size=(400_000, 16)).astype(np.float32)
    nothing, whole = np.zeros((len(latents), 0)), latents.size * 8
    group(latents[:1000], Recipe("kmeans", 2), nothing[:1000])  # libraries are loaded
    tracemalloc.start()
    try:
        made = group(latents, Recipe("kmeans", 2), nothing)
        grouping = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert np.array_equal(made.assign(latents, nothing), nearest_mean(made.features, made.centres))
        assigning = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert grouping < 2 * whole and assigning < 1.2 * whole
