"""The server behind ``cratermill view``: tiles of COGs in planetary projections, on loopback, with a token, for reading only.

It opens the files that it was started with and no other: nothing that a browser sends becomes a path.
"""

from __future__ import annotations

import math
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError
from ..core.notices import notice
from ..geo.bodies import Body
from ..geo.grid import square_grid
from ..geo.mosaic import Mosaic
from ..geo.overviews import with_kept_overviews
from . import assets
from .map_pictures import seen
from .palette import CIVIDIS, Colours
from .viewer import POLES, Layer, View, around_pole, on_picture, ramp, served_page, viewer

if TYPE_CHECKING:
    from starlette.applications import Starlette

TILE_PX, CUTOUT_PX = 256, 420
REDUCED_PX = 4096
"""Widest picture of a whole raster that is held in memory, for polar views from afar."""
SAMPLE_PX = 512
"""Side of the reduced raster by which a layer's range of values is found."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass
class Raster:
    """One COG as a layer. ``kind``: mosaic, rgba, numbers (a colour of its own for each, as of craters) or values (a ramp)."""

    id: str
    label: str
    path: Path
    kind: str = "values"
    on: bool = True
    opacity: float = 1.0
    indexes: list[int] | None = None
    colours: Colours = field(default_factory=Colours)
    _open: threading.local = field(default_factory=threading.local)

    @property
    def dataset(self) -> Any:
        """Per thread: GDAL's datasets must not be shared."""
        import rasterio

        if not hasattr(self._open, "dataset"):
            self._open.dataset = rasterio.open(self.shown)
        return self._open.dataset

    @cached_property
    def shown(self) -> Path:
        """The file, or one with overviews where it is large and has none."""
        return with_kept_overviews(self.path, self.resampling, notice)

    @property
    def resampling(self) -> str:
        return "nearest" if self.kind in ("numbers", "rgba") else "average"

    @cached_property
    def reduced(self) -> tuple[np.ndarray, np.ndarray]:
        """All of it at most ``REDUCED_PX`` wide, (C, h, w), and what of it is shown (h, w)."""
        from rasterio.enums import Resampling

        data = self.dataset
        factor = max(1, -(-data.width // REDUCED_PX))
        shape = -(-data.height // factor), -(-data.width // factor)
        pixels = data.read(self.indexes, out_shape=(len(self.indexes or data.indexes), *shape), resampling=Resampling[self.resampling])
        return pixels, data.dataset_mask(out_shape=shape) > 0

    @cached_property
    def range(self) -> tuple[float, float]:
        """What is black and what is white: shares from 0 to 1, else the 1st and 99.5th percentile."""
        data = self.dataset.read(self.indexes or [1], out_shape=(len(self.indexes or [1]), SAMPLE_PX, SAMPLE_PX), masked=True)
        valid = np.asarray(data.compressed(), float)
        valid = valid[np.isfinite(valid)]
        if not valid.size:
            return 0.0, 1.0
        if self.kind == "values" and valid.min() >= 0 and valid.max() <= 1:
            return 0.0, 1.0
        low, high = np.percentile(valid, [1, 99.5])
        return float(low), float(max(high, low + 1e-6))

    @property
    def legend(self) -> str:
        return ramp(*self.range) if self.kind == "values" else ""

    def tile(self, bounds: tuple[float, float, float, float], crs: Any, size: int = TILE_PX) -> bytes:
        """``bounds`` (metres of ``crs``) as PNG."""
        from rasterio.crs import CRS
        from rio_tiler.io import Reader

        crs = CRS.from_wkt(crs) if isinstance(crs, str) else crs
        with Reader(None, dataset=self.dataset) as reader:
            how: Any = "nearest" if self.kind in ("numbers", "rgba") else "bilinear"
            image = reader.part(bounds, bounds_crs=crs, dst_crs=crs, width=size, height=size, indexes=self.indexes, resampling_method=how)
        return self.png(image.data, np.asarray(image.mask) > 0)

    def png(self, pixels: np.ndarray, shown: np.ndarray) -> bytes:
        """Raw pixels (C, h, w), where ``shown`` (h, w), in the layer's colours."""
        from rio_tiler.models import ImageData

        return bytes(ImageData(np.ma.MaskedArray(*self._drawn(pixels, shown))).render(img_format="PNG"))

    def _drawn(self, pixels: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bytes (3, h, w) and what is hidden of them."""
        if self.kind == "rgba":
            return pixels.astype(np.uint8), np.broadcast_to(~shown, (3, *shown.shape))  # the mask is that of the alpha band
        if self.kind == "numbers":
            numbers = np.where(shown, pixels[0], -1).astype(np.int64)
            found, where = np.unique(numbers, return_inverse=True)
            colours = np.array([self.colours.rgb(int(one)) if one >= 0 else (0, 0, 0) for one in found], np.uint8)
            return colours[where.reshape(numbers.shape)].transpose(2, 0, 1), np.broadcast_to(numbers < 0, (3, *shown.shape))
        low, high = self.range
        share = np.clip((pixels.astype(float) - low) / (high - low), 0, 1)
        missing = ~shown | ~np.isfinite(share).all(axis=0)
        share = np.nan_to_num(share)
        if self.kind == "values":
            ends = [[one[channel] for one in CIVIDIS] for channel in range(3)]
            share = np.stack([np.interp(share[0], (0, 0.5, 1), end) / 255 for end in ends])
        elif len(share) != 3:
            share = np.repeat(share[:1], 3, axis=0)
        return (share * 255).astype(np.uint8), np.broadcast_to(missing, (3, *shown.shape))


@dataclass
class MapView:
    """All that the page shows: rasters from the lowest to the highest, vectors over them."""

    title: str
    mosaic: Path
    bands: list[int | str] | None
    rasters: list[Raster]
    vectors: list[Layer]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _mosaic: threading.local = field(default_factory=threading.local)

    @property
    def opened(self) -> Mosaic:
        if not hasattr(self._mosaic, "one"):
            self._mosaic.one = Mosaic.open(self.mosaic, self.bands)
        found: Mosaic = self._mosaic.one
        return found

    @cached_property
    def view(self) -> View:
        grid = self.opened.grid
        if grid.columns_per_turn is None or not grid.is_north_up:
            raise InputError(f"{self.mosaic} isn't north up in a cylindrical or geographic projection", next_step="look at it in QGIS")
        return View.of(grid)

    def warm(self) -> None:
        """What the first tiles would wait for: libraries, overviews, what is black and what is white."""
        for raster in self.rasters:
            if raster.on:
                self.tile("cylindrical", raster.id, 0, math.floor(self.view.lon0 / TILE_PX), 0)

    def page(self) -> str:
        tiles = [
            Layer(one.id, one.label, "tiles", one.on, one.opacity, f"tiles/{{view}}/{one.id}/{{z}}/{{x}}/{{y}}.png", legend=one.legend)
            for one in self.rasters
        ]
        bare = [Layer(one.id, one.label, one.kind, one.on, one.opacity, colour=one.colour, items=one.items) for one in self.vectors]
        more = {"cutout": "cutout/{lon}/{lat}/{radius}.png", "row": "row/{layer}/{id}"}
        return served_page(self.title, viewer(self.view, [*tiles, *bare], more))

    def tile(self, view: str, name: str, zoom: int, x: int, y: int) -> bytes | None:
        """A tile of Leaflet's simple plane, whose unit is a degree of the equator and whose y points down."""
        raster = next((one for one in self.rasters if one.id == name), None)
        if raster is None or view not in ("cylindrical", *POLES) or not 0 <= zoom <= self.view.max_zoom + 3:
            return None
        side = TILE_PX / 2**zoom
        west, south, east, north = x * side, -(y + 1) * side, (x + 1) * side, -y * side
        if view == "cylindrical":
            # Read as it is: the page's plane is the mosaic's own but for units, and warping 0…360 would lose a half.
            (west, south), (east, north) = self._native(west, south), self._native(east, north)
            return raster.tile((west, south, east, north), self.opened.grid.crs.to_wkt())
        if zoom <= self.whole_zoom:
            # Warping a hemisphere takes GDAL seconds, whatever the overviews.
            (pixels, shown), pole = raster.reduced, around_pole(self.opened.grid, view, (west, south, east, north), TILE_PX)
            rows, cols, inside = on_picture(pole, self.opened.grid, shown.shape)
            return raster.png(pixels[:, rows, cols], shown[rows, cols] & inside)
        metres = float(np.radians(1) * self.view.body.semi_major_m)
        return raster.tile((west * metres, south * metres, east * metres, north * metres), plane_crs(self.view, view))

    @property
    def whole_zoom(self) -> int:
        """The last zoom at which a reduced picture of the whole is sharp enough."""
        width = -(-self.opened.grid.width // max(1, -(-self.opened.grid.width // REDUCED_PX)))
        return math.floor(math.log2(width / (self.view.bounds[2] - self.view.bounds[0])))

    def _native(self, x: float, y: float) -> tuple[float, float]:
        """Degrees of the page's plane in the units of the mosaic's grid."""
        grid, bounds = self.opened.grid, self.view.bounds
        columns, rows = (x - bounds[0]) / (bounds[2] - bounds[0]) * grid.width, (bounds[3] - y) / (bounds[3] - bounds[1]) * grid.height
        left, top = grid.affine * (columns, rows)
        return float(left), float(top)

    def cutout(self, lon: float, lat: float, radius_m: float) -> bytes:
        """A crater from above in its own azimuthal plane, north up, three radii to each side."""
        from rio_tiler.models import ImageData

        body: Body = self.view.body
        if not (abs(lat) <= 90 and 0 < radius_m < body.half_circumference_m / 6):
            raise InputError(f"a crater of {radius_m} m at {lon}, {lat}", valid="a place on the body")
        picture = seen(self.opened, square_grid(body, lon, lat, 3 * radius_m, CUTOUT_PX))
        return bytes(ImageData((picture * 255).astype(np.uint8).transpose(2, 0, 1)).render(img_format="PNG"))


def plane_crs(view: View, name: str) -> Any:
    """The CRS of a polar view, in metres, on a sphere: latitudes are taken as they are, as the page takes them."""
    from rasterio.crs import CRS

    radius = f"+R={view.body.semi_major_m} +units=m +no_defs"
    return CRS.from_string(f"+proj=stere +lat_0={90 if name == 'north' else -90} +lon_0=0 +k=1 {radius}")


def app_of(pages: MapView | Callable[[], str], token: str) -> Starlette:
    """The pages behind a token; ``pages`` is a map, or what makes a page that refreshes."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route

    def may(request: Request) -> bool:
        return secrets.compare_digest(request.cookies.get("cratermill", ""), token)

    def guarded(work: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            if not may(request):
                return PlainTextResponse("open the address that 'cratermill view' printed, with its token", 403)
            try:
                found = work(request)
            except (InputError, ValueError) as error:
                found = PlainTextResponse(str(error), 400)
            found.headers.update(HEADERS)
            return found

        return answer

    def front(request: Request) -> Response:
        if secrets.compare_digest(request.query_params.get("token", ""), token):
            found = RedirectResponse("/")
            found.set_cookie("cratermill", token, httponly=True, samesite="strict")
            return found
        return guarded(lambda _: HTMLResponse(pages.page() if isinstance(pages, MapView) else pages()))(request)

    def library(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in assets.FROM:
            return PlainTextResponse("no such file", 404)
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(assets.content(name), media_type=kind, headers={"Cache-Control": "max-age=3600"})

    routes = [Route("/", front), Route("/assets/{name}", guarded(library))]
    if isinstance(pages, MapView):
        routes += _map_routes(pages, guarded)
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "testserver"])])


def _map_routes(pages: MapView, guarded: Callable[..., Any]) -> list[Any]:
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def tile(request: Request) -> Response:
        given = request.path_params
        found = pages.tile(given["view"], given["name"], int(given["z"]), int(given["x"]), int(given["y"]))
        if found is None:
            return PlainTextResponse("no such tile", 404)
        return Response(found, media_type="image/png", headers={"Cache-Control": "max-age=600"})

    def row(request: Request) -> Response:
        layer = next((one for one in pages.vectors if one.id == request.path_params["layer"]), None)
        return JSONResponse((layer.rows if layer else {}).get(request.path_params["id"], {}))

    def cutout(request: Request) -> Response:
        lon, lat, radius = (float(request.path_params[name]) for name in ("lon", "lat", "radius"))
        return Response(pages.cutout(lon, lat, radius), media_type="image/png")

    # Leaflet's first zoom may be below 0, and so may columns and rows.
    return [
        Route("/tiles/{view}/{name}/{z}/{x}/{y}.png", guarded(tile)),
        Route("/row/{layer}/{id}", guarded(row)),
        Route("/cutout/{lon}/{lat}/{radius}.png", guarded(cutout)),
    ]


def serve(pages: MapView | Callable[[], str], token: str, port: int, say: Callable[[str], None]) -> None:
    """Until Ctrl-C. ``port`` 0: any that is free."""
    import uvicorn

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        raise InputError(f"port {port}: {error.strerror}", next_step="give another one, or leave --port out") from error
    if isinstance(pages, MapView):
        pages.warm()
    say(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}")
    config = uvicorn.Config(app_of(pages, token), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])
