import io
from types import SimpleNamespace

from cratermill.core import progress
from cratermill.core.progress import shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_come_now_and_then(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 5.0, 12.0, 13.5])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    stream = io.StringIO()
    with shown(stream) as show:
        for done in range(4):
            show("tiles", done, 9)
        show("masks", 0, 3)
    # at once, then after ten seconds, then because something else began
    assert stream.getvalue().splitlines() == ["tiles: 0/9", "tiles: 3/9", "masks: 0/3"]


def test_end_is_no_news():
    stream = io.StringIO()
    with shown(stream) as show:
        show("tiles", 9, 9)
        show("", 9, 9)
    assert stream.getvalue() == ""


def test_terminal_gets_a_bar():
    stream = Terminal()
    with shown(stream) as show:
        show("tiles [of] all", 3, 9)
    assert "tiles [of] all" in stream.getvalue()
    assert "3/9" in stream.getvalue()
