import pytest


@pytest.fixture
def root(tmp_path):
    """A project folder with a name that breaks whatever forgets to quote."""
    folder = tmp_path / 'a project\'s $(folder) "x"'
    folder.mkdir()
    return folder
