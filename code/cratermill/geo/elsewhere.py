"""Mosaics that configurations name by address (``https://…``, ``s3://…``): a small VRT stands in for each, a file like others.

Only the blocks that are used are fetched. The VRT says what the mosaic was when it was last looked at, so that marks of inputs, which are
made of files, change when the mosaic does.
"""

from __future__ import annotations

import contextlib
import tempfile
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.errors import InputError
from ..core.files import atomic_path, fingerprint
from ..core.notices import notice

SCHEMES = ("https://", "http://", "s3://")
FOLDER = Path("data") / "elsewhere"
SOME_BLOCKS = 64
HEADERS = ("ETag", "Last-Modified", "Content-Length")


def with_stand_ins(root: Path, content: Any) -> Any:
    """A configuration's content with addresses of mosaics replaced by paths below ``root``."""
    if isinstance(content, list):
        return [with_stand_ins(root, one) for one in content]
    if not isinstance(content, dict):
        return content
    return {key: _there(root, value) if key == "mosaic" else with_stand_ins(root, value) for key, value in content.items()}


def _there(root: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_there(root, one) for one in value]
    return stand_in(root, value).as_posix() if isinstance(value, str) and value.lower().startswith(SCHEMES) else value


def address_of(path: Path) -> str | None:
    """The address that a path was made of, which leaves it one of its slashes; None for paths."""
    scheme, _, rest = path.as_posix().partition(":/")
    return f"{scheme}://{rest.lstrip('/')}" if f"{scheme.lower()}://" in SCHEMES else None


def stand_in(root: Path, address: str) -> Path:
    """The VRT of an address, relative to ``root``; written anew where what lies there has changed.

    Raises ``InputError`` where nothing can be opened there; where no answer comes at all, a VRT of an earlier time is used, and said.
    """
    name = PurePosixPath(address.split("?")[0])
    if name.suffix == ".zarr":
        raise InputError(
            f"a configuration can't name a Zarr store elsewhere: {address}",
            valid="a raster that GDAL reads (https://, s3://), or a Zarr store on this machine",
            next_step="copy the store, or cratermill.open_mosaic and write_array in a notebook",
        )
    path = FOLDER / f"{name.stem}_{fingerprint(address)[:8]}.vrt"
    try:
        text = _vrt(address)
    except InputError as error:
        if not (root / path).exists():
            raise
        notice(f"{error.given}: {path} is used, as it was when the mosaic was last read")
        return path
    if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text:
        with atomic_path(root / path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def _vrt(address: str) -> str:
    """A VRT whose first line tells this content from others: what the server says of it, and where its blocks lie in the file."""
    import rasterio.shutil

    from .raster_files import opened

    with opened(address, 1) as dataset, tempfile.TemporaryDirectory() as folder:
        rasterio.shutil.copy(dataset, Path(folder) / "x.vrt", driver="VRT")
        text = (Path(folder) / "x.vrt").read_text(encoding="utf-8")
        return f"<!-- {fingerprint([_headers(address), _blocks(dataset)])} -->\n{text}"


def _headers(address: str) -> list[str | None]:
    if address.lower().startswith("s3://"):
        return []
    with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as answer:  # the schemes are checked
            return [answer.headers.get(name) for name in HEADERS]
    return []


def _blocks(dataset: Any) -> list[str | None]:
    """Places and sizes of some blocks of a GeoTIFF, from its directory: others where other pixels were packed."""
    height, width = dataset.block_shapes[0]
    across, down = -(-dataset.width // width), -(-dataset.height // height)
    some = range(0, across * down, max(1, across * down // SOME_BLOCKS))
    return [
        dataset.get_tag_item(f"BLOCK_{what}_{number % across}_{number // across}", "TIFF", bidx=1)
        for number in some
        for what in ("OFFSET", "SIZE")
    ]
