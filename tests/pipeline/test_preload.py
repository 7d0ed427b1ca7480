"""What the parent of a launch's workers loads for them."""

from __future__ import annotations

import importlib.util

from cratermill.pipeline import LIBRARIES, STAGES


def test_whatever_is_loaded_beforehand_exists():
    """A name that was misspelt, or has gone from a library, is passed over without a word."""
    assert LIBRARIES.keys() == STAGES.keys()
    missing = [name for names in LIBRARIES.values() for name in names if importlib.util.find_spec(name) is None]
    assert not missing
