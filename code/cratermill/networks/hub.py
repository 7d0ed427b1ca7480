"""Addresses on the Hugging Face hub."""

from __future__ import annotations


def hub_place(url: str) -> tuple[str, str, str] | None:
    """(repository, file, revision) of an address on the hub, or None for another address."""
    for host in ("https://hf.co/", "https://huggingface.co/"):
        if url.startswith(host):
            repository, _, rest = url.removeprefix(host).partition("/resolve/")
            revision, _, file = rest.partition("/")
            return repository, file, revision
    return None
