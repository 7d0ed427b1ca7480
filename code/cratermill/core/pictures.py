"""Opening pictures that anyone may have made: what is broken or would fill the memory is refused by its header, before it is unpacked."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .errors import InputError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PX = 2**26
"""Pixels of the largest chip or crop that is opened: 8 192 × 8 192."""
# What Pillow raises at broken files, beside OSError and SyntaxError.
_FLAWS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    ZeroDivisionError,
)


@contextlib.contextmanager
def opened(content: bytes, what: str, most_px: int = MOST_PX) -> Iterator[Image]:
    """A picture of a file's bytes as viewers show it, for a ``with`` that takes its pixels; ``InputError`` names ``what`` if it can't be
    used."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own limit is below
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            if width * height > most_px:
                raise InputError(
                    f"{what} is a picture of {width} × {height} pixels, {width * height / 1e6:.0f} million",
                    valid=f"up to {most_px / 1e6:.0f} million pixels",
                    next_step="cut it into pieces; mosaics are read as GeoTIFF",
                )
            _require_one(picture, what)
            yield _upright(picture)
    except InputError:
        raise
    except _FLAWS as error:
        raise InputError(
            f"{what} can't be read as a picture: {first_line(error)}", valid="a whole picture", next_step="remove or replace it"
        ) from error


_TURNED, _KIND = 274, 254
"""Tags of EXIF and TIFF: how the picture was held, and whether a page is one of its own (0, 2), a smaller copy or a mask."""
_LOOKED_AT = 8


def _require_one(picture: Image, what: str) -> None:
    """Raise ``InputError`` for a stack of pages, of which only the first would be seen."""
    if picture.format != "TIFF":
        return
    first, pages = picture.size, 1
    with contextlib.suppress(EOFError, SyntaxError):  # the end; a mask of one bit, which Pillow doesn't know
        while pages < _LOOKED_AT:
            picture.seek(pages)
            if picture.size == first and getattr(picture, "tag_v2", {}).get(_KIND, 0) in (0, 2):
                raise InputError(
                    f"{what} holds several pages", valid="one picture in each file", next_step="write each page to a file of its own"
                )
            pages += 1
    picture.seek(0)


def _upright(picture: Image) -> Image:
    """Labels were drawn on what viewers show: cameras' files are turned as they say."""
    from PIL import ImageOps

    turned = picture.format in ("JPEG", "MPO", "PNG", "WEBP") and picture.getexif().get(_TURNED, 1) != 1
    return ImageOps.exif_transpose(picture) if turned else picture
