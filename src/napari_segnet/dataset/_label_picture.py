"""Label pictures as programs save them: one whole number per pixel, however it is packed.

Many programs give labels a colour table so that people see them: an indexed PNG, GIF or TIFF
holds the numbers themselves, and the table only says how they are shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import DatasetError
from napari_segnet.image import Image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

__all__ = ["LABEL_ENDINGS", "UNDECIDED", "has_undecided", "open_labels"]

LABEL_ENDINGS = (".gif", ".bmp")
"""Of label pictures that are no images to learn from: both keep whole numbers exactly."""
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
PNG_COLOUR_TYPE = 25
"""Where the header of a PNG says it; 3 is a colour table (https://www.w3.org/TR/png, IHDR)."""
UNDECIDED = 255
"""In indexed pictures of PASCAL VOC the border around objects, which nobody decided
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf, section 5.2)."""
INDEXED = 3
"""Both of PNG's colour type and of TIFF's photometric interpretation."""


def open_labels(path: Path) -> Image:
    """Open a label picture: its numbers, without colours.

    Returns
    -------
    Image
        ``rgb`` where it is truly coloured; the caller says what that means.

    Raises
    ------
    DatasetError
        If it is a JPEG, or its colour table does not tell which number is the background.
    ImageError
        If it cannot be read.
    """
    from napari_segnet.readers import open_image, open_numbers

    if path.suffix.lower() in JPEG:
        raise DatasetError(
            f"{path} is a JPEG, which changes the numbers of labels when it is saved. Export the "
            "labels again as TIFF or PNG."
        )
    if path.suffix.lower() in LABEL_ENDINGS and path.is_file():
        return _by_pillow(path)
    image = open_image(path)
    if not image.rgb:
        return open_numbers(path)  # which no tag inverts, and no depth spreads
    numbers = _indices(path, image)
    if numbers is None:
        return _one_of_equal(image)
    axes = image.axes.replace("c", "")
    return Image(data=numbers, axes=axes, name=image.name, source=image.source)


def has_undecided(path: Path, labels: npt.NDArray[Any]) -> bool:
    """Tell if 255 marks what nobody decided: beside other numbers, where a table gives colours.

    Where 254 is there, too, the numbers go on up to 255: it is an object.
    """
    if UNDECIDED not in labels or 254 in labels or labels.max(initial=0) > UNDECIDED:
        return False
    if not ((labels > 0) & (labels < UNDECIDED)).any():
        return False  # a mask in black and white
    with path.open("rb") as file:
        head = file.read(PNG_COLOUR_TYPE + 1)
    if head[:2] in (b"II", b"MM"):
        import tifffile

        with tifffile.TiffFile(path) as tif:
            return bool(tif.series[0].keyframe.photometric == INDEXED)
    return head.startswith(b"\x89PNG") and head[PNG_COLOUR_TYPE] == INDEXED


def _indices(path: Path, image: Image) -> npt.NDArray[Any] | None:
    """Return the numbers that a colour table gives colours to; None where there is no table."""
    with path.open("rb") as file:
        head = file.read(PNG_COLOUR_TYPE + 1)
    if head.startswith(b"\x89PNG") and head[PNG_COLOUR_TYPE] == INDEXED:
        from PIL.PngImagePlugin import PngImageFile

        with PngImageFile(path) as picture:  # its size was judged when it was opened
            return _numbers(path, picture)
    if head[:2] in (b"II", b"MM"):
        import tifffile

        with tifffile.TiffFile(path) as tif:
            page: Any = tif.series[0].keyframe
            if page.photometric != INDEXED or page.colormap is None:
                return None
            numbers: npt.NDArray[Any] = tif.series[0].asarray()
            shape = tuple(image.sizes[a] for a in image.axes if a != "c")
            if numbers.shape != shape:
                return None
            _check_table(path, numbers, np.asarray(page.colormap).T)
            return numbers
    return None


def _by_pillow(path: Path) -> Image:
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile

    from napari_segnet.readers._damage import decoding, require_memory

    kind = path.suffix[1:].upper()
    opens: Any = GifImageFile if kind == "GIF" else BmpImageFile
    with decoding(path, kind), opens(path) as picture:
        width, height = picture.size
        require_memory(path, 6 * width * height)  # the decoder's pixels, plain bytes, and ours
        if getattr(picture, "n_frames", 1) > 1:
            raise DatasetError(
                f"{path} holds {picture.n_frames} images, but labels are one image. "
                "Save the right one as PNG."
            )
        numbers = _numbers(path, picture)
    coloured = numbers.ndim == 3
    image = Image(
        data=numbers,
        axes="yxc" if coloured else "yx",
        rgb=coloured,
        name=path.stem,
        source=str(path),
    )
    return _one_of_equal(image) if coloured else image


def _numbers(path: Path, picture: PillowImage) -> npt.NDArray[Any]:
    """Return ``(y, x)``, or ``(y, x, 3)`` where a picture has neither greys nor a table."""
    picture.load()
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if picture.mode == "P":
        numbers = np.array(picture)
        _check_table(path, numbers, np.reshape(picture.getpalette("RGB") or [], (-1, 3)))
        return numbers
    if picture.mode == "L":
        return np.array(picture)
    return np.array(picture.convert("RGB"))


def _check_table(path: Path, numbers: npt.NDArray[Any], colours: npt.NDArray[Any]) -> None:
    """Refuse a table in which number 0 is there, but another one has the black of a background."""
    used = [int(n) for n in np.unique(numbers) if n < len(colours)]
    black = [n for n in used if not colours[n].any()]
    if black and 0 not in black:
        raise DatasetError(
            f"{path} has a colour table in which the number {black[0]} is black, and 0 is not: "
            "it cannot be told which one is the background. Export the labels again as a label "
            "image without colours, with 0 for the background."
        )


def _one_of_equal(image: Image) -> Image:
    """Return one channel of a grey picture that was saved as red, green and blue."""
    block = image.read()
    if block.shape[1] > 1 and (block[:, :1] == block).all():
        return Image(data=block[:, 0], axes="tzyx", name=image.name, source=image.source)
    return image
