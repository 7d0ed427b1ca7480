"""Model ages of surfaces from their craters: production functions, chronologies, ages with intervals.

A production function says how craters' numbers go with size, log10 N(≥ D) = Σ aᵢ (log10 D)ⁱ per km² with D in km; a chronology how the
number of craters ≥ 1 km grows with age, N(1) = A (e^(B t) − 1) + C t per km² with t in Ga. The coefficients are the published ones, read
from the configuration of Greg Michael's craterstats (BSD), https://github.com/ggmichael/craterstats, and checked against the ages of Mars'
epochs in Michael (2013), Icarus 226, 885–890. a₀ only sets the age of the curve as drawn, 1 Ga, and takes no part in ages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ..core.errors import InputError, nearest
from .frequencies import poisson_interval

OLDEST_GA = 4.6
LEVEL = 0.95


@dataclass(frozen=True)
class Production:
    """``range_km``: the diameters for which it was published."""

    name: str
    coefficients: tuple[float, ...]
    range_km: tuple[float, float]
    source: str

    def cumulative(self, diameter_km: np.ndarray | float) -> np.ndarray:
        """N(≥ D) per km² of a surface of 1 Ga."""
        return 10.0 ** np.polynomial.polynomial.polyval(np.log10(np.asarray(diameter_km, float)), self.coefficients)

    def per_unit(self, low_km: float, high_km: float) -> float:
        """How many craters of ``low_km`` to ``high_km`` there are for each crater ≥ 1 km."""
        low, high, one = self.cumulative(np.array([low_km, high_km, 1.0]))
        return float((low - (0.0 if np.isinf(high_km) else high)) / one)


@dataclass(frozen=True)
class Chronology:
    """N(1) = A (e^(B t) − 1) + C t."""

    name: str
    a: float
    b: float
    c: float
    source: str

    def density(self, age_ga: np.ndarray | float) -> np.ndarray:
        """Craters ≥ 1 km per km² of a surface of some age."""
        age = np.asarray(age_ga, float)
        return self.a * np.expm1(self.b * age) + self.c * age

    def age(self, density: float) -> float:
        """The age in Ga of a surface with so many craters ≥ 1 km per km²; infinite beyond that of the oldest surface."""
        if density <= 0:
            return 0.0
        if density >= self.density(OLDEST_GA):
            return float("inf")
        return float(brentq(lambda age: float(self.density(age)) - density, 0.0, OLDEST_GA, xtol=1e-9))


_NIH = "Neukum, Ivanov and Hartmann (2001), Space Sci. Rev. 96, 55–86"
_NEUKUM_83 = "Neukum (1983), Habilitation, Univ. Munich"
_MERCURY = "Neukum et al. (2001), Planet. Space Sci. 49, 1507–1521"
_IVANOV = "Ivanov (2001), Space Sci. Rev. 96, 87–104"
_MOON_83 = (-3.0768, -3.6269, 0.43662, 0.79347, 0.086468, -0.26485, -0.066382, 0.037923, 0.010596, -0.0022496, -0.00051797, 0.0000397)
_MOON_01 = (-3.0768, -3.557528, 0.781027, 1.021521, -0.156012, -0.444058, 0.019977, 0.086850, -0.005874, -0.006809, 8.25e-4, 5.54e-5)
_MARS: tuple[float, ...] = (-3.383677, -3.197453, 1.256814, 0.7915374, -0.4860814, -0.3630098, 0.1015683, 0.06755923, -0.01180639)
_MARS += (-0.004753462, 6.232845e-4, 5.805492e-5)
_MERC: tuple[float, ...] = (-3.016675, -3.627417, 0.6038601, 1.026714, -3.767761e-3, -0.4204364, -0.032235, 0.08044575, 3.170165e-3)
_MERC += (-6.733922e-3, 1.334403e-4, 1.428627e-4)

SYSTEMS: dict[str, tuple[Production, Chronology]] = {
    "moon-neukum-1983": (
        Production("Moon, Neukum (1983)", _MOON_83, (0.01, 300.0), _NEUKUM_83),
        Chronology("Moon, Neukum (1983)", 5.44e-14, 6.93, 8.38e-4, _NEUKUM_83),
    ),
    "moon-neukum-2001": (
        Production("Moon, Neukum et al. (2001)", _MOON_01, (0.01, 100.0), _NIH),
        Chronology("Moon, Neukum et al. (2001)", 5.44e-14, 6.93, 8.38e-4, _NIH),
    ),
    "mars-hartmann-neukum-2001": (
        Production("Mars, Ivanov (2001)", _MARS, (0.015, 362.0), _IVANOV),
        Chronology("Mars, Hartmann & Neukum (2001)", 3.22e-14, 6.93, 4.875e-4, f"Hartmann and Neukum (2001), ibid. 96, 165–194; {_NIH}"),
    ),
    "mars-ivanov-2001": (
        Production("Mars, Ivanov (2001)", _MARS, (0.015, 362.0), _IVANOV),
        Chronology("Mars, Ivanov (2001)", 2.68e-14, 6.93, 4.13e-4, _IVANOV),
    ),
    "mercury-neukum-2001": (
        Production("Mercury, Neukum et al. (2001)", _MERC, (0.01, 100.0), _MERCURY),
        Chronology("Mercury, Neukum et al. (2001)", 6.247e-14, 6.93, 9.62e-4, _MERCURY),
    ),
}
DEFAULTS = {"moon": "moon-neukum-2001", "mars": "mars-hartmann-neukum-2001", "mercury": "mercury-neukum-2001"}


def system(name: str) -> tuple[Production, Chronology]:
    """Production function and chronology of a system, or a body's usual ones; InputError for a body without any."""
    known = DEFAULTS.get(name.lower(), name.lower())
    if known not in SYSTEMS:
        raise InputError(f"no chronology {name!r}", valid=nearest(name.lower(), [*SYSTEMS, *DEFAULTS]))
    return SYSTEMS[known]


@dataclass(frozen=True)
class ModelAge:
    """Age in Ga and its 95 % interval (of counting alone), N(1) per km², and what was counted between which diameters."""

    age_ga: float
    low_ga: float
    high_ga: float
    density: float
    craters: int
    range_km: tuple[float, float]
    production: str
    chronology: str


def model_age(diameters_km: np.ndarray, area_km2: float, name: str, range_km: tuple[float, float]) -> ModelAge:
    """The age whose production gives as many craters in a range of diameters as were counted there.

    With the shape of the production function given, the number of craters in the range says all that a list says of the age; its interval
    is the exact one of a Poisson count. What the functions themselves are worth, and whether the range was counted whole, is not in it.
    """
    production, chronology = system(name)
    low, high = range_km
    if not (0 < low < high):
        raise InputError(f"diameters from {low:g} to {high:g} km", valid="the smaller first, above 0")
    if low < production.range_km[0] or low >= production.range_km[1]:
        limits = f"{production.range_km[0]:g} to {production.range_km[1]:g} km"
        raise InputError(f"diameters from {low:g} km with the production function {production.name}", valid=f"within {limits}")
    diameters = np.asarray(diameters_km, float)
    high = min(high, production.range_km[1])
    count = int(((diameters >= low) & (diameters < high)).sum())
    expected = area_km2 * production.per_unit(low, high)
    limits_of_count = [float(limit) for limit in poisson_interval(count, LEVEL)]
    ages = [chronology.age(number / expected) for number in (count, *limits_of_count)]
    return ModelAge(ages[0], ages[1], ages[2], count / expected, count, (low, high), production.name, chronology.name)
