"""Reading chips: class folders (also inside a zip), npy stacks, MNIST's idx files. Nothing is ever unpickled."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...core.errors import InputError, first_line, nearest
from ...core.folder_or_zip import MOST_PACKED, SMALL_BYTES, FolderOrZip
from ...core.frames import rows_of
from ...core.notices import notice
from ...core.npy import read_npy
from ...core.pictures import opened
from ...samples.grey import grey_bytes, grey_image
from ...samples.store import Piece, Store, write_store
from .chipset import UNLABELLED, ChipSet, Keeping, class_numbers

ABOUT_BYTES = 2**15
"""What a picture takes in pieces of them: sizes differ."""
MODES = ("L", "1", "RGB", "RGBA", "LA", "P", "I", "I;16", "F")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm")
TRAIN, TRAIN_LABELS, EXTRA, PREDICT = "Xtrain1.npy", "Ytrain1.npy", "Xtrain1_extra.npy", "Xtest1.npy"
IDX = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_labelled(path: Path, classes: list[str], keeping: Keeping | None = None) -> tuple[ChipSet, ChipSet | None]:
    """The labelled chips of a source, and those that its authors set aside for testing, if they did (MNIST).

    Raises ``InputError`` where the path is none of the known layouts, and for every flaw of its files.
    """
    if (path / TRAIN).is_file():
        return read_npy_pair(path / TRAIN, path / TRAIN_LABELS, len(classes)), None
    if any(_idx_file(path, name) for name in IDX["train"]):
        return read_idx_pair(path, *IDX["train"], len(classes)), read_idx_pair(path, *IDX["test"], len(classes))
    if path.is_dir() or zipfile.is_zipfile(path):
        return read_class_folders(path, classes, keeping), None
    raise InputError(
        f"{path} {'is no layout of chips' if path.exists() else 'does not exist'}",
        valid=f"a folder or zip of class folders; a folder with {TRAIN} and {TRAIN_LABELS}, or with {IDX['train'][0]}",
        next_step="check data.chips in the config",
    )


def read_unlabelled(path: Path, keeping: Keeping | None = None) -> ChipSet:
    """Chips without labels: an npy stack, or every picture below a folder or in a zip. An empty set is refused."""
    if path.suffix == ".npy":
        stack = read_npy_stack(path)
        chips = ChipSet(list(stack), np.full(len(stack), UNLABELLED), [f"{path.name}[{number}]" for number in range(len(stack))])
    else:
        files = FolderOrZip(path)
        names = files.ending(PICTURES)
        chips = ChipSet(read_pictures(files, names, keeping), np.full(len(names), UNLABELLED), names)
    if not len(chips):
        raise InputError(f"{path} holds no chips", valid="one chip at least", next_step="leave the key out where there are none")
    return chips


# --- class folders ---------------------------------------------------------------------------------------------------------


def read_class_folders(path: Path, classes: list[str], keeping: Keeping | None = None) -> ChipSet:
    """``{class}/picture`` below a folder or inside a zip, at any depth; ``classes`` in the order of their numbers."""
    files = FolderOrZip(path)
    folders = {name: Path(name).parent.name for name in files.ending(PICTURES)}
    names = [name for name, folder in folders.items() if folder in classes]
    others = {folder or "." for folder in folders.values()} - set(classes)
    gone = [one for one in classes if one not in folders.values()]
    if gone:
        raise InputError(
            f"{path} holds no pictures of the class {gone[0]!r}",
            valid=f"folders named like data.classes; there are: {nearest(gone[0], sorted(others | (set(classes) - set(gone)))) or 'none'}",
            next_step="set data.classes to the folders' names, the class looked for last, like [non-crater, crater]",
        )
    if others:
        said = f"{path}: {len(folders) - len(names)} pictures in folders that are no class ({', '.join(sorted(others)[:5])})"
        notice(f"{said} are left out: data.classes names the classes")
    labels = np.array([classes.index(folders[name]) for name in names], np.int64)
    return ChipSet(read_pictures(files, names, keeping), labels, names)


def read_pictures(files: FolderOrZip, names: list[str], keeping: Keeping | None) -> list[np.ndarray]:
    """Grey pictures (h, w) uint8; with ``keeping`` they are kept as they are read."""
    if keeping is None or not names:
        return [read_picture(files.read(name), name) for name in names]

    def make(rows: pd.DataFrame) -> Piece:
        pictures = [read_picture(files.read(name), name) for name in rows["name"]]
        sizes = {"height": [one.shape[0] for one in pictures], "width": [one.shape[1] for one in pictures]}
        return Piece(rows.assign(**sizes, pixels=[one.tobytes() for one in pictures]), {})

    store, table = Store(keeping.folder), pd.DataFrame({"name": names})
    if not store.is_of(keeping.made_of):
        more: dict[str, Any] = {"tell": keeping.tell, "workers": keeping.workers, "sample_bytes": ABOUT_BYTES}
        write_store(store.folder, keeping.made_of, table, {}, make, **more)
    return [np.frombuffer(row.pixels, np.uint8).reshape(row.height, row.width) for row in rows_of(store.rows())]


def read_picture(content: bytes, name: str) -> np.ndarray:
    """A grey picture (h, w) uint8."""
    with opened(content, name) as picture:
        if picture.mode not in MODES:
            raise InputError(f"{name} is a picture of mode {picture.mode}", valid=f"grey pictures of 8 bits: {', '.join(MODES)}")
        if picture.mode in ("P", "1"):
            pixels = np.asarray(picture.convert("RGB" if picture.mode == "P" else "L"))
        else:
            pixels = np.asarray(picture)
    return grey_bytes(grey_image(pixels, name), name)


# --- npy -------------------------------------------------------------------------------------------------------------------


def read_npy_pair(images: Path, labels: Path, classes: int) -> ChipSet:
    stack = read_npy_stack(images)
    numbers = class_numbers(_load(labels), classes, str(labels), len(stack))
    return ChipSet(list(stack), numbers, [f"{images.name}[{number}]" for number in range(len(stack))])


def read_npy_stack(path: Path) -> np.ndarray:
    """Chips (N, h, w) uint8 from a stack (N, H·W), square, (N, H, W) or (N, H, W, 1)."""
    stack = _load(path)
    if stack.ndim == 4 and stack.shape[3] == 1:
        stack = stack[..., 0]
    if stack.ndim == 4:
        raise InputError(
            f"{path} has the shape {stack.shape}, chips of {stack.shape[3]} channels",
            valid="grey chips, (N, H·W) or (N, H, W)",
            next_step="choose one band, or convert the chips to grey, before preparing",
        )
    if stack.ndim == 2:
        side = math.isqrt(stack.shape[1])
        if side * side != stack.shape[1]:
            raise InputError(f"{path} has the shape {stack.shape}: {stack.shape[1]} is no square number", valid="(N, H·W) or (N, H, W)")
        stack = stack.reshape(-1, side, side)
    if stack.ndim != 3:
        raise InputError(f"{path} has the shape {stack.shape}", valid="(N, H·W) or (N, H, W)")
    return grey_bytes(stack, str(path))


def _load(path: Path) -> np.ndarray:
    try:
        return read_npy(path, "buifUS")  # of labels that are texts their reader says more
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing", valid=f"{TRAIN} and {TRAIN_LABELS} side by side", next_step="put the file there") from error


# --- idx -------------------------------------------------------------------------------------------------------------------


def read_idx_pair(folder: Path, images: str, labels: str, classes: int) -> ChipSet:
    stack = grey_bytes(read_idx(_require_idx(folder, images), 3), images)
    numbers = class_numbers(read_idx(_require_idx(folder, labels), 1), classes, labels, len(stack))
    return ChipSet(list(stack), numbers, [f"{images}[{number}]" for number in range(len(stack))])


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An idx array (two zero bytes, type, number of dimensions, sizes as big-endian uint32, values); ``.gz`` is unpacked.

    Format: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits.
    """
    start = 4 + 4 * dimensions
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(start)
            sizes, kind = _idx_head(head, dimensions, path)
            wanted = math.prod(sizes) * kind.itemsize
            _require_sane(path, wanted)
            content = file.read(wanted + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}", next_step="copy or download it again") from error
    if len(content) != wanted:
        raise InputError(
            f"{path} holds {'more than ' * (len(content) > wanted)}{min(len(content), wanted)} bytes of values, "
            f"its header says {'×'.join(map(str, sizes))}",
            next_step="the file is truncated or has another header: copy or download it again",
        )
    return np.frombuffer(content, kind).reshape(sizes)


