"""YAML in which no key stands twice (plain YAML keeps the last one and says nothing of the others), and none that grows when it is read."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from .errors import InputError, first_line
from .text import decode

MOST_BYTES = 2**20
MOST_DEPTH, MOST_NODES = 40, 100_000
"""Far beyond any configuration: a file with more nodes, its aliases written out, or deeper ones is taken for a trap."""


def read_yaml_file(path: Path) -> Any:
    """A file's content as plain values; ``OSError``, or ``yaml.YAMLError`` as of :func:`read_yaml`."""
    import yaml

    size = path.stat().st_size
    if size > MOST_BYTES:
        raise yaml.YAMLError(f"it has {size} bytes, at most {MOST_BYTES} are read")
    try:
        return read_yaml(decode(path.read_bytes(), str(path)))
    except InputError as error:
        raise yaml.YAMLError(error.given) from error


def read_yaml(text: str) -> Any:
    """The content as plain values; ``yaml.YAMLError`` names the line of what can't be read and of a repeated key.

    Dates stay texts, as do numbers by sixties and eights.
    """
    import yaml

    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"it has {len(text)} characters, at most {MOST_BYTES} are read")
    _require_small(text)
    try:
        return yaml.load(text, _loader())
    except (ValueError, TypeError, OverflowError, AttributeError, LookupError, RecursionError) as error:
        raise yaml.YAMLError(f"a value can't be understood: {first_line(error)}") from error


def _require_small(text: str) -> None:
    """Count nodes and levels as the parser meets them, before anything is built; each alias counts what its anchor holds."""
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, Loader=_parser()):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            count += sizes.get(event.anchor or "", 1)
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise yaml.YAMLError(f"line {line}: *{event.anchor} holds itself")
        elif isinstance(event, yaml.CollectionStartEvent):
            count += 1
            open_nodes.append((event.anchor, count))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = count - before + 1
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
        if count > MOST_NODES or len(open_nodes) > MOST_DEPTH:
            raise yaml.YAMLError(f"line {line}: more than {MOST_NODES} values, or nested deeper than {MOST_DEPTH} levels")


@cache
def _parser() -> type:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _loader() -> type:
    import yaml

    parser: Any = _parser()  # one of two classes, which is known only now

    class Loader(parser):
        def construct_mapping(self, node, deep=False):
            seen: dict[tuple[str, str], int] = {}
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if (key.tag, key.value) in seen:
                    problem = f"the key {key.value!r} stands in line {seen[key.tag, key.value]} already"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen[key.tag, key.value] = key.start_mark.line + 1
            return super().construct_mapping(node, deep)

        def construct_number(self, node):
            """The text of what YAML 1.1 counts by sixties (1:30) or eights (010): nobody means that, and its reader says what is valid."""
            if ":" in node.value or re.fullmatch(r"[+-]?0[\d_]+", node.value):
                return node.value
            return self.construct_yaml_float(node) if node.tag.endswith(":float") else self.construct_yaml_int(node)

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.construct_number)
    # No key of ours is a date, and 2026-13-45 is none.
    date = "tag:yaml.org,2002:timestamp"
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != date] for first, known in Loader.yaml_implicit_resolvers.items()
    }
    return Loader
