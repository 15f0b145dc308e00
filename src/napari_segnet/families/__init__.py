"""Kinds of network: what a family is, and where each one is found.

A family recognises its files by key names and shapes, tells all that they say (and how
it knows), and builds the network. To add one, write a folder with a class that has the
methods of :class:`Family`, and a line in ``registry.py``; another package names its own as an
entry point.
"""

from __future__ import annotations

from napari_segnet.families.protocol import (
    ConfiguredFamily,
    DescribedFamily,
    Family,
    GraphFamily,
    InstanceFamily,
    Look,
    MapFamily,
    MeasurableFamily,
    PromptableFamily,
    RawFamily,
    SmallInitFamily,
    Trainable,
    TrainableFamily,
    TrainableInstanceFamily,
)
from napari_segnet.families.registry import FAMILIES, Entry, Families

__all__ = [
    "FAMILIES",
    "ConfiguredFamily",
    "DescribedFamily",
    "Entry",
    "Families",
    "Family",
    "GraphFamily",
    "InstanceFamily",
    "Look",
    "MapFamily",
    "MeasurableFamily",
    "PromptableFamily",
    "RawFamily",
    "SmallInitFamily",
    "Trainable",
    "TrainableFamily",
    "TrainableInstanceFamily",
]
