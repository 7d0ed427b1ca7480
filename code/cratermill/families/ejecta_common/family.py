"""The base of the connection and the ejecta family: splits of drawn tiles, and maps of a list's craters."""

from __future__ import annotations

from ..base import Family


class EjectaFamily(Family):
    files_marked = True
    maps = maps_a_list = draws = obeys_precision = True
    map_keys = frozenset(("craters", "crater_list", "data", "match_brightness"))

    def require_splits(self, config, splits) -> None:
        from .splits import require_splits

        require_splits(config.data.az_positions, splits)

    def require_map_data(self, config, rows) -> None:
        """Of what was prepared a map uses only the tables of tiles to map."""
        from .planned import require_current_tiles

        require_current_tiles(config)

    def map_name(self, config, trainings=None) -> str:
        from .planned import map_name

        return map_name(config, trainings)

    def map_cells(self, config, trainings=None) -> list[dict]:
        from .planned import map_cells

        return map_cells(config, trainings)

    def map_warnings(self, config) -> list[str]:
        from .mapping import map_warnings

        return map_warnings(config)
