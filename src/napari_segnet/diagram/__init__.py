"""A network as a picture: its levels, widths and skip connections, and how each is known.

A graph is gathered into stages (``_stages.py``), these are laid out as plain shapes
(``_drawing.py``), and shapes become SVG or pixels (``_render.py``).
"""

from __future__ import annotations

import io
from pathlib import Path

from napari_segnet.atomic import why, write_text, write_whole
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.diagram._drawing import Diagram, drawn
from napari_segnet.diagram._render import pixels, svg
from napari_segnet.diagram._stages import stages_of
from napari_segnet.errors import OutputError
from napari_segnet.families import GraphFamily
from napari_segnet.recognition import family_of

__all__ = ["Diagram", "check_name", "diagram_of", "pixels", "svg", "write_diagram"]

ENDINGS = (".png", ".svg")


def diagram_of(checkpoint: Checkpoint) -> Diagram | None:
    """Return the picture of a network; None for a family that is not described layer by layer."""
    family = family_of(checkpoint)
    if not isinstance(family, GraphFamily):
        return None
    return drawn(stages_of(family.graph(checkpoint)), checkpoint)


def check_name(path: Path) -> None:
    """Refuse the name of a file that is neither PNG nor SVG.

    Raises
    ------
    OutputError
        With what can be had.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(
            f"A network is drawn as {' or '.join(ENDINGS)}, not as {path.name!r}. Choose a name "
            "that ends so."
        )


def write_diagram(checkpoint: Checkpoint, path: Path) -> None:
    """Draw a network into a file, which is replaced if it is there.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` or ``recognise`` returned.
    path : Path
        A ``.png`` or ``.svg``.

    Raises
    ------
    OutputError
        If the file's kind is another, the disk refuses, or the network is not described layer
        by layer.
    """
    check_name(path)
    diagram = diagram_of(checkpoint)
    if diagram is None:
        raise OutputError(
            f"{checkpoint.path.name} cannot be drawn: {family_of(checkpoint).title} is not "
            "described layer by layer. Leave the picture out."
        )
    try:
        if path.suffix.lower() == ".svg":
            write_whole(path, lambda part: write_text(part, svg(diagram)), make_folder=False)
        else:
            content = _png(diagram)
            write_whole(path, lambda part: part.write_bytes(content), make_folder=False)
    except OSError as error:
        raise OutputError(f"The picture could not be written to {path}: {why(error)}.") from error


def _png(diagram: Diagram) -> bytes:
    from PIL import Image as Picture

    content = io.BytesIO()
    Picture.fromarray(pixels(diagram)).save(content, "png")
    return content.getvalue()
