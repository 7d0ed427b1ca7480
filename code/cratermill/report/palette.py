"""A fixed colour per crater, the same in every map, whichever other craters are in it."""

from __future__ import annotations

import colorsys

GOLDEN = 0.6180339887498949
"""Steps of the golden ratio around the colour circle keep neighbouring FIDs far apart."""


def colour(fid: int) -> tuple[int, int, int]:
    """RGB 0–255 of a crater: hue by its FID, three saturations and two brightnesses to tell near hues apart."""
    hue = (fid * GOLDEN) % 1.0
    saturation = (0.55, 0.75, 0.95)[fid % 3]
    value = (1.0, 0.85)[fid % 2]
    red, green, blue = (round(channel * 255) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def hex_colour(fid: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour(fid))
