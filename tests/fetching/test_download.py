"""Fetching from a local server that does all that servers and disks do wrong."""

import hashlib
import io
import json
import shutil
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cratermill.core.errors import InputError, WorkError
from cratermill.fetching import datasets, download
from cratermill.fetching.datasets import Dataset, Place
from cratermill.fetching.download import fetch, unpack

CONTENT = np.random.default_rng(0).bytes(300_000)
PATIENCE_S = 300


class Server(ThreadingHTTPServer):
    """Gives ``content``, after the faults of ``script`` (one per request) are used up; ``asked`` holds path and Range of each."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.script, self.asked, self.etag = CONTENT, [], [], '"1"'
        self.go, self.over, self.stalls = threading.Event(), threading.Event(), lambda: None

    def address(self, path="data.bin"):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, *_):
        """Clients that went away are part of the tests."""


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        fault = server.script.pop(0) if server.script else "fine"
        if isinstance(fault, int):
            self.send_response(fault)
            if fault == 302:
                self.send_header("Location", "/moved.bin")
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        given, begin = self.headers.get("Range"), 0
        if given and self.headers.get("If-Range", server.etag) == server.etag:
            begin = int(given.removeprefix("bytes=").removesuffix("-"))
        body = server.content[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        half = len(body) // 2
        if fault == "cut":
            self.wfile.write(body[:half])
            self.close_connection = True
        elif fault == "stall":
            self.wfile.write(body[:half])
            self.wfile.flush()
            server.stalls()
            server.over.wait(PATIENCE_S)
        elif fault == "held":
            self.wfile.write(body[:half])
            server.go.wait(PATIENCE_S)
            self.wfile.write(body[half:])
        elif fault == "slow":
            for start in range(0, len(body), 30_000):
                self.wfile.write(body[start : start + 30_000])
                self.wfile.flush()
                time.sleep(0.01)
        else:
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    monkeypatch.setattr(download, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(download, "CHUNK", 10_000)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.over.set()
        running.shutdown()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "data" / "fetched")


def sha256(content=CONTENT):
    return hashlib.sha256(content).hexdigest()


def dataset(*urls, **file):
    named = {"name": "data.bin", "urls": urls, **file}
    return Dataset(
        title="Test", body="moon", files=(named,), licence="none", citation="none", source="here", use="look", page="http://page"
    )


def test_once_recorded_and_read_only(server, place):
    said, seen = [], []
    one = dataset(server.address())
    record = fetch(place, "one", one, say=said.append, progress=lambda *args: seen.append(args))
    path = place.of("one") / "data.bin"
    assert path.read_bytes() == CONTENT and path.stat().st_mode & 0o222 == 0
    assert record["files"]["data.bin"]["sha256"] == sha256() and "no checksum is published" in said[0] and sha256() in said[0]
    assert json.loads(place.record_path("one").read_text()) == record and place.complete("one", one)
    assert [what for what, *_ in seen][0] == "data.bin (MB)"
    assert fetch(place, "one", one) == record and len(server.asked) == 1
    assert [entry.name for entry in place.of("one").iterdir()] == ["data.bin"]


@pytest.mark.parametrize(
    ("script", "requests"), [(["cut", "cut"], 3), (["stall"], 2), ([503, 429, 500], 4), ([302], 2), (["slow"], 1), ([503, "cut", 302], 4)]
)
def test_faults_that_pass(server, place, monkeypatch, script, requests):
    server.script = list(script)
    if "stall" in script:
        server.stalls = lambda: monkeypatch.setattr(download, "TIMEOUT_S", PATIENCE_S)  # of the next request
        monkeypatch.setattr(download, "TIMEOUT_S", 2)
    fetch(place, "one", dataset(server.address(), hash=f"sha256:{sha256()}"))
    assert (place.of("one") / "data.bin").read_bytes() == CONTENT
    assert len(server.asked) == requests
    resumed = [given for _, given in server.asked if given]
    assert bool(resumed) is bool({"cut", "stall"} & set(script)) and all(int(given[6:-1]) > 0 for given in resumed)


def test_goes_on_where_an_earlier_process_was_stopped(server, place, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    server.script = ["cut"]
    with pytest.raises(WorkError, match=r"can't be fetched:\n.*150 kB are here\nNext: give the command again, which goes on"):
        fetch(place, "one", dataset(server.address()))
    fetch(place, "one", dataset(server.address()))
    assert server.asked[1] == ("/data.bin", "bytes=150000-") and (place.of("one") / "data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"2"', None])
def test_never_joins_two_versions_of_a_file(server, place, monkeypatch, etag):
    """Changed between two tries: the server's mark says so; without a mark and a checksum the file is begun anew."""
    monkeypatch.setattr(download, "TRIES", 1)
    server.script, server.etag = ["cut"], etag and '"1"'
    with pytest.raises(WorkError):
        fetch(place, "one", dataset(server.address()))
    server.content, server.etag = CONTENT[::-1], etag
    fetch(place, "one", dataset(server.address()))
    assert (place.of("one") / "data.bin").read_bytes() == CONTENT[::-1]


