"""Text files of boxes beside images: YOLO's lines, its polygons, and tables of boxes in pixels; which file belongs to which image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from ...core.delimited import Delimited, parse
from ...core.errors import InputError
from ...core.folder_or_zip import FolderOrZip
from ...core.notices import notice

CUT_PX = 0.6
"""A box that ends this near to the image's edge is cut by it."""
ROUNDING, BEYOND = 1e-6, 0.02
"""Of the image: what a fraction may lie outside of it, and what a box may reach beyond it before its numbers are doubted."""
BOX_COLUMNS = ("X", "Y", "W", "H")
"""Left, top, width and height in pixels, as beside the LROC NAC images of CraterDANet; further columns are ignored."""
OTHER_LABELS, NO_LABELS = (".xml", ".json", ".csv"), ("metadata", "package", "provenance")
KEYPOINT_FILES = (".yaml", ".yml")
LINES = "class cx cy w h [confidence], or class x1 y1 x2 y2 x3 y3 … (a polygon), as fractions of the image"


def paired(images: list[str], labels: list[str], path: Path) -> dict[str, str | None]:
    """The text file of each image, None where there is none: of the same name in the same folder, in ``labels`` where the image lies in
    ``images``, in a folder ``labels`` beside it; or elsewhere, if no other image or text has the name."""
    known, taken = set(labels), {}
    stems, label_stems = (Counter(PurePosixPath(name).stem for name in names) for names in (images, labels))
    by_stem = {PurePosixPath(name).stem: name for name in labels}
    for image in images:
        stem = PurePosixPath(image).stem
        found = next((name for name in _beside(image) if name in known), None)
        if found is None and label_stems[stem]:
            if label_stems[stem] > 1 or stems[stem] > 1:
                raise InputError(
                    f"{path}: it can't be told which of {label_stems[stem]} files {stem}.txt belongs to {image}",
                    valid="a text file in the image's folder, or in labels/ where the image lies in images/",
                    next_step="put the files in folders of the same names, or give each image a name of its own",
                )
            found = by_stem[stem]
        taken[image] = found
    doubled = [label for label, count in Counter(filter(None, taken.values())).items() if count > 1]
    if doubled:
        both = [image for image, label in taken.items() if label == doubled[0]]
        raise InputError(
            f"{path}: {doubled[0]} belongs to {' and '.join(both)}", valid="one image for each text file", next_step="rename one"
        )
    return taken


def require_labels(files: FolderOrZip, labels: Mapping[str, str | None]) -> None:
    """Say, or refuse, what would make craters vanish: labels of other kinds, and texts of boxes that belong to no image.

    ``labels``: the text file of each image, as of :func:`paired`.
    """
    bare = [image for image, label in labels.items() if label is None]
    described = next((name for name in files.ending(KEYPOINT_FILES) if _has_keypoints(files, name)), None)
    if described:
        raise InputError(
            f"{files.path}: {described} says that its lines hold keypoints (kpt_shape), which look like polygons",
            valid=LINES,
            next_step="export the boxes alone, as YOLO's for detection, and remove kpt_shape",
        )
    others = [name for name in files.ending(OTHER_LABELS) if PurePosixPath(name).stem not in NO_LABELS]
    if bare and others:
        raise InputError(
            f"{files.path}: {len(bare)} of {len(labels)} images have no text file of boxes ({bare[0]}), but there is {others[0]}: "
            "labels as COCO, Pascal VOC, LabelMe and tables have them aren't read, and the images would count as without craters",
            valid=f"a text file beside each image with craters: {LINES}",
            next_step=f"export the data set in YOLO's format, or remove {others[0]} if these images show no craters",
        )
    taken = set(labels.values())
    lost = [name for name in files.ending([".txt"]) if name not in taken and _is_of_boxes(files.read(name))]
    if not lost:
        return
    said = f"{files.path}: {len(lost)} text files of boxes, such as {lost[0]}, belong to no image"
    if len(bare) == len(labels):
        valid = "image and text of the same name, capitals and all, like a.jpg and a.txt"
        raise InputError(f"{said}, and no image has one", valid=valid, next_step="rename the files")
    notice(f"{said} and are left out: names must be the same, capitals and all")


