"""One call from a network and an image, by name, path or array, to labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, segment
from napari_segnet.inputs import as_checkpoint, as_image
from napari_segnet.measure import Table, measure
from napari_segnet.progress import run
from napari_segnet.proof import prove
from napari_segnet.readers import image_stem
from napari_segnet.segmentation import Segmentation
from napari_segnet.settings import field_names, settings_from
from napari_segnet.writers import write_segmentation

__all__ = ["ImageSegmentation", "segment_image"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSegmentation(Segmentation):
    """Labels, and the image that they were made of.

    Attributes
    ----------
    image : Image
        What was segmented.
    """

    image: Image

    def __repr__(self) -> str:
        return Segmentation.__repr__(self)

    def table(self) -> Table:
        """Measure every object; see :func:`napari_segnet.measure.measure`."""
        return run(
            measure(
                self.labels,
                self.axes,
                self.image,
                label_class=self.label_class,
                label_score=self.label_score,
                class_names=self.class_names,
            )
        )

    def save(self, path: str | Path, *, table: bool = False, overwrite: bool = False) -> list[Path]:
        """Write labels and their origin.

        Parameters
        ----------
        path : str or Path
            A folder, in which the files are called like the image; or a file ending in ``.tif``
            (``.nii.gz`` for a medical image), whose name without that ending all files get.
        table : bool
            Also write the measurements of the objects as CSV.
        overwrite : bool
            Replace files of these names.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        OutputError
            If a file exists already, or cannot be written.
        """
        path = Path(path)
        folder, stem = path, _stem(self.image)
        for ending in (".labels.tif", ".labels.nii.gz", ".tiff", ".tif", ".nii.gz", ".nii"):
            if path.name.lower().endswith(ending) and not path.is_dir():
                folder, stem = path.parent, path.name[: -len(ending)]
                break
        made = self.table() if table else None
        return write_segmentation(self, folder, stem, overwrite=overwrite, table=made)


def segment_image(
    network: str | Path | Checkpoint, image: Any, *, axes: str | None = None, **settings: Any
) -> ImageSegmentation:
    """Segment an image and wait for the result.

    Parameters
    ----------
    network : str, Path or Checkpoint
        Name of a built-in network, path of a weights file, or what ``identify`` or ``recognise``
        returned. Of a file, what its names leave open is asked of its statistics first; what
        ``identify`` returned is taken as it is.
    image : str, Path, array or Image
        Path of an image, pixels, or what ``open_image`` returned. An array of three dimensions is
        a volume ``zyx``, or a picture ``yxc`` where its last axis has 3 or 4 entries of uint8.
    axes : str, optional
        One letter per dimension out of ``tczyx``, where neither file nor rule says it right.
    **settings
        Any setting of ``PredictSettings`` and ``LabelSettings`` (``device="cpu"``,
        ``threshold=0.4``), and facts of the network that its file does not say.

    Returns
    -------
    ImageSegmentation
        A ``Segmentation`` with ``save`` and ``table``.

    Raises
    ------
    SegnetError
        Of the kind that ``identify``, ``open_image`` and ``segment`` raise; ``SettingsError`` for
        a setting that does not exist.

    Examples
    --------
    >>> import napari_segnet as sn
    >>> cells = sn.segment_image("nuclei", "cells.tif", threshold=0.4)
    >>> cells.save("results", table=True)
    """
    runs, labels = field_names(PredictSettings), field_names(LabelSettings)
    predict = settings_from(PredictSettings, _part(settings, runs))
    label = settings_from(LabelSettings, _part(settings, labels))
    facts = {k: v for k, v in settings.items() if k not in (*runs, *labels)}
    checkpoint = as_checkpoint(network, facts, known=(*runs, *labels))
    opened = as_image(image, axes)
    if checkpoint is not network:
        # As the window and the command line do; what identify() returned is taken at its word.
        checkpoint = run(prove(checkpoint)).checkpoint
    made = run(segment(checkpoint, opened, predict, label))
    own = {one.name: getattr(made, one.name) for one in fields(Segmentation)}
    return ImageSegmentation(**own, image=opened)


def _stem(image: Image) -> str:
    return image_stem(Path(image.source)) if image.source else image.name


def _part(settings: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in names}
