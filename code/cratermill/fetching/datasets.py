"""The registry of public data: one file of configs/datasets each, and where they lie once they were fetched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from ..core.errors import InputError, nearest
from ..core.files import read_json
from ..core.models import Strict, checked, read_keys
from ..core.paths import Project, shipped_configs

PREFIX = "fetched:"
SHARED = "CRATERMILL_FETCHED"
"""Names a folder of fetched data that a group shares; it is looked into after the project's own."""


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts or "\\" in value or not value.isprintable():
        raise ValueError("must be a path inside the folder, with / between its parts")
    return value


Inside = Annotated[str, AfterValidator(_inside)]
Address = Annotated[str, StringConstraints(pattern=r"^(https?|ftp|file)://[^\s]+$|^doi:10\.[^\s/]+/[^\s]+$")]


class RemoteFile(Strict):
    """One file of a data set: its name here, and where it comes from."""

    name: Inside
    urls: tuple[Address, ...] = Field(
        (), description="the address, then mirrors; doi:10.5281/zenodo.N/FILE asks the repository; none: by hand"
    )
    hash: Annotated[str, StringConstraints(pattern=r"^(md5|sha1|sha256|sha512):[0-9a-f]{32,128}$")] | Literal["doi"] | None = Field(
        None, description="published checksum; doi: the repository tells it; none is published: recorded at the first download"
    )
    size: int | None = Field(None, ge=0, description="bytes, where known")
    unpack: Inside | None = Field(None, description="folder to unpack the archive into ('.': the data set's own)")


class Dataset(Strict):
    """What is known of a published data set."""

    title: str
    body: str
    files: tuple[RemoteFile, ...] = Field(min_length=1)
    crs: str | None = None
    doi: str | None = None
    page: str | None = Field(None, description="where people read of it")
    licence: str
    citation: str
    source: str = Field(description="where these facts were found")
    verified: str = Field("never", description="the day on which a maintainer last downloaded and checked it")
    use: str = Field(description="what to do with it next")
    data: Inside | None = Field(None, description="the data folder that a command makes of it; what 'data: fetched:NAME' means")

    @field_validator("verified")
    @classmethod
    def _a_day(cls, value: str) -> str:
        if value == "never" or re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return value
        raise ValueError("must be never, or a day such as 2026-11-28")

    @property
    def size(self) -> int | None:
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


def registry_folder(root: Path) -> Path:
    """The project's own registry, or that of the installation for projects that have none."""
    own = root / "configs" / "datasets"
    return own if own.is_dir() else shipped_configs() / "datasets"


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in registry_folder(root).glob("*.yaml"))


def load(root: Path, name: str) -> Dataset:
    """A data set of the registry; ``InputError`` names the nearest ones, or what is wrong with its file."""
    known = names(root)
    if name not in known:
        raise InputError(f"there is no data set {name!r}", valid=nearest(name, known), next_step="see them all: cratermill fetch --list")
    path = registry_folder(root) / f"{name}.yaml"
    return checked(Dataset, read_keys(path), str(path))


@dataclass(frozen=True)
class Place:
    """Where fetched data lie: the project's data/fetched, or a shared folder."""

    folder: Path

    def of(self, name: str) -> Path:
        return self.folder / name

    def record_path(self, name: str) -> Path:
        """Checksums, sizes, addresses and days; it stays when the data are removed, so that a later change upstream is seen."""
        return self.folder / f"{name}.json"

    def lock(self, name: str) -> Path:
        return self.folder / f".{name}.lock"

    def record(self, name: str) -> dict[str, Any]:
        return read_json(self.record_path(name)) or {}

    def complete(self, name: str, dataset: Dataset) -> bool:
        """Whether all files of a data set are here, as they were when they were recorded."""
        files = self.record(name).get("files", {})
        return all(self.there(name, file, files.get(file.name)) for file in dataset.files)

    def there(self, name: str, file: RemoteFile, made: dict[str, Any] | None) -> bool:
        """Whether a file, or what was unpacked of it, is here as recorded."""
        if made is None:
            return False
        kept = [self.of(name) / one for one in made["unpacked"]] if file.unpack else [self.of(name) / file.name]
        return all(path.exists() for path in kept) and (bool(file.unpack) or kept[0].stat().st_size == made["size"])


def places(root: Path) -> list[Place]:
    """The project's own place, then the shared one where ``$CRATERMILL_FETCHED`` names it."""
    shared = os.environ.get(SHARED)
    return [Place(Project(root).fetched), *([Place(Path(shared).expanduser())] if shared else [])]


def resolve(root: Path, text: str) -> str:
    """The path that ``fetched:NAME/rest`` means: relative to the project where it lies in it. ``InputError`` where it isn't here."""
    name, _, rest = text.removeprefix(PREFIX).partition("/")
    dataset = load(root, name)
    place = next((place for place in places(root) if place.complete(name, dataset)), None)
    if place is None:
        raise InputError(f"{text}: {dataset.title} isn't on this machine", next_step=f"run: cratermill fetch {name}")
    found = place.of(name) / rest
    if not found.resolve().is_relative_to(place.of(name).resolve()) or not found.exists():
        there = sorted(path.relative_to(place.of(name)).as_posix() for path in place.of(name).iterdir())
        raise InputError(f"{text}: {name} holds no {rest}", valid=nearest(rest, there), next_step="correct the path")
    return str(found.relative_to(root)) if found.is_relative_to(root) else str(found)


def data_folder(root: Path, text: str) -> str:
    """What ``data: fetched:NAME`` means: the folder that a command has made of it. Fetched data themselves are never written to."""
    name = text.removeprefix(PREFIX).rstrip("/")
    dataset = load(root, name)
    if dataset.data is None:
        raise InputError(
            f"data: {text}, where prepare would write: fetched data are only read",
            valid=f"a folder of your own, e.g. data: data/{name}, with mosaic: {text}/… or a catalogue from it",
            next_step="correct 'data'",
        )
    if not (root / dataset.data).is_dir():
        raise InputError(f"data: {text}: {dataset.data} isn't made yet", next_step=f"run: cratermill fetch {name}, then {dataset.use}")
    return dataset.data


def resolved(root: Path, content: Any, key: str = "") -> Any:
    """A configuration's content with every ``fetched:`` path as the path that it means."""
    if isinstance(content, dict):
        return {name: resolved(root, value, str(name)) for name, value in content.items()}
    if isinstance(content, list):
        return [resolved(root, value, key) for value in content]
    if not (isinstance(content, str) and content.startswith(PREFIX)):
        return content
    return data_folder(root, content) if key == "data" else resolve(root, content)
