"""YAML and JSON of packages: plain values only, within budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.budget import parsed_json, parsed_yaml
from napari_segnet.errors import BrokenWeightsError

__all__ = ["read_mapping"]


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
        value = parsed_json(text) if name.lower().endswith(".json") else parsed_yaml(text)
    except ValueError as error:
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
