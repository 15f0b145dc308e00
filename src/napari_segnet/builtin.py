"""The networks that ship with the package, by name; nothing here reads them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_segnet.errors import WeightsError
from napari_segnet.settings import suggestion, type_name

__all__ = ["builtin_models", "weights_path"]

MODELS = Path(__file__).parent / "models"


def builtin_models() -> dict[str, Path]:
    """Return the networks that ship with the package, by name."""
    return dict(sorted((path.stem, path) for path in MODELS.glob("*.safetensors")))


def weights_path(name: str | Path) -> Path:
    """Return the file that is meant by a path or by the name of a built-in network.

    Raises
    ------
    WeightsError
        If it looks like a name but is none, and no file is called so.
    """
    if not isinstance(name, str | os.PathLike):
        raise WeightsError(
            f"A network is named by a text or a path, not by {type_name(name)}. Give the name of a "
            "built-in network, or the path of a weights file."
        )
    known = builtin_models()
    if str(name) in known:
        return known[str(name)]
    path = Path(name)
    if re.fullmatch(r"[\w-]+", str(name)) and not path.exists():
        names = f"Built in: {', '.join(known)}" if known else "None is built in"
        raise WeightsError(
            f"{name} is neither a file nor a built-in network{suggestion(str(name), known)}. "
            f"{names}. Give a name of `napari-segnet models`, or a weights file by its path."
        )
    return path
