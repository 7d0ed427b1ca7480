"""What docs/geometry.md promises about names of columns is what the reader does."""

from __future__ import annotations

import re

import pytest
import yaml

from cratermill.craters.catalogue import read_catalogue
from cratermill.geo.bodies import get_body


def test_every_column_name_of_the_page_is_understood(project_folder, tmp_path):
    page = (project_folder / "docs" / "input.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^\| (number(?= of)|longitude, \w+|latitude|radius|diameter)[^|]*\|([^|]*)\| ([^\n]*) \|$", page, flags=re.MULTILINE
    )
    assert len(found) == 10
    usual, path = {"number": "FID", "longitude, east": "lon", "latitude": "lat", "radius": "radius_m"}, tmp_path / "x.csv"
    for what, unit, cell in found:
        for name in re.findall(r"`([^`]+)`", cell):
            replaced = {"diameter": "radius", "longitude, west": "longitude, east"}.get(what, what)
            path.write_text(",".join((usual | {replaced: name}).values()) + "\n7,200,5,60000\n")
            read = read_catalogue(path, units="km" if "units" in unit else None)
            assert (read.FID[0], read.lon[0], read.lat[0]) == (7, 160 if "west" in what else -160, 5), name
            metres = 60000 * (1000 if "km" in unit or "units" in unit else 1) * (0.5 if what == "diameter" else 1)
            assert read.radius_m[0] == pytest.approx(metres), name


def test_the_body_file_of_the_page_is_read(project_folder, tmp_path):
    page = (project_folder / "docs" / "geometry.md").read_text(encoding="utf-8")
    text = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[1]
    path = tmp_path / "bennu.yaml"
    path.write_text(text)
    assert get_body(path).name == yaml.safe_load(text)["name"]
