"""What a network says (Maps, Instances, Prediction) and what a scientist gets (Segmentation)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.half import halved

__all__ = [
    "Allocate",
    "Detected",
    "FinishedPart",
    "Flows",
    "Instances",
    "Kind",
    "Maps",
    "NetworkAnswer",
    "Origin",
    "Prediction",
    "Segmentation",
    "StarPolygons",
]

Kind = Literal["semantic", "instance"]
Allocate = Callable[[tuple[int, ...], "np.dtype[Any]"], npt.NDArray[Any]]
"""Gives an array of a shape and a type where answers are kept."""


class NetworkAnswer(Protocol):
    """What a network says of a whole image, of whatever kind.

    Attributes
    ----------
    answer_kind : str
        Which kind of answer it is: a name of ``napari_segnet.answers.ANSWERS``.
    """

    answer_kind: ClassVar[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """``([t,] [z,] y, x)`` of the image in pixels."""

    @property
    def kept_nbytes(self) -> int:
        """Bytes that it takes where answers are kept."""

    def kept(self, allocate: Allocate) -> NetworkAnswer:
        """Return the answer as it is kept: its large arrays in what ``allocate`` gives."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """The dense answer of a network, after its activations.

    Attributes
    ----------
    data : ndarray
        ``(channel, [t,] [z,] y, x)`` float32 (or float16 when it came from the cache or
        is very large; may be a memory map), at the image's own pixel grid.
    axes : str
        ``"c"`` followed by the image's axes without its channels, e.g. ``"czyx"``.
    outputs : tuple of Output
        Groups of channels in order.
    ndim : int
        2 if each plane was answered by itself, 3 if each volume was.
    apart : ndarray or None
        ``([t,] [z,] y, x)`` float16, 0 to 1: how far the tiles that answered a pixel are apart
        in the first probability; 0 where only one did. None where tiles equal the whole.
    """

    answer_kind: ClassVar[str] = "maps"

    data: npt.NDArray[Any]
    axes: str
    outputs: tuple[Output, ...]
    ndim: int = 2
    apart: npt.NDArray[np.float16] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``([t,] [z,] y, x)`` of the image in pixels."""
        return tuple(int(n) for n in self.data.shape[1:])

    @property
    def kept_nbytes(self) -> int:
        """Bytes as float16."""
        return 2 * (self.data.size + (0 if self.apart is None else self.apart.size))

    def kept(self, allocate: Allocate) -> Maps:
        """Return the maps as float16, in what ``allocate`` gives unless they lie in such a file."""
        if self.data.dtype == np.float16 and isinstance(self.data, np.memmap):
            data: npt.NDArray[Any] = self.data
        else:
            data = allocate(self.data.shape, np.dtype(np.float16))
            for channel, values in zip(data, self.data, strict=True):
                channel[...] = halved(values)
        data = data.view()
        data.flags.writeable = False
        apart = self.apart
        if apart is not None and not isinstance(apart, np.memmap):
            apart = allocate(apart.shape, np.dtype(np.float16))
            apart[...] = self.apart
        return replace(self, data=data, apart=apart)

    def __repr__(self) -> str:
        return f"Maps({self.axes} {self.data.shape} {self.data.dtype}: {_outputs(self.outputs)})"

    def channel_of(self, role: str) -> int | None:
        """Return the first channel of a role, or None if the network has no such output."""
        first = 0
        for output in self.outputs:
            if output.role == role:
                return first
            first += output.channels
        return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flows(Maps):
    """Maps with an output ``flow``: each pixel says in which direction its object's middle is.

    Attributes
    ----------
    steps : int
        How many steps along the flows bring every pixel to the middle of its object, unless
        the user says another number: objects are larger in images that were shrunk.
    """

    answer_kind: ClassVar[str] = "flows"

    steps: int = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedPart:
    """A part of an answer that is there while the rest is computed.

    Attributes
    ----------
    answer : Maps
        Of that part alone.
    where : tuple of slice
        Which part: one for each of the answer's axes without its channels, in image pixels.
    """

    answer: Maps
    where: tuple[slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instances:
    """The sparse answer of a network: small masks in boxes, never pasted to full size.

    Attributes
    ----------
    boxes : ndarray
        ``(n, 4)`` float32, ``y0 x0 y1 x1`` in image pixels, ``0 <= y0 <= y1 <= height``;
        coordinates are edges: a box over the first pixel is ``0 0 1 1``.
    plane : ndarray
        ``(n,)`` int64, index of the plane in ``[t,] [z,]`` order, flattened.
    scores : ndarray
        ``(n,)`` float32 between 0 and 1.
    classes : ndarray
        ``(n,)`` int64, 1 is the first class (0 would be background).
    masks : ndarray
        ``(n, M, M)`` float32 probabilities, each stretched over its box.
    shape : tuple of int
        ``([t,] [z,] y, x)`` of the image in pixels.
    axes : str
        One letter per entry of ``shape``.
    """

    answer_kind: ClassVar[str] = "detections"

    boxes: npt.NDArray[np.float32]
    plane: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.float32]
    shape: tuple[int, ...]
    axes: str

    def __repr__(self) -> str:
        return f"Instances({len(self.boxes)} in {self.axes} {self.shape})"

    @property
    def kept_nbytes(self) -> int:
        """Bytes of all columns."""
        columns = (self.boxes, self.plane, self.scores, self.classes, self.masks)
        return sum(column.nbytes for column in columns)

    def kept(self, allocate: Allocate) -> Instances:
        """Return the detections as they are: small beside an image."""
        return self

    def chosen(self, rows: npt.NDArray[Any]) -> Instances:
        """Return some of the detections, in that order."""
        return replace(
            self,
            boxes=self.boxes[rows],
            plane=self.plane[rows],
            scores=self.scores[rows],
            classes=self.classes[rows],
            masks=self.masks[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StarPolygons:
    """Objects that may be there: a point, and how far the edge is from it along each ray.

    There is one for every place at which the network is not sure that there is none; which of
    those that overlap are kept is a matter of labels.

    Attributes
    ----------
    points : ndarray
        ``(n, axes)`` int32, ``[z] y x`` in pixels of the image as the network saw it.
    distances : ndarray
        ``(n, rays)`` float32 above 0, in lengths of the rays.
    scores : ndarray
        ``(n,)`` float32 between 0 and 1.
    classes : ndarray
        ``(n,)`` int64, 1 is the first class.
    unit : ndarray
        ``(n,)`` int64: which plane in ``[t,] [z,]`` order, or which volume.
    vertices : ndarray
        ``(rays, axes)`` float32, in pixels of the image as the network saw it.
    faces : ndarray
        ``(faces, 3)`` int32: which rays span a face; none in two dimensions.
    zoom : tuple of float
        Image pixels per network pixel along each of these axes.
    seen : tuple of int
        ``([z,] y, x)`` of a plane or volume in network pixels.
    maps : Maps
        How likely each pixel is deep in an object.
    """

    answer_kind: ClassVar[str] = "star_polygons"

    points: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    unit: npt.NDArray[np.int64]
    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    zoom: tuple[float, ...]
    seen: tuple[int, ...]
    maps: Maps

    def __repr__(self) -> str:
        return f"StarPolygons({len(self.points)} of {len(self.vertices)} rays, {self.maps!r})"

    @property
    def shape(self) -> tuple[int, ...]:
        """``([t,] [z,] y, x)`` of the image in pixels."""
        return self.maps.shape

    @property
    def ndim(self) -> int:
        """2 if each plane was answered by itself, 3 if each volume was."""
        return int(self.points.shape[1])

    @property
    def kept_nbytes(self) -> int:
        """Bytes of all columns, and of the maps."""
        columns = (self.points, self.distances, self.scores, self.classes, self.unit)
        return sum(column.nbytes for column in columns) + self.maps.kept_nbytes

    def kept(self, allocate: Allocate) -> StarPolygons:
        """Return the objects as they are, the maps as float16."""
        distances = self.distances
        if distances.size:  # no file has no byte
            distances = allocate(distances.shape, np.dtype(np.float32))
            distances[...] = self.distances
        return replace(self, distances=distances, maps=self.maps.kept(allocate))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detected:
    """What a network found in one picture.

    Attributes
    ----------
    instances : Instances
        In pixels of the picture.
    limits : tuple of str
        Limits of the network that were reached, so that there may be more objects:
        ``proposals``, ``detections``.
    """

    instances: Instances
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a result comes from: enough to repeat the run without a window.

    Everything is a plain JSON value.

    Attributes
    ----------
    checkpoint : mapping
        ``path``, ``sha256``, ``family`` of the weights.
    image : mapping
        ``source``, ``name``, ``axes``, ``shape``, ``dtype``.
    predict, label : mapping
        All settings, as ``settings_to_json`` gives them; ``label`` is empty before labels.
    device : str
        Where the network ran, such as ``"cpu"`` or ``"cuda:0"``.
    rung : str
        The rung of the memory ladder that was used.
    engine : mapping
        What the engine chose: tile, batch, precision, exact or blended, and so on.
    notes : tuple of str
        What the user should know of this run, one sentence each.
    versions : mapping
        Package name -> version.
    time : str
        ISO 8601, UTC, when the run began.
    seconds : mapping
        Seconds by stage: ``predict``, ``label``.
    """

    checkpoint: Mapping[str, Any]
    image: Mapping[str, Any]
    predict: Mapping[str, Any]
    label: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    rung: str = ""
    engine: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    time: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @property
    def key(self) -> str:
        """A hash of the run that gave the prediction, the same before and after labels.

        Two runs have two keys even if all their settings agree: two images may share name
        and shape, and a file may have changed in between.
        """
        run = {**asdict(self), "label": None, "seconds": self.seconds.get("predict")}
        text = json.dumps(run, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A network's answer to an image, and where it comes from.

    Attributes
    ----------
    answer : NetworkAnswer
        What the network says: ``Maps`` or ``Instances``.
    pixel_size_um : mapping of str to float
        As in the image.
    class_names : tuple of str
        Background first; empty where unknown.
    advice : mapping
        Label settings that the network's card advises, by name.
    origin : Origin
        How it was made.
    """

    answer: NetworkAnswer
    pixel_size_um: Mapping[str, float]
    class_names: tuple[str, ...]
    origin: Origin
    advice: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Prediction({self.origin.image.get('name', 'image')}: {self.answer!r})"

    @property
    def answer_kind(self) -> str:
        """Which kind of answer it is: a name of ``napari_segnet.answers.ANSWERS``."""
        return self.answer.answer_kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """Labels for a scientist.

    Attributes
    ----------
    labels : ndarray
        int32 in the order of ``axes``; 0 is background. For ``semantic`` a label is a
        class index, for ``instance`` an object's id, unique over the whole array.
    axes : str
        One letter per dimension out of ``tzyx``.
    pixel_size_um : mapping of str to float
        As in the image.
    kind : Kind
        ``semantic`` or ``instance``.
    label_class : mapping of int to int
        Class index of each label.
    label_score : mapping of int to float
        Score of each label between 0 and 1: the mean foreground probability inside it, or
        the detection's score.
    class_names : tuple of str
        Background first; empty where unknown.
    origin : Origin
        How it was made.
    """

    labels: npt.NDArray[np.int32]
    axes: str
    pixel_size_um: Mapping[str, float]
    kind: Kind
    label_class: Mapping[int, int]
    label_score: Mapping[int, float]
    class_names: tuple[str, ...]
    origin: Origin

    def __repr__(self) -> str:
        noun = "objects" if self.kind == "instance" else "classes"
        name = self.origin.image.get("name", "image")
        shape = f"{self.axes} {self.labels.shape}"
        return f"Segmentation({name}: {len(self.label_class)} {noun} in {shape})"


def _outputs(outputs: tuple[Output, ...]) -> str:
    return ", ".join(f"{one.role} x {one.channels}" for one in outputs)
