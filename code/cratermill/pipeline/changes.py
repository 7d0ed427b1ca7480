"""``--set key=value``: keys of a configuration and columns of its rows, changed for one launch."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from ..core.errors import InputError
from ..core.yaml_files import read_yaml
from ..families import FAMILIES

EXAMPLE = "key=value, such as map.threshold=0.6, ejecta.lr=0.001 (a column of all rows) or ejecta.200.lr=0.001 (of one)"


def changed(content: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """A configuration's content with these changes, which it also lists; ``InputError`` for one that can't be read."""
    changes = list(changes)
    if not changes:
        return content
    content = deepcopy(content)
    for one in changes:
        key, equals, text = one.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise InputError(f"--set {one}", valid=EXAMPLE, next_step="write it that way")
        _put(content, _path(key.strip().split(".")), read_yaml(text) if text.strip() else None, one)
    return content | {"changed": [*content.get("changed", []), *changes]}


def _path(parts: list[str]) -> list[str]:
    """A family's name in front stands for the columns of its rows."""
    return ["train", parts[0], "set", *parts[1:]] if parts[0] in FAMILIES else parts


def _put(content: Any, path: list[str], value: Any, said: str) -> None:
    *folders, last = path
    for part in folders:
        if isinstance(content, list):
            content = content[_place(content, part, said)]
        elif isinstance(content, dict):
            if content.get(part) is None:
                content[part] = {}
            content = content[part]
    if isinstance(content, list):
        content[_place(content, last, said)] = value
    elif isinstance(content, dict):
        content[last] = value
    else:
        raise InputError(f"--set {said}: {'.'.join(folders)} holds no keys", valid=EXAMPLE, next_step="correct the key")


def _place(content: list[Any], part: str, said: str) -> int:
    if not part.isdigit() or int(part) >= len(content):
        raise InputError(f"--set {said}: {part} is no place in that list", valid=f"0 to {len(content) - 1}", next_step="correct the key")
    return int(part)
