"""Where chips come from: the ``data`` part of both families in a run configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ...config import CraterList
from ...core.models import Strict


def _one_band(value: Any) -> Any:
    if (type(value) is int and value >= 1) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("must be a band's number from 1, its name, or a formula such as b1 / b3")


class Cut(CraterList):
    """Chips cut from a mosaic around the craters of a catalogue, and beside them."""

    mosaic: str = Field(description="the mosaic to cut from")
    catalogue: str = Field(description="crater list: CSV, GeoPackage, shapefile, CraterStats")
    band: Annotated[int | str, BeforeValidator(_one_band)] = Field(1, description="band of the mosaic: its number, its name or a formula")
    half_side_radii: float = Field(1.5, gt=1, description="half side of a chip, in crater radii")
    min_diameter_m: float = Field(0, ge=0)
    max_diameter_m: float = Field(float("inf"), gt=0)
    max_abs_lat: float = Field(90, gt=0, le=90, description="craters and chips nearer to the poles are left out")
    negatives_per_crater: float = Field(1.0, ge=0, description="chips without a crater for each one with a crater")
    hard_share: float = Field(0.3, ge=0, le=1, description="share of the negatives that lie on rims: shifted by 1 to 1.6 radii of a crater")
    ignore_below: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="negatives may hold craters smaller than this share of the one that sets their size; 0: none",
    )
    max_craters: int | None = Field(None, ge=1, description="draw so many craters at random; all when left out")
    unlabelled: int = Field(0, ge=0, description="further chips at random places and sizes, without a label")


class ChipData(Strict):
    """One source of labelled chips, and where wanted further unlabelled ones and chips to predict."""

    chips: str | None = Field(
        None, description="folder or zip of class folders; folder with Xtrain1.npy and Ytrain1.npy; or with MNIST's idx files"
    )
    cut: Cut | None = Field(None, description="instead of chips: cut them from a mosaic")
    classes: list[str] = Field(
        default_factory=lambda: ["0", "1"],
        min_length=2,
        description="names of the classes in the order of their numbers; of two, the second is the one looked for. "
        "Names of the folders, where chips lie in class folders",
    )
    unlabelled: str | None = Field(None, description="further unlabelled chips: a folder or zip of pictures, or an .npy stack")
    predict: str | None = Field(None, description="chips to predict at the end: a folder or zip of pictures, or an .npy stack")
    trim_px: int = Field(
        0, ge=0, description="pixels cut off every side of chips that are read, where frames or seams would tell classes apart"
    )
    duplicates: Literal["group", "drop", "ignore"] = Field(
        "group",
        description="group: copies of a chip stay on one side of every split; drop: one of them is kept; ignore: splits don't look (for "
        "measuring how much copies inflate scores)",
    )
    same_correlation: float = Field(0.95, gt=0, le=1, description="correlation from which two chips are copies, in any of 8 orientations")
    same_detail: float = Field(0.8, gt=0, le=1, description="the same for their fine detail, brightness and shading removed")

    @model_validator(mode="after")
    def _one_source(self):
        if (self.chips is None) == (self.cut is None):
            raise ValueError("name either chips or cut")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes holds a name twice")
        return self


class MapOptions(CraterList):
    """``map.options`` where a classifier of chips makes the map: a scan of the mosaic, or with ``map.catalogue`` a sieve of its craters."""

    classes: list[str] | None = Field(None, min_length=2, description="names of the classes; those of the training's data, else 0, 1, …")
    half_side_radii: float | None = Field(None, gt=1, description="half side of a chip in crater radii; that of data.cut, else 1.5")
    window_px: list[int] | None = Field(
        None, min_length=1, description="scan: sides of the windows, in pixels of the mosaic: one scan each; chip_size_px when left out"
    )
    step: float = Field(0.25, gt=0, le=1, description="scan: from one window to the next, as a share of its side")
    threshold: float | None = Field(None, gt=0, lt=1, description="least probability of a listed crater; the row's when left out")
    chunk: int = Field(20_000, ge=1, description="windows or craters per job")
