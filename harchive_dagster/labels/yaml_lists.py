"""The lists that people keep as YAML: parsed with every key once. What must be in them is for each list's module."""

from typing import Any

import yaml


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys: a task's second `steps`, or a verb's second synonyms, would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!a} appears twice", problem_mark=key.start_mark
                )
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """What a YAML document holds.

    Raises:
        ValueError: it is none, or has a key twice; one line that says where.
    """
    try:
        return yaml.load(text, _UniqueKeys)  # a safe loader too
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
