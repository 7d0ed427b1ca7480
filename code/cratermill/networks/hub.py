"""Addresses on the Hugging Face hub, and what is said of a file from there that can't be read."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import WorkError, first_line


def hub_place(url: str) -> tuple[str, str, str] | None:
    """(repository, file, revision) of an address on the hub, or None for another address."""
    for host in ("https://hf.co/", "https://huggingface.co/"):
        if url.startswith(host):
            repository, _, rest = url.removeprefix(host).partition("/resolve/")
            revision, _, file = rest.partition("/")
            return repository, file, revision
    return None


def damaged(path: Path, error: Exception) -> WorkError:
    return WorkError(
        f"the weights in {path} can't be read: {first_line(error)}", next_step="delete this file and run 'cratermill weights fetch CONFIG'"
    )
