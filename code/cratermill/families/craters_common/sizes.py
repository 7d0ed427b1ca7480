"""The columns that say which craters a row is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field

from ...training.fields import Number
from ...training.hparams import RowHparams


class SizedHparams(RowHparams):
    size_min: Number = Field(gt=0, description="smallest crater that is looked for and counted, in size_unit")
    size_max: Number = Field(gt=0, description="largest crater, in size_unit")
    size_unit: Literal["radius_px", "radius_km", "diameter_km"] = Field("radius_px", description="what size_min and size_max measure")

    @classmethod
    def own(cls, row: RowHparams) -> Self:
        """A row of the family, of its model."""
        assert isinstance(row, cls), row
        return row

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        if self.size_max <= self.size_min:
            yield "size_max", f"is not above size_min ({self.size_min:g})", "a larger number"

    def radii_px(self, resolution_m: float) -> tuple[float, float]:
        """Smallest and largest radius in pixels of ``resolution_m`` metres (NaN: unknown, which only radius_px can do without)."""
        if self.size_unit == "radius_px":
            return self.size_min, self.size_max
        half = 2 if self.size_unit == "diameter_km" else 1
        return self.size_min * 1000 / half / resolution_m, self.size_max * 1000 / half / resolution_m
