"""Pair: an image with its labels, on the way from one format to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import Split
from napari_segnet.image import Image

__all__ = ["Entry", "Found", "Pair", "Remark", "planes", "sentences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something of a file that its user should know; equal ones are counted together.

    Attributes
    ----------
    kind : str
        Of what: ``"annotation"``, ``"image"``; in the singular.
    what : str
        Which one.
    why : str
        What about it, as the rest of the sentence "<what> ..."; the same words for all alike.
    """

    kind: str
    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """An image with its labels.

    Attributes
    ----------
    name : str
        A file name without ending.
    image : Image
        The pixels.
    labels : ndarray
        int32 ``(t, z, y, x)``; 0 is background.
    trusted : ndarray or None
        bool ``(t, z, y, x)``: where the labels may be learned from; None: everywhere.
    source : str
        Which original image it is from.
    plane : str
        Which part of it; empty: all.
    split : Split or None
        Which side it is on; None where the format does not say.
    classes : mapping of int to int
        Class of each label, 1 is the first; empty where objects have none.
    class_names : tuple of str
        Background first; empty where objects have no classes.
    drawn : bool
        Whether the labels are the numbers of a picture, which may be a mask or classes.
    left_out : tuple of Remark
        What of it could not be used.
    remarks : tuple of Remark
        What was decided in reading it.
    """

    name: str
    image: Image
    labels: npt.NDArray[np.int32]
    trusted: npt.NDArray[np.bool_] | None = None
    source: str = ""
    plane: str = ""
    split: Split | None = None
    classes: Mapping[int, int] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    drawn: bool = False
    left_out: tuple[Remark, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A pair that is there to be read.

    Attributes
    ----------
    name : str
        For people.
    read : callable
        Reads it; raises a ``SegnetError`` if it cannot be used.
    """

    name: str
    read: Callable[[], Pair]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a folder holds of a format.

    Attributes
    ----------
    entries : tuple of Entry
        Pairs that are there to be read.
    left_out : tuple of Remark
        What belongs to none of them.
    remarks : tuple of Remark
        What was decided in looking for them.
    """

    entries: tuple[Entry, ...]
    left_out: tuple[Remark, ...] = ()
    remarks: tuple[Remark, ...] = ()


def sentences(remarks: Iterable[Remark], left_out: bool = False) -> tuple[str, ...]:
    """Return a sentence for each kind of remark, with how many there are and the first one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for remark in remarks:
        alike.setdefault((remark.kind, remark.why), []).append(remark.what)
    gone = " left out" if left_out else ""
    return tuple(
        f"{len(which)} {kind}{'' if len(which) == 1 else 's'}{gone}: {which[0]} {why}"
        f"{'' if len(which) == 1 else f', and {len(which) - 1} more like it'}."
        for (kind, why), which in alike.items()
    )


def planes(pair: Pair) -> Iterator[Pair]:
    """Yield each plane of a pair as a pair of its own, named by its place.

    Planes of which nothing is trusted are left out.
    """
    sizes = pair.image.sizes
    for t in range(sizes["t"]):
        for z in range(sizes["z"]):
            trusted = None if pair.trusted is None else pair.trusted[t : t + 1, z : z + 1]
            if trusted is not None and not trusted.any():
                continue
            place = [f"{a}{i:03d}" for a, i in (("t", t), ("z", z)) if sizes[a] > 1]
            yield replace(
                pair,
                name="_".join([pair.name, *place]),
                plane=" ".join(filter(None, [pair.plane, *place])),
                image=_plane(pair.image, t, z),
                labels=pair.labels[t : t + 1, z : z + 1],
                trusted=trusted,
            )


def _plane(image: Image, t: int, z: int) -> Image:
    pixels = image.read(t=t, z=z)[0, :, 0]  # (c, y, x)
    several = "c" in image.axes
    data = pixels if several else pixels[0]
    return replace(image, data=data, axes="cyx" if several else "yx", levels=())
