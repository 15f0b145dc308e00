"""OME-Zarr images that hold labels of their own, as ``segment -o IMAGE.zarr`` adds them."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.formats._pair import Found, Remark
from napari_segnet.formats._pictures import pair_entry, side_named

__all__ = ["zarr_pairs"]


def zarr_pairs(path: Path) -> Found:
    """List OME-Zarr images with labels: a folder itself, one of its labels, or those inside it.

    Of several labels of an image the first by name count, unless others are named.
    """
    from napari_segnet.readers.ome_zarr import holds_image

    if path.parent.name == "labels" and holds_image(path.parent.parent) and _are_labels(path):
        return Found(entries=(pair_entry(path.parent.parent, path, split=None),))
    own = holds_image(path)
    inside = [path] if own else sorted(path.glob("*.zarr")) if path.is_dir() else []
    entries, left_out = [], []
    for image in inside:
        labels = sorted(p for p in (image / "labels").glob("*") if _are_labels(p))
        if not own and not holds_image(image):
            continue
        if labels:
            entries.append(pair_entry(image, labels[0], split=side_named(path.name)))
        else:
            left_out.append(Remark(kind="image", what=image.name, why="has no labels inside"))
        for other in labels[1:]:
            why = f"are not the first labels of their image; name {image.name}/labels/NAME for them"
            what = f"{image.name}/labels/{other.name}"
            left_out.append(Remark(kind="set of labels", what=what, why=why))
    return Found(entries=tuple(entries), left_out=tuple(left_out))


def _are_labels(path: Path) -> bool:
    from napari_segnet.errors import ImageError
    from napari_segnet.readers.ome_zarr import stored_labels

    try:
        return stored_labels(path) is not None
    except ImageError:  # damaged: said when it is read
        return True
