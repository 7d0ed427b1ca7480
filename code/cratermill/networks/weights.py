"""Published weights: which a table needs, which lie in the local cache, and how to fetch the rest.

Networks are built from the local cache alone. What isn't there is an error that names the command to fetch it, never random weights.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..core.errors import InputError, WorkError, first_line
from ..core.files import atomic_path, write_text
from .hub import damaged
from .listing import listing

if TYPE_CHECKING:
    from .backbone import Backbone

Report = Callable[[str, int, int], None]
"""Called with the name of the weights, how many are done and how many there are."""


class Row(Protocol):
    """What is read here of a row of a table."""

    version: int

    @property
    def begins_pretrained(self) -> bool: ...

    def backbones(self) -> list[tuple[str, str, str]]:
        """(column, name, home library) of every network that the row names."""

    def hub_names(self) -> list[str]:
        """Repositories of the hub that the row names outright."""


@dataclass(frozen=True)
class Weights:
    """One file of published weights: on the Hugging Face hub (``repository``, the first of ``files`` that exists), or at a ``url``."""

    network: str
    repository: str | None = None
    files: tuple[str, ...] = ()
    revision: str | None = None
    url: str | None = None

    def local(self) -> Path | None:
        """The file in the local cache, or None."""
        if self.url:
            path = _torch_cache() / Path(self.url).name
            return path if path.is_file() else None
        if self.repository is None:
            return None
        from huggingface_hub import constants, try_to_load_from_cache

        for name in self.files:
            found = try_to_load_from_cache(self.repository, name, cache_dir=constants.HF_HUB_CACHE, revision=self.revision)
            if isinstance(found, str):
                return Path(found)
        return None

    def fetch(self, mirror: Path | None = None) -> Path:
        """Download into the local cache, or copy from a mirror, unless it is there.

        ``mirror``: a folder as the hub's or torch's cache is laid out, or with files below ``owner/name/``. Raises ``WorkError`` without
        network, for what the mirror lacks, and where the content isn't what its checksum says.
        """
        local = self.local()
        if local is None:
            local = self._download() if mirror is None else self._from_mirror(mirror)
        if self.is_whole(local) is False:
            raise damaged(local, ValueError("its content does not have the checksum that it was published with"))
        return local

    def is_whole(self, path: Path) -> bool | None:
        """Whether a file has the checksum that it was published with; None where none is known.

        The hub's cache names content by its SHA-256; files at addresses carry its beginning in their names, as torch has it.
        """
        if self.url:
            found = re.search(r"-([0-9a-f]{8,64})\.\w+$", Path(self.url).name)
            expected = found[1] if found else None
        else:
            expected = path.resolve().name if re.fullmatch(r"[0-9a-f]{64}", path.resolve().name) else None
        return None if expected is None else sha256(path).startswith(expected)

    def _from_mirror(self, mirror: Path) -> Path:
        if self.url:
            name = Path(self.url).name
            source = next((path for path in (mirror / name, mirror / "hub" / "checkpoints" / name) if path.is_file()), None)
            if source is not None:
                return _copied(source, _torch_cache() / name)
        elif (found := self._in_mirror(mirror)) is not None:
            return self._into_cache(*found)
        wanted = self.url or f"{self.repository} ({' or '.join(self.files)})"
        raise WorkError(
            f"the mirror {mirror} does not hold the weights of {self.network}: {wanted}",
            valid="a folder in the layout of the hub's cache, or with owner/name/file",
            next_step="add them to the mirror, or run without --mirror where there is network",
        )

    def _in_mirror(self, mirror: Path) -> tuple[Path, str, str] | None:
        """A file, its name in the repository, and its commit."""
        from huggingface_hub import try_to_load_from_cache

        for name in self.files:
            for cache in (mirror, mirror / "hub"):
                found = try_to_load_from_cache(self.repository or "", name, cache_dir=cache, revision=self.revision)
                if isinstance(found, str):
                    return Path(found), name, Path(found).relative_to(_repository_in(cache, self.repository or "") / "snapshots").parts[0]
            if (plain := mirror / (self.repository or "") / name).is_file():
                return plain, name, self.revision or sha256(plain)[:40]
        return None

    def _into_cache(self, source: Path, name: str, commit: str) -> Path:
        """A copy in the hub's own layout: content by its checksum, a link of the file's name, and what the revision stands for."""
        from huggingface_hub import constants

        if self.is_whole(source) is False:
            raise damaged(source, ValueError("its content does not have the checksum that it was published with"))
        folder = _repository_in(Path(constants.HF_HUB_CACHE), self.repository or "")
        blob, link = folder / "blobs" / sha256(source), folder / "snapshots" / commit / name
        _copied(source, blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
        if self.revision != commit:
            write_text(folder / "refs" / (self.revision or "main"), commit)
        return link

    def _download(self) -> Path:
        try:
            return self._from_url(self.url) if self.url else self._from_hub(self.repository or "")
        except OSError as error:  # all errors of huggingface_hub and urllib about the network are OSErrors
            place = self.url or f"the hub repository {self.repository}"
            raise WorkError(
                f"can't fetch the weights of {self.network} from {place}: {first_line(error)}",
                next_step="run 'cratermill weights fetch CONFIG' where there is network (on a cluster: the login node)",
            ) from error

    def _from_hub(self, repository: str) -> Path:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        for name in self.files:
            try:
                return Path(hf_hub_download(repository, name, revision=self.revision, cache_dir=constants.HF_HUB_CACHE))
            except LocalEntryNotFoundError:
                raise  # no network: the file may well exist
            except EntryNotFoundError:
                continue
        raise WorkError(
            f"the hub repository {repository} has none of {', '.join(self.files)}", next_step="set pretrained to False for this row"
        )

    def _from_url(self, url: str) -> Path:
        import torch

        path = _torch_cache() / Path(url).name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
        return path


def weights_of(backbone: Backbone) -> Weights | None:
    """The published weights of a network; None if there are none (or, for torchgeo, if its tag doesn't say which)."""
    place = listing(backbone.library)["published"].get(backbone.full)
    if place is None:
        return None
    repository, files, revision, url = place
    return Weights(str(backbone), repository, tuple(files), revision, url)


def local_file(backbone: Backbone) -> Path:
    """The local file with a network's weights; raises ``InputError`` naming the command to fetch them."""
    weights = weights_of(backbone)
    if weights is None:
        raise InputError(
            f"there are no published weights of {backbone}", next_step="set pretrained to False, or name the weights after a point"
        )
    local = weights.local()
    if local is None:
        raise InputError(
            f"the weights of {backbone} are not on this machine, and pretrained is True",
            next_step="run 'cratermill weights fetch CONFIG' where there is network, or set pretrained to False",
        )
    _require_whole(local)
    return local


def _require_whole(path: Path) -> None:
    """Raises ``WorkError`` for a file that was cut off or is no such file; the header says how long it must be."""
    if path.suffix != ".safetensors":
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise damaged(path, error) from error


def required_weights(rows: Iterable[Row]) -> list[Weights]:
    """The weights that rows with ``pretrained`` need, each once, in the order of the rows."""
    from .names import resolve

    needed: dict[Weights, None] = {}
    for row in rows:
        needed |= {Weights(f"{name} (hub)", name, ("model.safetensors", "pytorch_model.bin")): None for name in row.hub_names()}
        for _column, name, home in row.backbones() if row.begins_pretrained else []:
            backbone = resolve(name, home)
            weights = weights_of(backbone)
            if weights is None:
                raise InputError(
                    f"version {row.version}: there are no published weights of {backbone}", next_step="set pretrained to False in this row"
                )
            needed[weights] = None
    return list(needed)


def missing_weights(rows: Iterable[Row]) -> list[Weights]:
    """Those of the required weights that are not in the local cache."""
    return [weights for weights in required_weights(rows) if weights.local() is None]


def fetch_weights(rows: Iterable[Row], report: Report | None = None, mirror: Path | None = None) -> list[Path]:
    """Download what rows need and isn't here yet, or copy it from a ``mirror``; ``report`` is called before each file and at the end."""
    needed = required_weights(rows)
    paths = []
    for done, weights in enumerate(needed):
        if report:
            report(weights.network, done, len(needed))
        paths.append(weights.fetch(mirror))
    if report:
        report("", len(needed), len(needed))
    return paths


def require_weights(rows: Iterable[Row], config: str = "CONFIG") -> None:
    """Raises ``InputError`` listing all missing weights and the command that fetches them."""
    lacking = missing_weights(rows)
    if lacking:
        names = "".join(f"\n  {weights.network}" for weights in lacking)
        raise InputError(
            f"rows ask for pretrained weights that are not on this machine:{names}",
            valid="weights in the local cache, or pretrained False in these rows",
            next_step=f"where there is network (on a cluster: the login node), run: cratermill weights fetch {config}",
        )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(source: Path, target: Path) -> Path:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _repository_in(cache: Path, repository: str) -> Path:
    return cache / f"models--{repository.replace('/', '--')}"


def _torch_cache() -> Path:
    # What torch.hub.get_dir() says, without torch.
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"
