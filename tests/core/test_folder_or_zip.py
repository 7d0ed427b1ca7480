"""The same files read from a folder and from an archive, and what is said of damaged ones."""

import zipfile

import pytest

from cratermill.core.errors import InputError
from cratermill.core.folder_or_zip import FolderOrZip

FILES = {"b/two.PNG": b"2", "a/one.png": b"1", "notes.txt": b"n", "a/.hidden.png": b"h", ".ipynb_checkpoints/one-checkpoint.png": b"c"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "it's here"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**FILES, "__MACOSX/a/one.png": b"m"}.items():
            file.writestr(name, content)
        file.mkdir("empty")
    return path


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_both_give_the_same(kind, request):
    files = FolderOrZip(request.getfixturevalue(kind))
    assert files.names == ["a/one.png", "b/two.PNG", "notes.txt"]
    assert files.ending([".png", ".jpg"]) == ["a/one.png", "b/two.PNG"]
    assert files.read("b/two.PNG") == b"2"


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_file_that_is_not_there(kind, request):
    with pytest.raises(InputError, match="gone.png"):
        FolderOrZip(request.getfixturevalue(kind)).read("gone.png")


def test_neither_folder_nor_archive(tmp_path):
    (tmp_path / "text.zip").write_text("no archive")
    for path in (tmp_path / "text.zip", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="neither a folder nor a zip file"):
            FolderOrZip(path)


def test_a_truncated_archive_and_a_damaged_member(archive):
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-40])
    with pytest.raises(InputError, match="neither a folder nor a zip file"):
        FolderOrZip(archive)
    at = whole.index(b"a/one.png") + len("a/one.png")
    archive.write_bytes(whole[:at] + b"\xff\xff" + whole[at + 2 :])
    with pytest.raises(InputError, match=r"a/one\.png can't be read"):
        FolderOrZip(archive).read("a/one.png")