def _has_keypoints(files: FolderOrZip, name: str) -> bool:
    return any(line.startswith(b"kpt_shape") for line in files.read(name).splitlines())


def _is_of_boxes(content: bytes) -> bool:
    """Whether the first line is one of YOLO's: other texts beside images list classes or tell of the data."""
    first = next((line for line in content.splitlines() if line.strip()), b"")
    try:
        _box(first.decode("utf-8-sig"), "")
    except (InputError, UnicodeDecodeError):
        return False
    return True


def _beside(image: str) -> list[str]:
    """Where the text file of an image may lie, the likeliest first."""
    place = PurePosixPath(image).with_suffix(".txt")
    folders = list(place.parts[:-1])
    at = [number for number, name in enumerate(folders) if name.lower() == "images"]
    swapped = [PurePosixPath(*folders[: at[-1]], "labels", *folders[at[-1] + 1 :], place.name)] if at else []
    return [str(name) for name in (*swapped, place, place.parent / "labels" / place.name)]


def box_circles(text: str, shape: tuple[int, int], what: str) -> np.ndarray:
    """Circles (N, 3) x, y, radius of a text of boxes; pixel centres at whole numbers. ``InputError`` names the line.

    Lines are YOLO's (:data:`LINES`) or a table with the columns X, Y, W, H. Centres of craters that the image's edge cuts may lie outside.
    """
    size = np.array([shape[1], shape[0]], float)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if re.search(r"[A-Za-z]", re.sub(r"(?i)\b(nan|inf|infinity)\b|\d[eE][+-]?\d", "", first)):
        boxes = _pixel_boxes(parse(text, what), size)
    else:
        lines = [_box(line, f"{what}, line {number}") for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        fractions = np.array([box for _, box in lines], float).reshape(-1, 4)
        _require_no_corners(fractions, what)
        boxes = fractions * np.tile(size, 2)
        for other in sorted({number for number, _ in lines} - {0}):
            notice(
                f"{what}: a box of class {other}, as there may be more: boxes of all classes are taken for craters", once=f"class {other}"
            )
    return _circles(boxes, size)


def _box(line: str, where: str) -> tuple[int, list[float]]:
    """Class, and west, north, east, south as fractions, of one of YOLO's lines."""
    try:
        values = [float(cell) for cell in line.split()]
    except ValueError as error:
        raise InputError(f"{where} is no box: {error}", valid=LINES) from error
    polygon = len(values) >= 7 and len(values) % 2 == 1
    if len(values) not in (5, 6) and not polygon:
        raise InputError(f"{where} has {len(values)} numbers: {line.strip()[:80]}", valid=LINES)
    inside = all(-ROUNDING <= value <= 1 + ROUNDING for value in values[1:])  # so is a confidence; NaN is not
    if not inside or values[0] < 0 or values[0] != np.floor(values[0]):
        raise InputError(f"{where} is outside of 0…1, or its class is no number from 0: {line.strip()[:80]}", valid=LINES)
    if polygon:
        x, y = values[1::2], values[2::2]
        box = [min(x), min(y), max(x), max(y)]
    else:
        cx, cy, w, h = values[1:5]
        box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"{where} is a box without width or height: {line.strip()[:80]}", valid=LINES)
    return int(values[0]), box


def _require_no_corners(boxes: np.ndarray, what: str) -> None:
    """Refuse what reads as west, north, east, south in every line, where as centres and sizes it would reach far beyond the image."""
    first, last = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]  # the numbers as they stand
    beyond = (boxes < -BEYOND) | (boxes > 1 + BEYOND)
    if len(boxes) and beyond.any() and (last > first).all():
        line = int(np.argmax(beyond.any(axis=1))) + 1
        raise InputError(
            f"{what}: its boxes reach beyond the image (box {line}), as if their numbers were two corners, x1 y1 x2 y2",
            valid=f"centres and sizes: {LINES}",
            next_step="write cx = (x1 + x2) / 2, cy = (y1 + y2) / 2, w = x2 - x1, h = y2 - y1",
        )


