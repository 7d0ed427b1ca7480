"""What docs/geometry.md promises about names of columns is what the reader does."""

from __future__ import annotations

import re

import pytest
import yaml

from cratermill.craters.catalogue import read_catalogue
from cratermill.geo.bodies import get_body


def test_every_column_name_of_the_page_is_understood(project_folder, tmp_path):
    page = (project_folder / "docs" / "geometry.md").read_text(encoding="utf-8")
    rows = dict(
        re.findall(r"^\| (number|longitude|latitude|size with its unit|size without one)[^|]*\| ([^\n]*) \|$", page, flags=re.MULTILINE)
    )
    names = {what: re.findall(r"`([^`]+)`", cell) for what, cell in rows.items()}
    assert len(names) == 5
    usual = {"number": "FID", "longitude": "lon", "latitude": "lat", "size with its unit": "radius_m"}
    for what, variants in names.items():
        for name in variants:
            columns = {**usual, what: name} if what in usual else {**usual, "size with its unit": name}
            path = tmp_path / "x.csv"
            path.write_text(",".join(columns.values()) + "\n7,200,5,60000\n")
            found = read_catalogue(path)
            assert (found.FID[0], found.lon[0], found.lat[0]) == (7, -160, 5), name
            metres = (
                60000 * (1000 if "km" in name.lower() or "CIRC" in name and "DIAM" in name else 1) * (0.5 if "diam" in name.lower() else 1)
            )
            assert found.radius_m[0] == pytest.approx(metres), name


def test_the_body_file_of_the_page_is_read(project_folder, tmp_path):
    page = (project_folder / "docs" / "geometry.md").read_text(encoding="utf-8")
    text = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[1]
    path = tmp_path / "bennu.yaml"
    path.write_text(text)
    assert get_body(path).name == yaml.safe_load(text)["name"]
