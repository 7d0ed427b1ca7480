"""One small planet for all tests that only read; its folder's name is a hostile path on purpose."""

from __future__ import annotations

import pytest

from cratermill.synthetic import synthesise
from cratermill.synthetic.planet_folder import PlanetFolder


@pytest.fixture(scope="session")
def planet_folder(tmp_path_factory) -> PlanetFolder:
    """Mercury, 256 × 512 px, 16 fresh craters, in a folder with spaces and quotes in its name."""
    folder = tmp_path_factory.mktemp("planets") / 'it\'s a "planet" ü'
    synthesise(folder, shape=(256, 512), seed=11, n_fresh=16)
    return PlanetFolder(folder)
