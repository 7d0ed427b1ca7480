"""The server behind ``cratermill view``: tiles of COGs in planetary projections, on loopback, with a token, for reading only.

It opens the files that it was started with and no other: nothing that a browser sends becomes a path.
"""

from __future__ import annotations

import contextlib
import io
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
from ..geo.layers import open_mosaic
from ..geo.mosaic import Mosaic
from ..geo.overviews import with_kept_overviews
from ..geo.raster_files import explained
from . import assets
from .images import seen
from .palette import CIVIDIS, Colours
from .viewer import POLES, Layer, View, around_pole, on_picture, ramp, served_page, viewer

if TYPE_CHECKING:
    from starlette.applications import Starlette

TILE_PX, CUTOUT_PX = 256, 420
Bounds = tuple[float, float, float, float]
"""West, south, east, north."""
Tile = tuple[np.ndarray, np.ndarray]
"""Pixels (C, h, w), and (h, w) where there are any."""
REDUCED_PX = 4096
"""Widest picture of a whole raster that is held in memory, for polar views from afar."""
SAMPLE_PX = 512
"""Side of the reduced raster by which a layer's range of values is found."""
RAMP = np.stack([np.interp(np.linspace(0, 1, 256), (0, 0.5, 1), channel) for channel in zip(*CIVIDIS, strict=True)], axis=1).astype(
    np.uint8
)
"""Colours (256, 3) of values."""
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
    limits: tuple[float, float] | None = None
    """Values that are black and white, or the ramp's ends; found in the raster where they aren't known."""
    _open: threading.local = field(default_factory=threading.local)
    _making: threading.Lock = field(default_factory=threading.Lock)
    _same: dict[str, bool] = field(default_factory=dict)

    @property
    def dataset(self) -> Any:
        """Per thread: GDAL's datasets must not be shared."""
        import rasterio

        if not hasattr(self._open, "dataset"):
            self._open.dataset = rasterio.open(self.shown)
        return self._open.dataset

    @cached_property
    def shown(self) -> Path:
        """The file, or one with overviews where it is large and has none: whoever comes first makes them, the others wait."""
        with self._making:
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
        if self.limits is not None:
            return self.limits
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
        with contextlib.suppress(InputError), explained(self.path):  # its tiles say what is wrong
            return ramp(*self.range) if self.kind == "values" else ""
        return ""

    def tile(self, bounds: Bounds, crs: str = "") -> bytes:
        """``bounds`` in metres or degrees of ``crs`` (WKT), by default of the raster's own, as a picture."""
        return self.picture(*(self._read(bounds) if self._lies_in(crs) else self._warped(bounds, crs)))

    def _lies_in(self, crs: str) -> bool:
        if crs not in self._same:
            from rasterio.crs import CRS

            data = self.dataset
            self._same[crs] = not crs or (data.crs == CRS.from_wkt(crs) and data.transform.is_rectilinear and data.transform.e < 0)
        return self._same[crs]

    def _read(self, bounds: Bounds) -> Tile:
        """Straight from the file or its overviews, which takes a tenth of what a warp of the same pixels does."""
        from rasterio.enums import MaskFlags, Resampling
        from rasterio.windows import Window

        data, (west, south, east, north) = self.dataset, bounds
        (left, top), (right, bottom) = ~data.transform @ (west, north), ~data.transform @ (east, south)
        (cols, first_col, width), (rows, first_row, height) = _overlap(left, right, data.width), _overlap(top, bottom, data.height)
        indexes, shape = self.indexes or data.indexes, (rows.stop - rows.start, cols.stop - cols.start)
        pixels = np.zeros((len(indexes), TILE_PX, TILE_PX), data.dtypes[indexes[0] - 1])
        shown = np.zeros((TILE_PX, TILE_PX), bool)
        if min(shape) > 0:
            window = Window(first_col, first_row, width, height)
            how = Resampling.nearest if self.kind in ("numbers", "rgba") else Resampling.bilinear
            pixels[:, rows, cols] = data.read(indexes, window=window, out_shape=(len(indexes), *shape), resampling=how)
            whole = MaskFlags.all_valid in data.mask_flag_enums[indexes[0] - 1]
            shown[rows, cols] = True if whole else data.dataset_mask(window=window, out_shape=shape) > 0
        return pixels, shown

    def _warped(self, bounds: Bounds, crs: str) -> Tile:
        from rasterio.crs import CRS
        from rio_tiler.io import Reader

        plane = CRS.from_wkt(crs)
        with Reader(None, dataset=self.dataset) as reader:
            how: Any = "nearest" if self.kind in ("numbers", "rgba") else "bilinear"
            size: dict[str, Any] = {"width": TILE_PX, "height": TILE_PX, "indexes": self.indexes, "resampling_method": how}
            image = reader.part(bounds, bounds_crs=plane, dst_crs=plane, **size)
        return image.data, np.asarray(image.mask) > 0

    def picture(self, pixels: np.ndarray, shown: np.ndarray) -> bytes:
        """Raw pixels (C, h, w), where ``shown`` (h, w), in the layer's colours: JPEG where a mosaic fills the tile, else PNG."""
        drawn = self._drawn(pixels, shown)
        return encoded(drawn, lossy=self.kind == "mosaic")

    def _drawn(self, pixels: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Bytes (h, w, 4)."""
        if self.kind == "rgba":
            colours = pixels  # the mask is that of the alpha band
        elif self.kind == "numbers":
            numbers = np.where(shown, pixels[0], -1).astype(np.int64)
            found, where = np.unique(numbers, return_inverse=True)
            hues = np.array([self.colours.rgb(int(one)) if one >= 0 else (0, 0, 0) for one in found], np.uint8)
            colours, shown = hues[where.reshape(numbers.shape)].transpose(2, 0, 1), numbers >= 0
        else:
            if pixels.dtype.kind == "f":
                shown = shown & np.isfinite(pixels).all(axis=0)
            levels = self._levels(np.arange(256))[pixels] if pixels.dtype == np.uint8 else self._levels(pixels)
            colours = np.moveaxis(RAMP[levels[0]], -1, 0) if self.kind == "values" else levels if len(levels) == 3 else levels[:1]
        drawn = np.empty((*shown.shape, 4), np.uint8)
        drawn[..., :3], drawn[..., 3] = np.moveaxis(colours, 0, -1), shown * np.uint8(255)
        return drawn

    def _levels(self, values: np.ndarray) -> np.ndarray:
        """Bytes from the range's low end to its high one; what is no number is 0."""
        low, high = self.range
        return (np.clip(np.nan_to_num((values.astype(np.float32) - low) / (high - low)), 0, 1) * 255).astype(np.uint8)


def _overlap(low: float, high: float, size: int) -> tuple[slice, float, float]:
    """Of a tile from ``low`` to ``high`` on a raster's axis: its pixels that lie on the raster, where these begin there, and how far
    they go; ``size`` is the raster's."""
    scale = TILE_PX / (high - low)
    first, last = (min(max(round((edge - low) * scale), 0), TILE_PX) for edge in (0, size))
    begin, end = (min(max(low + place / scale, 0.0), float(size)) for place in (first, last))
    return slice(first, last), begin, end - begin


def encoded(pixels: np.ndarray, lossy: bool = False) -> bytes:
    """Bytes (h, w, 3 or 4) as PNG, or as JPEG where that is allowed and nothing is transparent: a fifth of the time, and of the bytes."""
    from PIL import Image

    made = io.BytesIO()
    if lossy and (pixels.shape[2] == 3 or pixels[..., 3].all()):
        Image.fromarray(np.ascontiguousarray(pixels[..., :3])).save(made, "JPEG", quality=90, subsampling=0)
    else:
        Image.fromarray(pixels).save(made, "PNG", compress_level=1)
    return made.getvalue()


@dataclass
class MapView:
    """All that the page shows: rasters from the lowest to the highest, vectors over them."""

    title: str
    mosaic: Path
    bands: list[int | str] | None
    rasters: list[Raster]
    vectors: list[Layer]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _ready: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._ready.set()

    @cached_property
    def opened(self) -> Mosaic:
        """Its handle has a lock; tiles are read from the rasters' own."""
        return open_mosaic(self.mosaic, self.bands)

    @cached_property
    def crs(self) -> str:
        return str(self.opened.grid.crs.to_wkt())

    @cached_property
    def view(self) -> View:
        grid = self.opened.grid
        if grid.columns_per_turn is None or not grid.is_north_up:
            raise InputError(f"{self.mosaic} isn't north up in a cylindrical or geographic projection", next_step="look at it in QGIS")
        return View.of(grid)

    def warm(self) -> None:
        """Begin with what the first tiles would wait for: overviews, what is black and what is white. They wait until it is done."""
        self._ready.clear()

        def work() -> None:
            for raster in self.rasters:
                try:
                    with explained(raster.path):
                        _ = (raster.dataset, raster.range) if raster.on else ()
                except InputError as error:
                    notice(f"not all of {self.title} can be shown: {error}")
            self._ready.set()

        threading.Thread(target=work, daemon=True, name="warm").start()

    def page(self) -> str:
        tiles = [
            Layer(one.id, one.label, "tiles", one.on, one.opacity, f"tiles/{{view}}/{one.id}/{{z}}/{{x}}/{{y}}", legend=one.legend)
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
        self._ready.wait()
        with explained(raster.path):
            return self._tile(raster, view, zoom, x, y)

    def _tile(self, raster: Raster, view: str, zoom: int, x: int, y: int) -> bytes:
        side = TILE_PX / 2**zoom
        west, south, east, north = x * side, -(y + 1) * side, (x + 1) * side, -y * side
        if view == "cylindrical":
            # Read as it is: the page's plane is the mosaic's own but for units, and warping 0…360 would lose a half.
            (west, south), (east, north) = self._native(west, south), self._native(east, north)
            return raster.tile((west, south, east, north), "" if raster.kind == "mosaic" else self.crs)
        if zoom <= self.whole_zoom:
            # Warping a hemisphere takes GDAL seconds, whatever the overviews.
            (pixels, shown), pole = raster.reduced, around_pole(self.opened.grid, view, (west, south, east, north), TILE_PX)
            rows, cols, inside = on_picture(pole, self.opened.grid, shown.shape)
            return raster.picture(pixels[:, rows, cols], shown[rows, cols] & inside)
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
        left, top = grid.affine @ (columns, rows)
        return float(left), float(top)

    def cutout(self, lon: float, lat: float, radius_m: float) -> bytes:
        """A crater from above in its own azimuthal plane, north up, three radii to each side."""
        body: Body = self.view.body
        if not (abs(lat) <= 90 and 0 < radius_m < body.half_circumference_m / 6):
            raise InputError(f"a crater of {radius_m} m at {lon}, {lat}", valid="a place on the body")
        picture = seen(self.opened, square_grid(body, lon, lat, 3 * radius_m, CUTOUT_PX))
        return encoded((picture * 255).astype(np.uint8))


def plane_crs(view: View, name: str) -> str:
    """The CRS of a polar view, in metres, on a sphere: latitudes are taken as they are, as the page takes them."""
    from rasterio.crs import CRS

    radius = f"+R={view.body.semi_major_m} +units=m +no_defs"
    return str(CRS.from_string(f"+proj=stere +lat_0={90 if name == 'north' else -90} +lon_0=0 +k=1 {radius}").to_wkt())


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
        kind = "image/jpeg" if found.startswith(b"\xff\xd8") else "image/png"
        return Response(found, media_type=kind, headers={"Cache-Control": "max-age=600"})

    def row(request: Request) -> Response:
        layer = next((one for one in pages.vectors if one.id == request.path_params["layer"]), None)
        return JSONResponse((layer.rows if layer else {}).get(request.path_params["id"], {}))

    def cutout(request: Request) -> Response:
        lon, lat, radius = (float(request.path_params[name]) for name in ("lon", "lat", "radius"))
        return Response(pages.cutout(lon, lat, radius), media_type="image/png")

    # Leaflet's first zoom may be below 0, and so may columns and rows.
    return [
        Route("/tiles/{view}/{name}/{z}/{x}/{y}", guarded(tile)),
        Route("/row/{layer}/{id}", guarded(row)),
        Route("/cutout/{lon}/{lat}/{radius}.png", guarded(cutout)),
    ]


def serve(pages: MapView | Callable[[], str], token: str, port: int, say: Callable[[str], None]) -> None:
    """Until Ctrl-C. ``port`` 0: any that is free. Browsers may come while the rest is still loaded: they wait for it."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except OSError as error:
        raise InputError(f"port {port}: {error.strerror}", next_step="give another one, or leave --port out") from error
    say(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}")
    if isinstance(pages, MapView):
        pages.warm()
    import uvicorn

    plain: Any = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off"}  # what is looked for first takes longer to load
    config = uvicorn.Config(app_of(pages, token), log_level="warning", access_log=False, **plain)
    uvicorn.Server(config).run(sockets=[listening])
