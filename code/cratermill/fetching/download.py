"""Fetching a data set: pooch checks and keeps what comes; here it is resumed, retried, unpacked once and recorded."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from ..core.errors import FULL_DISK, InputError, WorkError, first_line
from ..core.files import read_json, write_json
from ..core.locks import Holder, held
from ..core.progress import Progress
from ..core.room import readable, require_room, said_when_full
from .datasets import Dataset, Place, RemoteFile

TIMEOUT_S = 30.0
"""Without a byte for so long a connection is taken for dead, and resumed."""
TRIES, PAUSE_S, LONGEST_PAUSE_S = 6, 1.0, 30.0
BUSY = (408, 429, 500, 502, 503, 504)
"""Answers after which a server is asked again."""
CHUNK = 2**20
WAIT_FOR_OTHER_S = 24 * 3600.0


class Unreachable(Exception):
    """An address that doesn't give the file; another may."""


def fetch(
    place: Place,
    name: str,
    dataset: Dataset,
    *,
    source: Path | None = None,
    renew: bool = False,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Bring a data set here unless it is; returns its record.

    ``source``: a folder that holds the files, instead of their addresses. ``renew``: forget what was recorded, take what is published now.
    Raises ``WorkError`` where no address gives a file, a checksum is wrong, or the disk is full.
    """

    def tell(holder: Holder) -> None:
        progress(f"{holder.words} fetches {name}, waiting for it", 0, 1)

    with contextlib.ExitStack() as stack:
        stack.enter_context(held(place.lock(name), f"fetches {name} into {place.folder}", WAIT_FOR_OTHER_S, tell))
        if renew:
            stack.enter_context(_set_aside(place, name))
        return _fetch_files(place, name, dataset, source, progress, say)


def _fetch_files(
    place: Place, name: str, dataset: Dataset, source: Path | None, progress: Progress, say: Callable[[str], None]
) -> dict[str, Any]:
    record = {"files": {}, **place.record(name)}
    for file in dataset.files:
        made = record["files"].get(file.name)
        if made is None or not place.there(name, file, made):
            record["files"][file.name] = _fetch_file(place, name, dataset, file, made, source, progress, say)
            write_json(place.record_path(name), record)
    return record


@contextlib.contextmanager
def _set_aside(place: Place, name: str) -> Iterator[None]:
    """Data and record are away within the block: gone when it ends well, back when it doesn't."""
    pairs = [(path, path.with_name(f".{path.name}.old")) for path in (place.of(name), place.record_path(name))]
    for path, old in pairs:
        if path.exists():
            _remove(old)
            path.replace(old)
    try:
        yield
    except BaseException:
        for path, old in pairs:
            if old.exists():
                _remove(path)
                old.replace(path)
        raise
    for _, old in pairs:
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fetch_file(
    place: Place, name: str, dataset: Dataset, file: RemoteFile, before: dict | None, source: Path | None, progress: Progress, say: Callable
) -> dict[str, Any]:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    folder = place.of(name)
    if source and not (source / file.name).is_file():
        raise InputError(
            f"{source} holds no {file.name}", valid=f"a folder with the files of {name}", next_step="check the folder given with --from"
        )
    urls = [(source / file.name).resolve().as_uri()] if source else list(file.urls)
    if not urls:
        raise InputError(
            f"{name}: no address of {file.name} is known",
            valid="the file, got by hand" + (f" from {dataset.page}" if dataset.page else ""),
            next_step=f"cratermill fetch {name} --from FOLDER, which holds {file.name}",
        )
    wanted = _published(file) if not source or file.hash != "doi" else None
    expected = wanted or (f"sha256:{before['sha256']}" if before else None)
    troubles = []
    for url in urls:
        getter = _Getter(folder / f".{PurePosixPath(file.name).name}.part", file, bool(expected), progress)
        try:
            with said_when_full(f"{name}: {file.name}"):
                path = Path(pooch.retrieve(url, expected, file.name, folder, downloader=getter))
        except Unreachable as error:
            troubles.append(f"  {url}: {error}")
            continue
        except ValueError as error:  # of pooch: another checksum
            raise _other_content(name, dataset, file, url, wanted, before) from error
        return _kept(folder, file, path, url, wanted, say)
    raise WorkError(
        f"{name}: {file.name} can't be fetched:\n" + "\n".join(troubles),
        next_step=f"give the command again, which goes on where it stopped; or see {dataset.page or dataset.doi} and give "
        f"'cratermill fetch {name} --from FOLDER' with a copy got by hand",
    )


def _published(file: RemoteFile) -> str | None:
    """The checksum that was published, asked of the repository where that tells it."""
    if file.hash != "doi":
        return file.hash
    import pooch
    import requests

    doi, _, remote = file.urls[0].removeprefix("doi:").rpartition("/")
    try:
        known = pooch.create(path="", base_url=f"doi:{doi}/")
        known.load_registry_from_doi()
        return known.registry[remote]
    except (requests.RequestException, ValueError, KeyError) as error:
        raise WorkError(
            f"the repository of doi:{doi} doesn't say the checksum of {remote}: {first_line(error)}",
            next_step="give the command again later; on nodes without network use a copy: cratermill fetch NAME --from FOLDER",
        ) from error


def _other_content(name: str, dataset: Dataset, file: RemoteFile, url: str, wanted: str | None, before: dict | None) -> WorkError:
    if wanted is None and before:
        return WorkError(
            f"{name}: {file.name} has changed upstream: {url} gives another file than on {before['when']} (sha256 {before['sha256']})",
            next_step=f"see {dataset.page or url} what is new; to take it: cratermill fetch {name} --renew",
        )
    return WorkError(
        f"{name}: {file.name} from {url} hasn't the published checksum {wanted}; it was thrown away",
        next_step="give the command again; if it stays so, the file was exchanged or damaged upstream",
    )


def _kept(folder: Path, file: RemoteFile, path: Path, url: str, wanted: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Unpack where that is asked for, make all of it read-only, and say what is known of it."""
    import pooch

    made: dict[str, Any] = {"url": url, "size": path.stat().st_size, "sha256": pooch.file_hash(str(path), "sha256")}
    made |= {"published": wanted, "when": time.strftime("%Y-%m-%d")}
    if wanted is None:
        say(f"{file.name}: no checksum is published; recorded now, at the first download: sha256 {made['sha256']}")
    if file.unpack:
        made["unpacked"] = unpack(path, folder, file.unpack)
        path.unlink()
    for one in [folder / name for name in made["unpacked"]] if file.unpack else [path]:
        for inner in one.rglob("*") if one.is_dir() else [one]:
            if inner.is_file():
                inner.chmod(0o444)
    return made


# --- one address ----------------------------------------------------------------------------------------------------------------


class _Getter:
    """A downloader of pooch that goes on with what an earlier try left in ``part``, and keeps it when it fails itself."""

    def __init__(self, part: Path, file: RemoteFile, checked: bool, progress: Progress):
        self.part, self.file, self.checked, self.progress = part, file, checked, progress
        self.state = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        if url.startswith("file://"):
            self._copy(Path(url2pathname(urlparse(url).path)))
        elif url.startswith("ftp://"):
            self._by_pooch(url)
        else:
            self._http(_of_doi(url) if url.startswith("doi:") else url)
        self.part.replace(output_file)
        self.state.unlink(missing_ok=True)

    def _copy(self, source: Path) -> None:
        try:
            size = source.stat().st_size
            require_room(self.part.parent, size, self.file.name)
            with source.open("rb") as read, self.part.open("wb") as write:
                self._pour(iter(lambda: read.read(CHUNK), b""), write, 0, size)
        except OSError as error:
            if error.errno in FULL_DISK:
                raise
            raise Unreachable(error.strerror or str(error)) from error

    def _by_pooch(self, url: str) -> None:
        import pooch

        try:
            pooch.FTPDownloader(timeout=TIMEOUT_S)(url, str(self.part), None)
        except OSError as error:  # ftplib's errors are some
            if error.errno in FULL_DISK:
                raise
            raise Unreachable(first_line(error)) from error

    def _http(self, url: str) -> None:
        import requests

        tries, had = 0, -1
        while True:
            asked_s = 0.0
            try:
                with requests.Session() as session:
                    if self._get(session, url):
                        return
                trouble = "it was cut off"
            except requests.HTTPError as error:
                answer = error.response
                assert answer is not None, "raise_for_status says which"
                trouble = f"the server answers {answer.status_code} {answer.reason}"
                if answer.status_code not in BUSY:
                    raise Unreachable(trouble) from error
                after = answer.headers.get("Retry-After", "")
                asked_s = float(after) if after.isdecimal() else 0.0
            except requests.RequestException as error:
                if type(getattr(error.args[0] if error.args else None, "reason", None)).__name__ == "NameResolutionError":  # urllib3's
                    raise Unreachable("this machine has no connection to it; on clusters try the login node, or HTTPS_PROXY") from error
                trouble = first_line(error)
            have = self._size()
            tries = 1 if have > had >= 0 else tries + 1  # whoever gets on may go on
            had = have
            if tries >= TRIES:
                raise Unreachable(f"{trouble}; tried {TRIES} times, {readable(have)} are here")
            time.sleep(min(max(asked_s, PAUSE_S * 2 ** (tries - 1)), LONGEST_PAUSE_S))

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get(self, session: Any, url: str) -> bool:
        """Ask once, for the rest of the file where that is safe; whether it is whole now."""
        begun = read_json(self.state) or {}
        # Without a mark of the server's the rest could be another file's, unless a checksum would tell.
        have = self._size() if begun.get("url") == url and (begun.get("mark") or self.checked) else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": begun["mark"]} if begun.get("mark") else {})
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:  # more is here than there is
                self.part.unlink()
                return False
            answer.raise_for_status()
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            require_room(self.part.parent, (total or have) - have, self.file.name)
            mark = answer.headers.get("ETag", "")
            mark = mark if mark and not mark.startswith("W/") else answer.headers.get("Last-Modified")
            write_json(self.state, {"url": url, "mark": mark})
            with self.part.open("ab" if have else "wb") as write:
                self._pour(answer.iter_content(CHUNK), write, have, total or self.file.size)
        return total is None or self._size() == total

    def _pour(self, chunks: Iterator[bytes], write: Any, have: int, total: int | None) -> None:
        for chunk in chunks:
            write.write(chunk)
            have += len(chunk)
            megabytes = have // 10**6
            self.progress(f"{self.file.name} (MB)", megabytes, total // 10**6 + 1 if total else megabytes + 1)


def _of_doi(url: str) -> str:
    """Where a repository keeps a file of a DOI."""
    import requests
    from pooch.downloaders import doi_to_repository

    doi, _, name = url.removeprefix("doi:").rpartition("/")
    try:
        return str(doi_to_repository(doi, timeout=TIMEOUT_S).download_url(name))
    except (requests.RequestException, ValueError) as error:
        raise Unreachable(first_line(error)) from error


# --- archives -------------------------------------------------------------------------------------------------------------------


def unpack(archive: Path, folder: Path, into: str) -> list[str]:
    """Unpack a zip or tar file into a folder inside ``folder``, whole or not at all; returns what is there now, by its names in ``folder``.

    A member that would leave the folder, or that is a link or a device, is refused (``InputError``) before anything is written.
    """
    staging = folder / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        with said_when_full(f"what {archive.name} holds"):
            _extract(archive, staging)
        return _moved_in(staging, folder, folder / into)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(archive: Path, staging: Path) -> None:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                _require_inside(archive, [(one.filename.replace("\\", "/"), one.external_attr >> 28 == 0o12) for one in packed.infolist()])
                require_room(staging, sum(one.file_size for one in packed.infolist()), f"what {archive.name} holds")
                for one in packed.infolist():
                    _write_member(packed, one, staging / one.filename.replace("\\", "/"))
        else:
            with tarfile.open(archive) as bundle:
                members = bundle.getmembers()
                _require_inside(archive, [(one.name, not (one.isfile() or one.isdir())) for one in members])
                require_room(staging, sum(one.size for one in members), f"what {archive.name} holds")
                bundle.extractall(staging, members, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise WorkError(
            f"{archive.name} can't be unpacked: {first_line(error)}", next_step="give the command again with --renew"
        ) from error


def _write_member(packed: zipfile.ZipFile, one: zipfile.ZipInfo, path: Path) -> None:
    if one.filename.endswith(("/", "\\")):
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(one) as read, path.open("xb") as write:
        shutil.copyfileobj(read, write, CHUNK)


def _require_inside(archive: Path, members: list[tuple[str, bool]]) -> None:
    """Refuse names that leave the folder, and links: through one a later member could."""
    for name, odd in members:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts[:1] or ("",))[0] or odd:
            raise InputError(
                f"{archive.name} holds {name!r}, which {'is no plain file' if odd else 'would be written outside its folder'}",
                valid="an archive of files and folders with names inside it",
                next_step="don't use this archive; check where it comes from",
            )


def _moved_in(staging: Path, folder: Path, target: Path) -> list[str]:
    target.mkdir(parents=True, exist_ok=True)
    there = []
    for one in sorted(staging.iterdir()):
        place = target / one.name
        if place.exists():  # of an unpacking that was killed before it was recorded
            _remove(place)
        one.replace(place)
        there.append(place.relative_to(folder).as_posix())
    return there
