"""What a map says in numbers: areas on the ellipsoid, overlaps, and the tables made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from .blend import Layer


@dataclass
class Overlaps:
    """Areas gathered block by block: what pairs of craters share, and what each crater owns after that is settled."""

    pairs_m2: dict[tuple[int, int], float] = field(default_factory=dict)
    shared_m2: dict[int, float] = field(default_factory=dict)
    owned_m2: dict[int, float] = field(default_factory=dict)

    def add(self, layers: list[Layer], owner: np.ndarray, areas_m2: np.ndarray) -> None:
        """One block: the layers by FID, ``owner`` (h, w) FIDs, ``areas_m2`` (h,) of one pixel in each row."""
        count = np.zeros(owner.shape, np.uint16)
        for layer in layers:
            count[layer.window.slices] += layer.mask
        for index, layer in enumerate(layers):
            here = layer.window.slices
            _increase(self.owned_m2, layer.fid, row_sums(owner[here] == layer.fid) @ areas_m2[here[0]])
            shared = layer.mask & (count[here] > 1)
            if shared.any():
                _increase(self.shared_m2, layer.fid, row_sums(shared) @ areas_m2[here[0]])
                self._add_pairs(layer, layers[index + 1 :], areas_m2)

    def join(self, other: Overlaps) -> None:
        """Add what another block held."""
        for name in ("pairs_m2", "shared_m2", "owned_m2"):
            for key, area in getattr(other, name).items():
                _increase(getattr(self, name), key, area)

    def _add_pairs(self, layer: Layer, others: list[Layer], areas_m2: np.ndarray) -> None:
        for other in others:
            window = layer.window.common(other.window)
            if window is None:
                continue
            both = layer.mask[window.within(layer.window).slices] & other.mask[window.within(other.window).slices]
            if both.any():
                _increase(self.pairs_m2, (layer.fid, other.fid), row_sums(both) @ areas_m2[window.slices[0]])


def row_sums(mask: np.ndarray) -> np.ndarray:
    return np.count_nonzero(mask, axis=1)


def _increase(totals: dict, key, by: float) -> None:
    totals[key] = totals.get(key, 0.0) + float(by)


def crater_table(facts: list[dict], overlaps: Overlaps) -> pd.DataFrame:
    """One row per crater, by FID: where it is, its tiles, and the area and extent of its ejecta."""
    rows = []
    for fact in sorted(facts, key=lambda fact: fact["crat_FID"]):
        area, radius = fact["area_km2"], fact["radius_m"]
        shared = overlaps.shared_m2.get(fact["crat_FID"], 0.0) / 1e6
        rows.append(
            {
                **{key: fact[key] for key in ("crat_FID", "lon", "lat", "radius_m", "tiles", "connected", "area_km2")},
                "owned_km2": overlaps.owned_m2.get(fact["crat_FID"], 0.0) / 1e6,
                "shared_fraction": shared / area if area else 0.0,
                "mean_extent_m": fact["mean_extent_m"],
                "max_extent_m": fact["max_extent_m"],
                "mean_extent_radii": _ratio(fact["mean_extent_m"], radius),
                "max_extent_radii": _ratio(fact["max_extent_m"], radius),
                "note": fact.get("note", ""),
            }
        )
    return pd.DataFrame(rows)


def _ratio(extent_m: float | None, radius_m: float) -> float:
    return np.nan if extent_m is None else extent_m / radius_m


def overlap_table(facts: list[dict], overlaps: Overlaps) -> pd.DataFrame:
    """One row per pair of craters that share ground: the area and its share of either crater's ejecta."""
    area = {fact["crat_FID"]: fact["area_km2"] for fact in facts}
    columns = ["FID_a", "FID_b", "overlap_km2", "share_of_a", "share_of_b"]
    rows = [(a, b, m2 / 1e6, m2 / 1e6 / area[a], m2 / 1e6 / area[b]) for (a, b), m2 in sorted(overlaps.pairs_m2.items())]
    return pd.DataFrame(rows, columns=columns)


def area_table(craters: pd.DataFrame) -> pd.DataFrame:
    """Areas with every overlap given to its owner: ``area_km2`` is what the crater keeps, ``given_km2`` what others got."""
    kept = craters["owned_km2"]
    given = craters["area_km2"] - kept
    # The two areas are summed in different orders; a remainder of rounding is no area.
    given = given.where(given > 1e-9 * craters["area_km2"], 0.0)
    return pd.DataFrame({"crat_FID": craters["crat_FID"], "area_km2": kept, "given_km2": given, "total_km2": craters["area_km2"]})
