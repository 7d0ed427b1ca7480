"""Locks of files: one holder at a time, the dead and the silent are followed by one heir, and the others say who it is."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cratermill.core import locks
from cratermill.core.files import write_text
from cratermill.core.locks import Busy, held, holder_of


def test_one_at_a_time_and_the_other_says_who(tmp_path):
    path = tmp_path / "data o'brien" / ".lock"
    with held(path, "prepares data"):
        assert holder_of(path).pid == os.getpid()
        with pytest.raises(Busy, match=f"process {os.getpid()} on .* prepares data at this moment"), held(path, "prepares data"):
            pass
    assert holder_of(path) is None and list(path.parent.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_names_the_file(tmp_path, monkeypatch):
    def full(path, text, encoding):
        with path.open("w", encoding=encoding) as file:
            file.write(text[:3])
        raise OSError(errno.ENOSPC, "No space left on device")  # which names no file

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="lock") as caught, held(tmp_path / "lock", "works"):
        pass
    assert Path(caught.value.filename).parent == tmp_path
    with pytest.raises(OSError, match="x.json") as caught:
        write_text(tmp_path / "x.json", "content")
    assert caught.value.filename == str(tmp_path / "x.json") and not list(tmp_path.iterdir())


def test_whoever_waits_gets_it_and_hears_of_the_holder(tmp_path):
    path, heard, order = tmp_path / "lock", [], []

    def second():
        with held(path, "works", 600, heard.append):
            order.append("second")

    with held(path, "works"):
        waiting = threading.Thread(target=second)
        waiting.start()
        while not heard:
            time.sleep(0.02)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"] and heard[0].pid == os.getpid()


def test_a_killed_holder_is_followed_at_once_and_a_silent_one_on_another_host_after_a_while(tmp_path):
    path = tmp_path / "lock"
    code = "import os, sys; from pathlib import Path; from cratermill.core.locks import held\n"
    code += "with held(Path(sys.argv[1]), ''): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    dead = json.loads(path.read_text())
    assert holder_of(path) is None
    with held(path, "works"):
        mine = holder_of(path)
    path.write_text(json.dumps(dead | {"host": "elsewhere"}))
    assert holder_of(path).host == "elsewhere"
    os.utime(path, (time.time() - 2 * locks.SILENT_S,) * 2)
    with held(path, "works"):
        assert holder_of(path) != mine
    path.write_text("{half a rec")
    with pytest.raises(Busy, match="an unknown host"), held(path, "works"):
        pass


def test_a_reused_process_number_is_not_the_holder(tmp_path):
    path = tmp_path / "lock"
    with held(path, "works"):
        me = holder_of(path)
    path.write_text(json.dumps(asdict(replace(me, began="1"))))
    assert holder_of(path) is None


def test_many_heirs_of_a_dead_holder_never_hold_it_together(tmp_path):
    path, inside, most = tmp_path / "lock", [], []
    with held(path, "works"):
        dead = replace(holder_of(path), began="1")
    path.write_text(json.dumps(asdict(dead)))

    def heir():
        with held(path, "works", 600):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    heirs = [threading.Thread(target=heir) for _ in range(8)]
    for thread in heirs:
        thread.start()
    for thread in heirs:
        thread.join()
    assert most == [1] * 8 and list(tmp_path.iterdir()) == []


def test_file_systems_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    with held(tmp_path / "lock", "works"), pytest.raises(Busy), held(tmp_path / "lock", "works"):
        pass
