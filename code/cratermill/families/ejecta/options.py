"""What may stand in ``map.options`` of a map of ejecta."""

from typing import Literal

from pydantic import Field

from ...core.models import Strict


class MapOptions(Strict):
    calibrate: Literal["temperature", "isotonic"] | None = Field(
        None, description="correct the map's probabilities by what the networks said on the tiles they were validated with; votes stay"
    )
