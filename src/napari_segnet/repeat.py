"""A run as the command line that repeats it."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_segnet.builtin import builtin_models

__all__ = ["command_line", "setting_text"]


def command_line(
    image: str | Sequence[str],
    weights: str | Path,
    *settings: Any,
    axes: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Return the ``napari-segnet segment`` command of a run, quoted for a shell.

    Parameters
    ----------
    image : str or sequence of str
        The picture file, or the files that are its channels.
    weights : str or Path
        The weights file; one that ships with the package is called by its name.
    *settings : settings dataclasses
        Only what differs from the default is named.
    axes : str, optional
        The image's axes, where its file does not say them rightly.
    overrides : mapping, optional
        Facts of the network that were told.
    """
    images = [image] if isinstance(image, str) else list(image)
    words = ["napari-segnet", "segment", *images, "-c", _called(weights)]
    pairs: dict[str, str] = {} if axes is None else {"axes": axes}
    for name, value in (overrides or {}).items():
        pairs[name] = setting_text(value)
    for values in settings:
        default = type(values)()
        for field in dataclasses.fields(values):
            value = getattr(values, field.name)
            if value != getattr(default, field.name):
                pairs[field.name] = setting_text(value)
    for name, text in pairs.items():
        words += ["--set", f"{name}={text}"]
    if sys.platform == "win32":  # where a single quote is a letter like any other
        return subprocess.list2cmdline(words)
    return shlex.join(words)


def setting_text(value: Any) -> str:
    """Return a setting as ``--set`` takes it; the way back is ``settings_from``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ",".join(setting_text(part) for part in value)
    return "auto" if value is None else str(value)


def _called(weights: str | Path) -> str:
    names = {path: name for name, path in builtin_models().items()}
    return names.get(Path(weights), str(weights))
