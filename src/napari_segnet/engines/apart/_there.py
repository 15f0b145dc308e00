"""What is done where the network is: an engine is loaded there and answers; numpy in, numpy out.

An engine is loaded once, and named by a key from then on. A process that has just begun, in place
of one that ended, knows no key: then who asks has it loaded again.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from napari_segnet.errors import BrokenWeightsError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_segnet.checkpoint import Checkpoint

__all__ = [
    "Facts",
    "Gone",
    "Seen",
    "Wanted",
    "ask",
    "best_device",
    "facts",
    "introduce",
    "kept_part",
    "loaded",
    "look_at",
    "mean_of_mirrors",
    "of_look",
    "warm",
]


T = TypeVar("T")

MIRRORS = ((-2,), (-1,), (-2, -1))
"""Axes along which a mirror image is turned over: y, x and both."""
ENGINES, LOOKS = 2, 4
"""Engines, and what they saw, that are kept to be asked again; of more, the oldest is made anew."""


class Gone(Exception):
    """An engine, or what it saw, is not kept here any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which engine is meant.

    Attributes
    ----------
    key : str
        By which it is asked once it is loaded.
    checkpoint : Checkpoint
        The network.
    device, threads, wish : str, int and str
        As ``engine_for`` takes them.
    sha256 : str
        Of the weights: a copy on another machine is compared before it is loaded.
    """

    key: str
    checkpoint: Checkpoint
    device: str
    threads: int
    wish: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an engine says of itself.

    Attributes
    ----------
    name, device : str
        Of the engine.
    threads : int
        Of the CPU.
    precisions : tuple of str
        What it computes in.
    depends_on_offset : bool
        As in ``Engine``.
    """

    name: str
    device: str
    threads: int
    precisions: tuple[str, ...]
    depends_on_offset: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What a network sees in a picture, and by which key it is asked about it.

    Attributes
    ----------
    key : str
        Of what is kept.
    shape : tuple of int
        ``(y, x)`` of the picture.
    proposals : ndarray
        ``(n, 4)`` float32 boxes.
    nbytes : int
        Of memory.
    """

    key: str
    shape: tuple[int, int]
    proposals: npt.NDArray[np.float32]
    nbytes: int


_introduced: dict[str, Wanted] = {}
"""Engines that are loaded here when they are asked for the first time."""
_engines: OrderedDict[str, Any] = OrderedDict()
_looks: OrderedDict[str, Any] = OrderedDict()


def warm() -> None:
    """Load what the first network would wait for."""
    import napari_segnet.engines.torch.engine  # noqa: F401


def introduce(wanted: Wanted) -> None:
    """Make an engine known, to be loaded when it is asked for."""
    _introduced[wanted.key] = wanted
    _engines.pop(wanted.key, None)


def facts(key: str) -> Facts:
    """Return what an engine that was introduced says of itself."""
    return _facts(_engine(key))


def loaded(wanted: Wanted) -> Facts:
    """Load an engine and return what it says of itself."""
    return _facts(_load(wanted))


def best_device(key: str, wish: str) -> str:
    """Return the device that is meant where an engine is; see ``choose_device``."""
    from napari_segnet.engines import choose_device, kind_for

    engine = _engine(key)
    return choose_device(wish, kind_for(engine.checkpoint, engine.name).devices())


def kept_part(
    key: str,
    block: npt.NDArray[np.float32],
    keep: tuple[slice, ...],
    precision: str,
    offset: tuple[int, ...],
    whole: tuple[int, ...],
    mirrored: bool = False,
) -> npt.NDArray[np.float32]:
    """Answer one tile ``(c, [z,] y, x)`` and return what is kept of it."""
    maps = partial(ask, key, "maps", precision=precision, whole=whole)
    blocks = block[None]
    if mirrored:
        answer = mean_of_mirrors(maps, blocks, offset, whole)[0]
    else:
        answer = maps(blocks, offset=offset)[0]
    part: npt.NDArray[np.float32] = answer[(slice(None), *keep)]
    return part


def mean_of_mirrors(
    maps: Callable[..., npt.NDArray[np.float32]],
    blocks: npt.NDArray[np.float32],
    offset: tuple[int, ...],
    whole: tuple[int, ...],
) -> npt.NDArray[np.float32]:
    """Return the mean of what is answered to blocks and to their mirror images, turned back.

    Parameters
    ----------
    maps : callable
        Answers ``(n, c, [z,] y, x)``; takes the ``offset`` of the blocks.
    blocks : ndarray
        The same.
    offset : tuple of int
        Where the blocks begin in the whole ``([z,] y, x)``, in pixels.
    whole : tuple of int
        Its size. The mirror image of a block lies as far from the beginning of the mirrored whole
        as the block from the end of the whole.
    """
    import numpy as np

    total = maps(blocks, offset=offset)
    ends = [w - (o + n) for w, o, n in zip(whole, offset, blocks.shape[2:], strict=True)]
    for turned in MIRRORS:
        place = list(offset)
        for axis in turned:
            place[axis] = ends[axis]
        shown = np.ascontiguousarray(np.flip(blocks, turned))
        total = total + np.flip(maps(shown, offset=tuple(place)), turned)
    return total / np.float32(1 + len(MIRRORS))


def _load(wanted: Wanted) -> Any:
    from napari_segnet.engines import kind_for

    _require_same(wanted)
    kind = kind_for(wanted.checkpoint, wanted.wish)
    engine = kind.load(wanted.checkpoint, wanted.device, wanted.threads)
    _keep(_engines, wanted.key, engine, ENGINES)
    return engine


def _require_same(wanted: Wanted) -> None:
    """Refuse a copy of weights that was written over; of others, loading looks at the stamp."""
    from napari_segnet.checkpoint import file_sha256

    path = wanted.checkpoint.path
    if wanted.checkpoint.stamp is None and wanted.sha256 and file_sha256(path) != wanted.sha256:
        raise BrokenWeightsError(
            f"The weights {path} on a worker of the cluster are not those that were chosen: the "
            "file was written over. Choose the network again, or start that worker again."
        )


def _engine(key: str) -> Any:
    if key not in _engines and key in _introduced:
        return _load(_introduced[key])
    return _kept(_engines, key)


def _facts(engine: Any) -> Facts:
    return Facts(
        name=engine.name,
        device=engine.device,
        threads=engine.threads,
        precisions=tuple(engine.precisions),
        depends_on_offset=bool(engine.depends_on_offset),
    )


def ask(key: str, name: str, *args: Any, **more: Any) -> Any:
    """Return what a method of an engine returns, or what an attribute is.

    Raises
    ------
    Gone
        If the engine is not loaded here.
    MemoryError
        If memory ran out on the device, whatever its library calls that.
    """
    engine = _engine(key)
    member = getattr(engine, name, None)
    if not callable(member):
        return member
    return _guarded(engine, lambda: member(*args, **more))


def look_at(key: str, picture: npt.NDArray[np.float32], precision: str) -> Seen | None:
    """Look at a picture ``(c, y, x)`` and keep what is seen; None where there is no such thing."""
    look = ask(key, "look", picture, precision=precision)
    if look is None:
        return None
    mine = uuid.uuid4().hex  # a number would be given again by the next process
    _keep(_looks, mine, look, LOOKS)
    return Seen(key=mine, shape=look.shape, proposals=look.proposals, nbytes=look.nbytes)


def of_look(key: str, look: str, name: str, *args: Any) -> Any:
    """Ask what was seen in a picture.

    Raises
    ------
    Gone
        If it is not kept any more.
    """
    engine, seen = _engine(key), _kept(_looks, look)
    return _guarded(engine, lambda: getattr(seen, name)(*args))


def _keep(where: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    where[key] = value
    while len(where) > most:
        where.popitem(last=False)


def _kept(where: OrderedDict[str, Any], key: str) -> Any:
    if key not in where:
        raise Gone(key)
    where.move_to_end(key)
    return where[key]


def _guarded(engine: Any, act: Callable[[], T]) -> T:
    try:
        return act()
    except Exception as error:
        if not engine.is_out_of_memory(error):
            raise
        words = str(error)
    # Outside of the except block: the error holds the tensors of what failed.
    engine.release()
    raise MemoryError(words)
