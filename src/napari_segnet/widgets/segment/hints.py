"""Which settings the Segment dock shows, and what it calls regions and dimensions."""

from __future__ import annotations

__all__ = [
    "ADVANCED",
    "MAIN",
    "REGIONS",
    "axes_choices",
    "axes_question",
    "axes_title",
    "axes_words",
]

AXES = {"t": "time series", "c": "channels", "z": "z-stack", "y": "rows", "x": "columns"}
"""Letter of a dimension -> what it is."""

REGIONS = {
    "layer": "whole layer",
    "visible": "visible region",
    "plane": "current plane",
    "rectangle": "selected rectangle (Shapes layer)",
}
"""Kind of region -> its name in the dock."""

MAIN = ("normalize", "invert")
ADVANCED = (
    *("device", "normalize_over", "scale", "tile_px", "batch_size", "precision", "seams", "mirror"),
    *("multiscale", "maps", "threads", "engine"),
)


def axes_choices(guess: str, rgb: bool) -> list[str]:
    """Return the meanings that a layer's dimensions may have, the guess among them.

    Parameters
    ----------
    guess : str
        One letter per dimension.
    rgb : bool
        The last dimension holds the colours: then only what stands in front is open.
    """
    if rgb:
        front = {3: [""], 4: ["z", "t"], 5: ["tz"]}.get(len(guess), [])
        found = [f"{lead}yxc" for lead in front]
    else:
        front = {
            2: [""],
            3: ["z", "t", "c"],
            4: ["tz", "cz", "zc", "tc", "ct"],
            5: ["tcz", "tzc", "ctz", "czt", "zct", "ztc"],
        }.get(len(guess), [])
        found = [f"{lead}yx" for lead in front]
    return found if guess in found else [guess, *found]


def axes_question(name: str, guess: str) -> str:
    """Return the question of what the dimensions of a layer are, with what is taken meanwhile."""
    return (
        f"The dimensions of “{name}” are not named. They are read as {axes_words(guess)}. If this "
        "is wrong, choose another entry in “dimensions”; the choice stays with this layer."
    )


def axes_title(axes: str) -> str:
    """Return what kind of image axes make, such as ``z-stack (zyx)``."""
    kinds = [AXES[letter] for letter in axes if letter in "tcz" and not axes.endswith("xc")]
    if axes.endswith("xc"):
        kinds = [*(AXES[letter] for letter in axes[:-1] if letter in "tz"), "colour"]
    return f"{', '.join(kinds) or 'plane'} ({axes})"


def axes_words(axes: str) -> str:
    """Return axes in words, slowest first."""
    return ", ".join(AXES[letter] for letter in axes)
