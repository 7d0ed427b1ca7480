"""Text as the world writes it: UTF-8 with or without a mark, UTF-16, and Windows-1252 as spreadsheets save it."""

from __future__ import annotations

import codecs
from pathlib import Path

from .errors import InputError
from .notices import notice

ENCODINGS = ("UTF-8", "UTF-16", "Windows-1252")
MOST_TEXT_BYTES = 2**31
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig", "UTF-8"), (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"), (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"))
_LOOKED_AT = 4096


def read_text(path: Path) -> str:
    """A text file's content; ``OSError`` where it can't be read, ``InputError`` where it is no text."""
    size = path.stat().st_size
    if size > MOST_TEXT_BYTES:
        raise InputError(f"{path} has {size / 2**30:.1f} GiB", valid=f"text files up to {MOST_TEXT_BYTES >> 30} GiB")
    return decode(path.read_bytes(), str(path))


def decode(content: bytes, what: str) -> str:
    """Bytes as text; ``what`` names their file. Bytes that no encoding of ``ENCODINGS`` gives are refused with their line.

    That it was taken for Windows-1252 is said (:mod:`cratermill.core.notices`): nothing in such a file tells.
    """
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            return _strictly(content, codec, name, what)
    if wide := _wide(content):
        return _strictly(content, wide, "UTF-16", what)
    if 0 in content:
        line = content[: content.index(0)].count(b"\n") + 1
        raise InputError(
            f"{what} is no text: line {line} holds a zero byte",
            valid=f"text in {', '.join(ENCODINGS)}",
            next_step="check that it is the right file, and not a spreadsheet or an archive by another name",
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte, line = content[error.start], content[: error.start].count(b"\n") + 1
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise InputError(
            f"{what} is not UTF-8 (byte {byte:#04x} in line {line})",
            valid=f"text in {', '.join(ENCODINGS)}",
            next_step="save it again as UTF-8: in Excel as 'CSV UTF-8', in QGIS with the encoding UTF-8",
        ) from None
    notice(f"{what}: the text is not UTF-8 and was read as Windows-1252: save it as UTF-8 if letters look wrong")
    return text


def _strictly(content: bytes, codec: str, name: str, what: str) -> str:
    try:
        text = content.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} begins like {name} but is not: {error.reason} at byte {error.start}", next_step="save it again as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{what} is no text: it holds zero characters", valid=f"text in {', '.join(ENCODINGS)}", next_step="check the file"
        )
    return text


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark shows by every other byte being zero in text of Latin letters."""
    start = content[:_LOOKED_AT]
    if len(start) < 4 or len(content) % 2:
        return None
    even, odd = start[::2].count(0) / len(start[::2]), start[1::2].count(0) / len(start[1::2])
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.1 else None
