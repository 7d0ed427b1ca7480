"""Seeds as pure functions of what they are for, so that the same cell draws the same numbers anywhere."""

from __future__ import annotations

import hashlib


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any printable parts, e.g. ``seed_of(plan_seed, family, version, split, iteration)``."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
