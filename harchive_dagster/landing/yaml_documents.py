"""YAML that people keep by hand: parsed with every key once. What must be in it is for each document's module."""

from typing import Any

import yaml


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys: a card's second threshold would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!a} appears twice", problem_mark=key.start_mark
                )
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(document: str | bytes) -> Any:
    """What a YAML document holds; a JSON document is one too, unless tabs indent it.

    Raises:
        ValueError: it is none, or has a key twice; one line that says where.
    """
    try:
        return yaml.load(document, _UniqueKeys)  # a safe loader too
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter for dates and numbers that there are none of
        raise ValueError(" ".join(str(error).split())) from None
