"""A pickle of named numpy arrays, which torch did not write: Detectron2's model zoo (``.pkl``).

It is read by the same restricted machine as torch's files, so nothing in it runs. Pickles
of anything else are refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.containers._inert import Inert
from napari_segnet.containers._types import Tree
from napari_segnet.containers._unpickle import Stream, unpickle
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError
from napari_segnet.stamp import stamp_of

__all__ = ["PickledArrays"]

_OLD_PICKLE = re.compile(
    rb"\(?(?:[ci][A-Za-z_][\w.]*\r?\n[\w.]+\r?\n|[ld]p\d+\r?\n|[\]}]?\(?[SV]'.*'\r?\n)"
)
_PICKLE_PROTOCOLS = (2, 3, 4, 5)
_MAX_DEPTH = 3


class PickledArrays:
    """Dicts of arrays, one inside the other at most three deep."""

    name = "pickle"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the protocol, or by the text of the oldest protocol."""
        if head[:1] == b"\x80" and head[1:2] and head[1] in _PICKLE_PROTOCOLS:
            return True
        return _OLD_PICKLE.match(head) is not None

    def open(self, path: Path) -> Tree:
        """List the arrays, which are in memory from then on as long as the tree is."""
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            outside: list[Any] = []
            root = unpickle(Stream(file, state.st_size), path.name, _noted(outside))
        if isinstance(root, dict) and isinstance(root.get("blobs"), dict):
            raise UnsupportedWeightsError(
                f"{path.name} is a network of Detectron (Caffe2 blobs), which this version does "
                "not open. Load it with Detectron2, which converts it, and save its checkpoint "
                "(.pth)."
            )
        if _holds_arrays(root):
            if outside:
                raise BrokenWeightsError(
                    f"{path.name} is damaged, or a part of another file: it refers to something "
                    "outside of it. Download or copy it again."
                )
            return Tree(container=self.name, root=root, metadata={}, stamp=stamp_of(state))
        keys = [str(key) for key in root][:5] if isinstance(root, dict) else []
        holds = f" with the entries {', '.join(keys)}" if keys else ""
        raise UnsupportedWeightsError(
            f"{path.name} is a plain Python pickle{holds}, which this version does not open, since "
            "it holds no arrays with names. Save the tensors with torch instead: "
            "torch.save(state_dict, 'weights.pth')."
        )


def _holds_arrays(root: Any) -> bool:
    """Look level by level, and once at what many places share: 400 deep in itself never ends."""
    level, seen = [root], {id(root)}
    for _ in range(_MAX_DEPTH + 1):
        below: list[Any] = []
        for node in level:
            if not isinstance(node, dict):
                continue
            for key, child in node.items():
                if (
                    isinstance(key, str)
                    and isinstance(child, np.ndarray)
                    and child.dtype.kind == "f"
                ):
                    return True
                if isinstance(key, str) and isinstance(child, dict) and id(child) not in seen:
                    seen.add(id(child))
                    below.append(child)
        level = below
    return False


def _noted(outside: list[Any]) -> Callable[[Any], Inert]:
    """Return what stands for persistent ids, and keep them in a list."""

    def stand_in(identifier: Any) -> Inert:
        outside.append(identifier)
        return Inert("pickle.persistent")

    return stand_in
