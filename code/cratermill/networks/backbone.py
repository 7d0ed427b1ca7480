"""A network by its library, name and weights."""

from __future__ import annotations

from dataclasses import dataclass

LIBRARIES = ("timm", "smp", "torchgeo", "terratorch")


@dataclass(frozen=True)
class Backbone:
    """A network that exists: its library, its name there, and the tag of its weights."""

    library: str
    name: str
    tag: str | None = None

    @property
    def full(self) -> str:
        return f"{self.name}.{self.tag}" if self.tag else self.name

    def __str__(self) -> str:
        return f"{self.library}:{self.full}"
