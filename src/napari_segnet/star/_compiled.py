"""The compiled code of StarDist, without its package: importing that would ask for TensorFlow.

The library is the extra ``[stardist]``. Its module holds plain functions on arrays of numpy.
Where it is not installed, or another version of it, what is here in numpy does the same.
"""

from __future__ import annotations

import functools
import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from typing import Any

__all__ = ["compiled"]

NAME = "stardist2d"


@functools.cache
def compiled() -> Any:
    """Return the module ``stardist2d`` of the library; None without it."""
    try:
        package = importlib.util.find_spec("stardist")
    except (ImportError, ValueError):
        return None
    for folder in (package.submodule_search_locations or ()) if package else ():
        for ending in EXTENSION_SUFFIXES:
            file = Path(folder) / "lib" / f"{NAME}{ending}"
            if file.is_file():
                return _loaded(file)
    return None


def _loaded(file: Path) -> Any:
    spec = importlib.util.spec_from_loader(NAME, ExtensionFileLoader(NAME, str(file)))
    if spec is None or spec.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        return None  # made for another numpy
    return module if hasattr(module, "c_non_max_suppression_inds") else None
