"""docs/input.md lists what the readers go by, and the figures in it are theirs."""

from __future__ import annotations

from cratermill.core import folder_or_zip, pictures, yaml_files
from cratermill.craters import columns
from cratermill.families.chips_common import readers
from cratermill.families.craters_common import boxes, sources
from tests.docs.input_tables import PAGE, filled, lists


def test_the_lists_are_what_is_read():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run: python -m tests.docs.input_tables"
    assert all(f"<!-- input: {name} -->" in page for name in lists())


def test_the_figures_are_the_readers():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"below {columns.SMALLEST_BELIEVED_M:g}" in page and columns.SMALLEST_OF_ALL_PX == 1 / 50 and columns.SMALLEST_SHOWN_PX == 1
    assert f"more than {pictures.MOST_PX / 1e6:.0f} million pixels ({sources.MOST_PX / 1e6:.0f} million" in page
    assert f"more than {folder_or_zip.MOST_PACKED} times" in page and f"more than {yaml_files.MOST_DEPTH} levels" in page
    assert f"up to {yaml_files.MOST_BYTES >> 20} MiB" in page and columns.CONTRADICTION == 1.1
    assert all(f"`{suffix}`" in page for suffix in (*readers.PICTURES, *sources.IMAGES))
    assert f"`{', '.join(boxes.BOX_COLUMNS)}`" in page and f"{columns.SHAPEFILE_LETTERS}" == "10"
