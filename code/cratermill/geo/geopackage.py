"""GeoPackages that keep the authority of a planetary CRS: GDAL writes ``IAU`` for ``IAU_2015``, a code that nothing finds again."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pyproj

from .bodies import published_crs


def keep_authority(path: Path, crs: pyproj.CRS | None) -> Path:
    """Correct the table of CRSs of a GeoPackage that was just written in ``crs``; those without a code of IAU_2015 stay as they are."""
    authority = published_crs(crs).to_authority() if crs is not None else None
    if not authority or authority[0] != "IAU_2015":
        return path
    with closing(sqlite3.connect(path)) as file, file:
        table = file.execute("SELECT srs_id, definition FROM gpkg_spatial_ref_sys WHERE organization = 'IAU'").fetchall()
        for number, definition in table:
            change = (authority[0], int(authority[1]), _found_by_name(definition), number)
            file.execute(
                "UPDATE gpkg_spatial_ref_sys SET organization = ?, organization_coordsys_id = ?, definition = ? WHERE srs_id = ?", change
            )
    return path


def _found_by_name(definition: str) -> str:
    """The definition without the broken code, with axes in the published order: so authorities' tables have it by name."""
    bare = re.sub(r',AXIS\["Lon[^]]*\],AXIS\["Lat[^]]*\](?=,AUTHORITY\["IAU","\d+"\]\]$)', "", definition)
    bare = re.sub(r',AUTHORITY\["IAU","\d+"\]\]$', "]", bare)
    return re.sub(r"\]$", ',AXIS["Latitude",NORTH],AXIS["Longitude",EAST]]', bare) if bare.startswith("GEOGCS") else bare