def test_wrong_checksum_is_thrown_away(server, place):
    with pytest.raises(WorkError, match=r"hasn't the published checksum sha256:0{64}; it was thrown away"):
        fetch(place, "one", dataset(server.address(), hash="sha256:" + "0" * 64))
    assert not list(place.of("one").iterdir()) and not place.record_path("one").exists()


def test_gone_address_names_the_page_and_a_mirror_helps(server, place, tmp_path):
    server.script = [404]
    with pytest.raises(
        WorkError, match=r"the server answers 404 .*\nNext: .* see http://page and give 'cratermill fetch one --from FOLDER'"
    ):
        fetch(place, "one", dataset(server.address()))
    assert len(server.asked) == 1
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data.bin").write_bytes(CONTENT)
    server.script = [404]
    fetch(place, "one", dataset(server.address(), (tmp_path / "shared" / "data.bin").as_uri()))
    assert (place.of("one") / "data.bin").read_bytes() == CONTENT


def test_without_address_only_by_hand(place, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT)
    with pytest.raises(InputError, match=r"no address .*\nValid: the file, got by hand from http://page\nNext: .* --from FOLDER"):
        fetch(place, "one", dataset())
    fetch(place, "one", dataset(), source=tmp_path)
    assert place.complete("one", dataset())


def test_busy_server_is_given_up(server, place):
    server.script = [503] * 20
    with pytest.raises(WorkError, match=r"answers 503 .*; tried 6 times"):
        fetch(place, "one", dataset(server.address()))
    assert len(server.asked) == 6


def test_full_disk_is_said_and_what_came_is_kept(server, small_disk):
    place = Place(small_disk)
    with pytest.raises(InputError, match="data.bin would take 300 kB, more than the whole disk"):
        fetch(place, "one", dataset(server.address()))
    server.content, server.etag = CONTENT[:200_000], None
    (small_disk / "ballast").write_bytes(b"x" * 150_000)
    with pytest.raises(WorkError, match="No space left"):
        fetch(place, "one", dataset(server.address()))
    (small_disk / "ballast").unlink()
    fetch(place, "one", dataset(server.address()))
    assert (place.of("one") / "data.bin").read_bytes() == CONTENT[:200_000]


def test_full_disk_in_the_middle(server, place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "data.bin")

    monkeypatch.setattr(download._Getter, "_pour", full)
    with pytest.raises(WorkError, match="No space left while writing one: data.bin"):
        fetch(place, "one", dataset(server.address()))


