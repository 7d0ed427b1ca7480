"""What a run configuration says about this family: where crops come from (``train.autoencoder.data``), and how maps are made."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ...config import BandList, CraterList
from ...core.models import refuse_idle


class Selection(CraterList):
    """Which craters of a list are used, and how it is read."""

    max_abs_lat: float | None = Field(60.0, gt=0, le=90, description="craters nearer to a pole are left out; null: none")
    min_diameter_km: float | None = Field(None, gt=0, description="smaller craters are left out")
    max_diameter_km: float | None = Field(None, gt=0, description="larger craters are left out")
    max_upsampling: float | None = Field(
        None, gt=0, description="craters so small that a crop has more than this many pixels per pixel of the mosaic are left out"
    )
    warn_upsampling: float = Field(2.0, gt=0, description="a warning counts the craters above this")
    count: int | None = Field(None, ge=1, description="take so many at random, by the run's seed")


class CropData(Selection):
    """Crops are cut from the run's mosaic around the craters of ``catalogue``, or read from ``crops``."""

    catalogue: str | None = Field(None, description="crater list: the Robbins databases' columns or plain ones")
    bands: BandList = Field(None, description="bands of the mosaic whose mean is used: numbers, names, formulas; the run's when left out")
    crops: str | None = Field(
        None, description="ready-made crops: a folder or zip of JPEG or PNG, with metadata.csv if positions are known"
    )
    labelled: bool = Field(False, description="names of ready-made crops are <id>_<state>, and the state is the crop's label")
    source_m_per_px: float | None = Field(None, gt=0, description="pixel size of the mosaic that ready-made crops were cut from")

    cluster: bool = Field(True, description="group the latents after encoding; false: only latents and reconstructions")
    display: bool = Field(True, description="draw the pictures of clusters; false: only tables and figures")

    @property
    def source(self) -> str:
        """The one of both that is given."""
        return self.crops or self.catalogue or ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.catalogue is None) == (self.crops is None):
            raise ValueError("give either catalogue (crops are cut from the mosaic) or crops (ready-made ones)")
        idle, what = (("labelled", "source_m_per_px"), "crops of a mosaic") if self.catalogue else (("bands",), "ready-made crops")
        refuse_idle(self, [name for name in type(self).model_fields if name not in idle], what)
        return self


class MapOptions(Selection):
    """A map: latents of every crater of the list (``map.catalogue``), clusters, and pictures on the mosaic."""

    chunk: int = Field(20_000, ge=1, description="craters per job")
    iteration: int | None = Field(None, ge=0, description="iteration whose network is used; the best of the split when left out")
    clusters: Literal["fit", "trained"] = Field(
        "fit", description="fit: group the map's latents; trained: nearest cluster of the evaluated training craters"
    )
    window: list[float] | None = Field(
        None, min_length=4, max_length=4, description="west, south, east, north in degrees of a further picture; may cross ±180°"
    )
    display: bool = Field(True, description="draw the pictures; false: only tables and figures")
    thumbnails: int = Field(400, ge=0, description="crops drawn at their place on the mosaic, at most")

    @field_validator("window")
    @classmethod
    def _sound_window(cls, window: list[float] | None) -> list[float] | None:
        # Looked at before the map is made, and not when it is drawn.
        if window is None:
            return None
        west, south, east, north = window
        span = east - west + (360 if east <= west else 0)
        if not (-90 <= south < north <= 90 and 0 < span <= 360):
            raise ValueError("give west, south, east, north in degrees, south below north, at most 360° from west to east")
        return window