def _pixel_boxes(table: Delimited, size: np.ndarray) -> np.ndarray:
    """West, north, east, south in pixels from the image's corner, of a table's columns X, Y, W, H."""
    names = {str(name).strip().upper(): number for number, name in enumerate(table.header)}
    if not all(column in names for column in BOX_COLUMNS):
        raise InputError(
            f"{table.what} has the columns {', '.join(table.header)[:120]}", valid=f"{', '.join(BOX_COLUMNS)} in pixels; or lines {LINES}"
        )
    boxes: list[list[float]] = []
    off: list[int] = []
    for line, cells in zip(table.lines, table.rows, strict=True):
        try:
            x, y, w, h = (float(cells[names[column]]) for column in BOX_COLUMNS)
        except ValueError as error:
            raise InputError(
                f"{table.what}, line {line} is no box: {error}", valid=f"numbers of pixels for {', '.join(BOX_COLUMNS)}"
            ) from error
        if not (np.isfinite([x, y]).all() and 0 < w <= 4 * size.max() and 0 < h <= 4 * size.max()):
            raise InputError(
                f"{table.what}, line {line} is a box without a sound place and size: {', '.join(cells)[:80]}",
                valid=f"left, top, width and height in pixels of an image of {size[0]:.0f} × {size[1]:.0f}",
            )
        # Boxes may reach over the edge, and a few of a larger picture's list may lie beyond it.
        inside = x + w > 0 and y + h > 0 and x < size[0] and y < size[1]
        if inside:
            boxes.append([x, y, x + w, y + h])
        else:
            off.append(line)
    if boxes and np.max(boxes) <= 1:
        raise InputError(
            f"{table.what} has boxes within the image's first pixel, as if {', '.join(BOX_COLUMNS)} were fractions of the image",
            valid=f"{', '.join(BOX_COLUMNS)} in pixels (left, top, width, height); or lines {LINES}",
        )
    if len(off) > len(boxes):
        raise InputError(
            f"{table.what}, line {off[0]} lies off the image of {size[0]:.0f} × {size[1]:.0f} pixels, as do most of its boxes",
            valid="boxes on the image, in its own pixels",
            next_step="check that text and image belong together",
        )
    if off:
        notice(f"{table.what}: {len(off)} boxes lie off the image of {size[0]:.0f} × {size[1]:.0f} pixels (line {off[0]} first): left out")
    return np.array(boxes, dtype=float).reshape(-1, 4)


def _circles(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Circles (N, 3) of boxes (N, 4): a box of w × h pixels is a circle of radius √(w·h) / 2.

    One that a side of the image cuts shows the crater's whole width along that side, or, where less than half of the crater is in the
    picture, a chord of it.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    if not len(boxes):
        return np.zeros((0, 3))
    cut_low, cut_high = low <= CUT_PX, high >= size - CUT_PX
    side, cut = high - low, cut_low ^ cut_high
    # As wide as it is high, by the longer of both; where two sides are cut nothing better is known.
    whole = np.broadcast_to(side.max(1, keepdims=True), low.shape)
    depth, chord = np.where(cut[:, 0], side[:, 0], side[:, 1]), np.where(cut[:, 0], side[:, 1], side[:, 0])
    shallow = (cut.sum(1) == 1) & ~(cut_low & cut_high).any(1) & (depth < chord / 2)
    # Height h and chord c of a circle's segment: r = (c² / 4 + h²) / 2 h.
    diameter = (chord**2 / 4 + depth**2) / depth
    whole = np.where(shallow[:, None] & cut, diameter[:, None], whole)
    low, high = np.where(cut_low & ~cut_high, high - whole, low), np.where(cut_high & ~cut_low, low + whole, high)
    radius = np.where(shallow, diameter / 2, np.sqrt(np.prod(high - low, axis=1)) / 2)
    return np.column_stack([(low + high) / 2 - 0.5, radius])
