"""The jobs of the Measure dock; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

from napari_segnet.atomic import why, write_whole
from napari_segnet.errors import OutputError
from napari_segnet.measure import Table, measure
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.measure.subject import Measured
from napari_segnet.writers import Result, Writer

__all__ = ["exported", "measured"]


@job
def measured(subject: Measured) -> Generator[Progress, None, Table]:
    """Measure every object."""
    yield Progress(what="reading")
    return (
        yield from measure(
            subject.labels,
            subject.axes,
            subject.image,
            pixel_size_um=subject.pixel_size_um,
            label_class=subject.classes,
            label_score=subject.scores,
            class_names=subject.class_names,
        )
    )


@job
def exported(subject: Measured, writer: Writer, path: Path) -> Generator[Progress, None, Path]:
    """Write the objects for another program, whole or not at all.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    yield Progress(what="writing")
    result = Result(
        segmentation=subject.segmentation(on_grid=writer.on_grid is True),
        image=subject.image,
        exports=frozenset({writer.asked}),
    )
    try:
        write_whole(path, partial(writer.write, result=result), make_folder=False)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {why(error)}.") from error
    return path
