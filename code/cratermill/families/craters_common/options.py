"""What a run configuration says about this family: where its tiles come from, and what its maps look like."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from ...config import CraterList
from ...core.models import Strict, refuse_idle

OF_KIND = {
    "mosaic": ("catalogue", "tile_px", "resolution_m", "latitudes", *CraterList.model_fields),
    "boxes": ("path", "pixel_m"),
    "circles": ("images", "tables", "tile_px", "pixel_m"),
}
"""Keys of ``train.<family>.data`` that one kind of data alone obeys."""


class Dots(Strict):
    """The paper's synthetic data, made by prepare."""

    tiles: int = Field(600, ge=4, le=10_000_000, description="how many tiles, of which the splits take their shares")
    tile_px: int = Field(256, ge=32, le=8192, description="their side")


class CraterData(CraterList):
    """``train.crater_unet.data``."""

    kind: Literal["mosaic", "boxes", "circles"] = Field(
        "mosaic",
        description="mosaic: tiles cut from the run's mosaic, with a catalogue; boxes: images with YOLO boxes; circles: images with tables",
    )
    catalogue: str | None = Field(None, description="mosaic: the crater list")
    tile_px: int = Field(512, ge=32, description="mosaic, circles: side of the tiles")
    resolution_m: float | None = Field(None, gt=0, description="mosaic: metres per pixel of the tiles; the mosaic's own when left out")
    latitudes: tuple[float, float] = Field((-90.0, 90.0), description="mosaic: tiles with centres between these")
    path: str | None = Field(None, description="boxes: folder or zip of images and of text files of the same names (class cx cy w h)")
    images: list[str] = Field(default_factory=list, description="circles: image files, cut into tiles")
    tables: list[str] = Field(default_factory=list, description="circles: one CSV per image: columns for x, y and radius in pixels")
    pixel_m: float | None = Field(None, gt=0, description="boxes, circles: metres per pixel, where sizes in kilometres are asked for")
    missing: float | None = Field(0, description="pixels of this value have no data and become the tile's mean; null: none have")
    split_by: Literal["random", "longitude"] = Field(
        "random",
        description="longitude: training, validation and test tiles each from longitudes of their own (mosaic, or columns of circles)",
    )
    dots: Dots = Dots()

    @model_validator(mode="after")
    def _complete(self):
        refuse_idle(self, ("kind", "missing", "split_by", "dots", *OF_KIND[self.kind]), f"kind {self.kind}")
        if self.kind == "boxes" and not self.path:
            raise ValueError("kind boxes needs path: a folder or a zip file")
        if self.kind == "circles" and (not self.images or len(self.images) != len(self.tables)):
            raise ValueError("kind circles needs images and as many tables")
        if self.latitudes[0] >= self.latitudes[1]:
            raise ValueError("latitudes: the southern one first")
        return self


class BlockOptions(CraterList):
    """What maps of all families of craters share: how the mosaic is cut and read, and the list that scores are taken against."""

    block_px: int = Field(2048, ge=64, description="side of a map's blocks, in pixels of the tiles; a cell is one, or several small ones")
    latitudes: tuple[float, float] = Field((-90.0, 90.0), description="map only between these")
    resolution_m: float | None = Field(None, gt=0, description="metres per pixel; the mosaic's own when left out")
    missing: float | None = Field(0, description="pixels of this value have no data; null: only those that the mosaic flags")


class MapOptions(BlockOptions):
    """``map.options`` where networks that draw craters make the map. Its scores need ``map.catalogue``."""

    window_px: int = Field(1024, ge=64, description="largest side of the network's input; it is fitted to the block")
    overlap: float = Field(0.125, ge=0, lt=0.9, description="share of their side by which inputs overlap; blended")
    prediction: bool = Field(True, description="write the prediction too, as a cloud-optimised GeoTIFF on the mosaic's grid")
    agreement: bool = Field(
        False, description="several iterations: also how many of them list each crater by themselves, and how far apart; twice the time"
    )

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, dump: Any) -> dict[str, Any]:
        """Maps made before there was such a key stay as they are."""
        values: dict[str, Any] = dump(self)
        return values if self.agreement else {name: value for name, value in values.items() if name != "agreement"}
