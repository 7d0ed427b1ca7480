"""What a run configuration says about this family's maps."""

from __future__ import annotations

from pydantic import Field

from ..craters_common.options import BlockOptions


class MapOptions(BlockOptions):
    """``map.options`` where this family makes the map. Its scores need ``map.catalogue``."""

    finest_scale: float = Field(
        1.0, gt=0, le=4, description="scale of the finest level; 1.5 sees craters of 2 pixels radius better and takes three times as long"
    )
    largest_radius_m: float | None = Field(
        None, gt=0, description="coarser levels are added until craters of this radius are seen; the row's size_max when left out"
    )