def test_two_at_once_fetch_once(server, place, monkeypatch):
    monkeypatch.setattr("cratermill.core.locks.POLL_S", 0.02)
    server.script = ["held"]
    records = []

    def tell(what, *_):
        if "waiting for it" in what:
            server.go.set()

    both = [
        threading.Thread(target=lambda: records.append(fetch(place, "one", dataset(server.address()), progress=tell))) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(PATIENCE_S)
    assert server.go.is_set() and len(server.asked) == 1 and records[0] == records[1]


def test_changed_upstream(server, place):
    fetch(place, "one", dataset(server.address()))
    shutil.rmtree(place.of("one"))
    server.content = CONTENT[::-1]
    with pytest.raises(WorkError, match=rf"has changed upstream: .* \(sha256 {sha256()}\)\nNext: .*cratermill fetch one --renew"):
        fetch(place, "one", dataset(server.address()))
    fetch(place, "one", dataset(server.address()), renew=True)
    server.script = [404]
    with pytest.raises(WorkError, match="404"):
        fetch(place, "one", dataset(server.address()), renew=True)
    assert (place.of("one") / "data.bin").read_bytes() == CONTENT[::-1], "what was here stays until the new file is"
    assert place.complete("one", dataset(server.address())) and not list(place.folder.glob("*.old"))


def test_without_network_it_is_said_at_once(place, monkeypatch):
    pauses = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=pauses.append))
    with pytest.raises(WorkError, match="this machine has no connection to it; on clusters try the login node"):
        fetch(place, "one", dataset("http://nowhere.invalid/data.bin"))
    assert not pauses, "and not after six tries"


# --- archives ---


def archive(path, members, kind="zip"):
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in members.items():
                made.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            one = tarfile.TarInfo(name)
            one.size = len(content)
            made.addfile(one, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_unpacked_once(server, place, tmp_path, kind):
    server.content = archive(tmp_path / "a", {"data/a.csv": b"1", "data/b/c.csv": b"2"}, kind).read_bytes()
    one = dataset(server.address(), unpack=".")
    record = fetch(place, "one", one)
    there = sorted(path.relative_to(place.of("one")).as_posix() for path in place.of("one").rglob("*") if path.is_file())
    assert there == ["data/a.csv", "data/b/c.csv"] and record["files"]["data.bin"]["unpacked"] == ["data"]
    assert (place.of("one") / "data/b/c.csv").stat().st_mode & 0o222 == 0
    assert fetch(place, "one", one) == record and len(server.asked) == 1


ESCAPES = [(kind, name) for kind in ("zip", "tar") for name in ("../evil", "/tmp/evil", "a/../../evil", "C:\\evil")]


@pytest.mark.parametrize(("kind", "name"), [*ESCAPES, ("zip", "..\\evil")])
def test_archives_never_leave_their_folder(tmp_path, kind, name):
    packed = archive(tmp_path / "a", {"good": b"1", name: b"2"}, kind)
    (tmp_path / "out" / "in").mkdir(parents=True)
    with pytest.raises(InputError, match="would be written outside its folder"):
        unpack(packed, tmp_path / "out" / "in", ".")
    assert not any((tmp_path / "out").rglob("*evil*")) and not list((tmp_path / "out" / "in").iterdir())


def test_links_in_archives_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as made:
        one = tarfile.TarInfo("link")
        one.type, one.linkname = tarfile.SYMTYPE, "/etc"
        made.addfile(one)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc")
    for name in ("a.tar", "a.zip"):
        with pytest.raises(InputError, match="'link', which is no plain file"):
            unpack(tmp_path / name, tmp_path, ".")


# --- the registry ---


def test_registry_is_sound(project_folder):
    """All names of the issue's list are there; nothing claims a check that wasn't made; a checksum is a whole one."""
    found = {name: datasets.load(project_folder, name) for name in datasets.names(project_folder)}
    assert {"ejmap", "robbins-moon", "robbins-mars", "head-2010", "povilaitis-2018", "nomenclature", "moon-wac", "moon-lola"} <= set(found)
    assert {"moon-kaguya", "mars-themis-day", "mars-mola", "mercury-mdis-colour", "ceres-dawn", "vesta-dawn"} <= set(found)
    assert {"deepmoon", "craterdanet", "mnist"} <= set(found)
    lengths = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
    for one in found.values():
        for file in one.files:
            kind, _, digits = (file.hash or "").partition(":")
            assert not digits or len(digits) == lengths[kind]
            assert file.hash != "doi" or file.urls[0].startswith("doi:")
            assert file.urls or one.page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("files: [{name: ../x}]", "path inside the folder"),
        ("files: [{name: x, urls: [gopher://x]}]", "urls"),
        ("verified: soon", "must be never, or a day"),
        ("colour: red", "colour: unknown key"),
    ],
)
def test_bad_registry_lines(tmp_path, change, said):
    folder = tmp_path / "configs" / "datasets"
    folder.mkdir(parents=True)
    text = "title: a\nbody: moon\nlicence: a\ncitation: a\nsource: a\nuse: a\n"
    (folder / "x.yaml").write_text(text + change + ("" if "files" in change else "\nfiles: [{name: x}]"))
    with pytest.raises(InputError, match=said):
        datasets.load(tmp_path, "x")


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "configs" / "datasets"
    folder.mkdir(parents=True)
    head = "title: A moon\nbody: moon\nlicence: a\ncitation: a\nsource: a\n"
    (folder / "moon.yaml").write_text(head + "use: look\nfiles: [{name: moon.tif}]\n")
    (folder / "drawn.yaml").write_text(head + "use: import it\ndata: data/drawn\nfiles: [{name: moon.tif}]\n")
    (tmp_path / "by hand").mkdir()
    (tmp_path / "by hand" / "moon.tif").write_bytes(b"moon")
    return tmp_path