def _idx_head(head: bytes, dimensions: int, path: Path) -> tuple[list[int], np.dtype]:
    if len(head) < 4 + 4 * dimensions or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or head[3] != dimensions:
        raise InputError(f"{path} does not begin like an idx file of {dimensions} dimension(s)", valid="MNIST's own files, .gz or not")
    return [int.from_bytes(head[at : at + 4], "big") for at in range(4, len(head), 4)], np.dtype(IDX_TYPES[head[2]])


def _require_sane(path: Path, wanted: int) -> None:
    """Pictures aren't packed a hundredfold: a small file that says it holds gigabytes would only fill the memory."""
    size = path.stat().st_size
    if wanted > MOST_PACKED * max(size, SMALL_BYTES):
        raise InputError(
            f"{path} has {size} bytes and says it holds {wanted}",
            valid=f"at most {MOST_PACKED} times its size",
            next_step="check where the file comes from",
        )


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((folder / one for one in (name, f"{name}.gz") if (folder / one).is_file()), None)


def _require_idx(folder: Path, name: str) -> Path:
    path = _idx_file(folder, name)
    if path is None:
        raise InputError(f"{folder / name} is missing", valid="the four files of MNIST, .gz or not", next_step="put the file there")
    return path


def npy_companions(folder: Path) -> dict[str, Path]:
    """The unlabelled chips and those to predict that lie beside an npy pair, as the original project names them; empty ones are none."""
    found = {"unlabelled": folder / EXTRA, "predict": folder / PREDICT}
    return {role: path for role, path in found.items() if path.is_file() and len(np.atleast_1d(_load(path)))}


def left_out_folders(path: Path, classes: list[str]) -> dict[str, int]:
    """How many pictures lie in folders that are no class, by their folder; nothing for sources of other layouts."""
    if (path / TRAIN).is_file() or any(_idx_file(path, name) for name in IDX["train"]):
        return {}
    folders = Counter(Path(name).parent.name or "." for name in FolderOrZip(path).ending(PICTURES))
    return {folder: count for folder, count in sorted(folders.items()) if folder not in classes}
