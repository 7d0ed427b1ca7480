"""Paths of a synthetic planet: EJMAP's data folder plus the truth."""

from __future__ import annotations

from pathlib import Path

from ..core.paths import DataFolder


class PlanetFolder(DataFolder):
    """A data folder that also knows everything: ``catalogue.csv`` and ``truth/``."""

    @property
    def catalogue(self) -> Path:
        return self.root / "catalogue.csv"

    @property
    def truth(self) -> Path:
        return self.root / "truth"

    @property
    def owner(self) -> Path:
        return self.truth / "owner.tif"

    @property
    def planet(self) -> Path:
        """Written last: a folder without it holds an unfinished planet."""
        return self.truth / "planet.json"

    def truth_mask(self, fid: int) -> Path:
        return self.truth / f"mask_crater_{fid}.tif"