def test_configurations_find_fetched_data(project, monkeypatch):
    content = {"data": "data/mine", "mosaic": "fetched:moon/moon.tif", "train": {"x": {"data": {"images": ["fetched:moon/moon.tif"]}}}}
    with pytest.raises(InputError, match="A moon isn't on this machine\nNext: run: cratermill fetch moon"):
        datasets.resolved(project, content)
    (own,) = datasets.places(project)
    fetch(own, "moon", datasets.load(project, "moon"), source=project / "by hand")
    made = datasets.resolved(project, content)
    assert made["mosaic"] == "data/fetched/moon/moon.tif" == made["train"]["x"]["data"]["images"][0] and made["data"] == "data/mine"
    for wrong in ("fetched:moon/mon.tif", "fetched:moon/../../by hand/moon.tif"):
        with pytest.raises(InputError, match="moon holds no .*\nValid: moon.tif"):
            datasets.resolved(project, {"mosaic": wrong})
    # A group's folder is looked into where the project hasn't it; its paths are whole ones.
    shutil.copytree(own.folder, project / "group")
    shutil.rmtree(own.folder)
    monkeypatch.setenv("CRATERMILL_FETCHED", str(project / "group"))
    other = project / "elsewhere"
    shutil.copytree(project / "configs", other / "configs")
    assert datasets.resolved(other, "fetched:moon/moon.tif") == str(project / "group" / "moon" / "moon.tif")


def test_data_folder_is_never_the_fetched_one(project):
    with pytest.raises(InputError, match=r"fetched data are only read\nValid: a folder of your own"):
        datasets.resolved(project, {"data": "fetched:moon"})
    with pytest.raises(InputError, match="data/drawn isn't made yet\nNext: run: cratermill fetch drawn, then import it"):
        datasets.resolved(project, {"data": "fetched:drawn"})
    Path(project / "data" / "drawn").mkdir(parents=True)
    assert datasets.resolved(project, {"data": "fetched:drawn"}) == {"data": "data/drawn"}


def test_command_line(project, monkeypatch, capsys):
    """Listed, fetched, and what is wrong with a shared folder."""
    from typer.testing import CliRunner

    from cratermill.cli import app

    monkeypatch.chdir(project)
    monkeypatch.delenv("CRATERMILL_FETCHED", raising=False)

    def run(*words):
        done = CliRunner().invoke(app, ["fetch", *words])
        return done.exit_code, done.output

    code, said = run("--list")
    assert code == 0 and "moon   moon  by hand  -             never     A moon" in said
    before = time.strftime("%Y-%m-%d")
    code, said = run("moon", "--from", str(project / "by hand"))
    assert code == 0 and "recorded now, at the first download" in said and "fetched:moon/" in said
    listed = run("--list")[1]
    assert before in listed or time.strftime("%Y-%m-%d") in listed
    assert run("mon")[0] == 2 and run("moon", "--shared")[0] == 2
    code, said = run("moon", "--renew", "--from", str(project / "not there"))
    assert code == 2 and "not there holds no " in said
    monkeypatch.setenv("CRATERMILL_FETCHED", str(project / "nowhere"))
    code, said = run("moon", "--shared")
    assert code == 2 and "names no folder" in said
