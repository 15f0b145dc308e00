"""YAML and JSON of packages: plain values only, within budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from napari_segnet.errors import BrokenWeightsError

__all__ = ["read_mapping"]

MOST_EVENTS = 100_000
"""Values in one description; the longest known has some hundred."""
DEEPEST = 64


def read_mapping(text: str, name: str, package: str) -> Mapping[str, Any]:
    """Return the mapping that a text in YAML or JSON is.

    Parameters
    ----------
    text : str
        The text.
    name, package : str
        The names of file and package, for messages.

    Raises
    ------
    BrokenWeightsError
        If it is none, would make objects of Python, or is larger than any description.
    """
    try:
        value = json.loads(text) if name.lower().endswith(".json") else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise BrokenWeightsError(
            f"{name} in {package} cannot be understood ({str(error)[:160]}). Get the package again "
            "from where it was published, or correct the line."
        ) from error
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise BrokenWeightsError(
            f"{name} in {package} describes no package: it is no table of names and values. Get "
            "the package again from where it was published."
        )
    return value


def _yaml(text: str) -> Any:
    import yaml

    left, depth = MOST_EVENTS, 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            left -= 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if left < 0 or depth > DEEPEST:
                raise ValueError("it has more values, or more in each other, than a description")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
