"""YAML in which no key stands twice: plain YAML keeps the last one and says nothing of the others."""

from __future__ import annotations

from functools import cache
from typing import Any


def read_yaml(text: str) -> Any:
    """The content as plain values; ``yaml.YAMLError`` names the line of what can't be read and of a repeated key."""
    import yaml

    return yaml.load(text, _loader())


@cache
def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
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

    return Loader
