"""A seeded synthetic planet with exact ground truth: mosaic, craters, ejecta, masks, training tiles."""

from .make import PlanetSummary, describe, synthesise

__all__ = ["PlanetSummary", "describe", "synthesise"]
