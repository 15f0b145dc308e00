"""Paths, devices and memory layouts of a pickle, as texts."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["PathText", "device", "layout", "path"]

_LONGEST_PATH = 32_767
"""That of Windows, the longest of all systems."""
_MOST_DEVICES = 128
_DEVICE = re.compile(r"([a-z]+)(?::(0|[1-9][0-9]{0,2}))?")
_SPARSE = ("sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
_LAYOUTS = frozenset(f"torch.{name}" for name in ("strided", *_SPARSE, "_mkldnn", "jagged"))
"""https://github.com/pytorch/pytorch/blob/v2.8.0/c10/core/Layout.h"""
_DEVICES = frozenset(
    "cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu "
    "mtia privateuseone ort msnpu npu mlu musa sdaa gcu".split()
)
"""Kinds of devices of PyTorch from 1.0 on, and those that makers of processors add to it.

https://github.com/pytorch/pytorch/blob/v2.8.0/c10/core/Device.cpp
"""


class PathText(str):
    """The text of a path, which numpy does not take for the order of bytes."""


def path(*parts: Any) -> str:
    """Return what stands for a path of ``pathlib``."""
    texts = [_text(part) for part in parts]
    if sum(map(len, texts)) > _LONGEST_PATH:  # a path of paths doubles at each step
        raise ValueError("a path is too long")
    return PathText("/".join(texts).replace("//", "/", 1) if texts else ".")


def device(kind: Any = "cpu", index: Any = None) -> str:
    """Return what stands for ``torch.device(kind, index)``."""
    said = _DEVICE.fullmatch(_text(kind))
    if said is None or said[1] not in _DEVICES:
        raise ValueError("it names a device that does not exist")
    if index is None:
        return str(kind)
    if said[2] is not None or type(index) is not int or not 0 <= index < _MOST_DEVICES:
        raise ValueError("the index of a device is impossible")
    return f"{kind}:{index}"


def layout(name: Any) -> str:
    """Return what stands for a memory layout of torch."""
    if name not in _LAYOUTS:
        raise ValueError("it names a memory layout that does not exist")
    return str(name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} was not expected")
    return value
