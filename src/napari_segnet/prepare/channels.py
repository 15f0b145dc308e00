"""Which channels of an image a network gets to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import MismatchError, Remedy, SettingsError
from napari_segnet.image import Image

__all__ = [
    "EMPTY",
    "INVERTED",
    "LUMINANCE",
    "STAINS",
    "ChannelMap",
    "map_channels",
    "parse_channels",
]

LUMINANCE = "luminance"
"""Stands for the brightness of red, green and blue in the place of a channel number."""
STAINS = ("hematoxylin", "eosin", "dab")
"""Stand for how much of a stain light went through: high where an RGB picture is dark. Ruifrok and
Johnston 2001, as ``skimage.color.rgb2hed`` has it."""
EMPTY = "empty"
"""Stands for a channel that is 0 everywhere, where a network can do without one of its channels."""
INVERTED = "inverted-"
"""Stands before a channel whose dark pixels become bright ones: ``inverted-0``."""

# https://www.itu.int/rec/R-REC-BT.601; Pillow's convert("L") uses the same weights.
BT601 = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMap:
    """The image channels that a network gets, in its order.

    Attributes
    ----------
    channels : tuple of int or str
        Channel numbers of the image from 0, ``"luminance"``, one of ``STAINS`` or ``"empty"``; one
        per network channel. ``inverted-`` before one: dark and bright exchanged.
    note : str
        What the user should know of the choice, one sentence; empty if there is nothing.
    """

    channels: tuple[int | str, ...]
    note: str = ""

    def read(
        self,
        image: Image,
        t: int = 0,
        z: slice = slice(None),
        y: slice = slice(None),
        x: slice = slice(None),
    ) -> npt.NDArray[Any]:
        """Return a box of one time point as ``(c, z, y, x)``.

        In the image's dtype; float32 where a luminance is among the channels (in image
        units, so 0 to 255 of an 8-bit picture) or a stain (optical density). Inverted: the
        largest number of the type minus the value (whole numbers without a sign), of floats
        one minus it. A channel used twice is read once.
        """
        found = {c: _read(image, c, t, z, y, x) for c in dict.fromkeys(self.channels)}
        if len(self.channels) == 1:
            return found[self.channels[0]][np.newaxis]
        return np.stack([found[c] for c in self.channels])

    def to_json(self) -> list[int | str]:
        """Return plain JSON values."""
        return list(self.channels)


def map_channels(
    image: Image,
    want: int,
    setting: str = "auto",
    *,
    invert: bool = False,
    spare: int = 0,
    named: Sequence[str] = (),
) -> ChannelMap:
    """Choose the image channels for a network.

    Parameters
    ----------
    image : Image
        The image.
    want : int
        How many channels the network takes.
    setting : str
        ``"auto"``, or channel numbers from 0 with commas between them (one may come twice):
        ``"0,2"``; ``"luminance"`` is the brightness of an RGB image, ``"hematoxylin"``,
        ``"eosin"`` and ``"dab"`` are its stains; ``"empty"`` is 0 everywhere. ``inverted-`` before
        one exchanges dark and bright.
    invert : bool
        Invert those that are chosen: for dark objects on a bright ground.
    spare : int
        How many of them, from the last on, the network can do without: they are empty where an
        image has one channel, or the setting names fewer.
    named : sequence of str
        What its channels are, where that is known: for the message.

    Raises
    ------
    SettingsError
        If the setting cannot be read.
    MismatchError
        If image, setting and network do not fit.
    """
    if spare:
        chosen = _filled(image, want, setting, spare)
    else:
        chosen = _chosen(image, want, setting, named)
    if not invert:
        return chosen
    channels = tuple(_inverse(channel) for channel in chosen.channels)
    note = "Dark and bright were exchanged (invert)."
    return ChannelMap(channels=channels, note=f"{chosen.note} {note}".strip())


def _filled(image: Image, want: int, setting: str, spare: int) -> ChannelMap:
    """Return channels for a network that can do without its last ``spare`` ones."""
    automatic = setting.strip() == "auto"
    have = image.sizes["c"]
    named = (1 if _is_rgb(image) else have) if automatic else len(parse_channels(setting))
    if not want - spare <= named < want:
        return _chosen(image, want, setting)
    chosen = _chosen(image, named, setting)
    channels = (*chosen.channels, *(EMPTY,) * (want - named))
    note = (
        f"{chosen.note} The network can take {want} channels and got {named}; what is left is "
        f"empty. Choose others with {Remedy('channels', _example(want))}."
    )
    return ChannelMap(channels=channels, note=note.strip())


def _chosen(image: Image, want: int, setting: str, named: Sequence[str] = ()) -> ChannelMap:
    have = image.sizes["c"]
    what = f" ({', '.join(named)})" if len(named) == want > 1 else ""
    if setting.strip() == "auto":
        return _automatic(image, have, want, what)
    channels = parse_channels(setting)
    for channel in channels:
        plain = _plain(channel)
        if isinstance(plain, str) and plain != EMPTY and not _is_rgb(image):
            raise MismatchError(
                f"channels={setting}: {image.name} is not a red-green-blue image, so it has no "
                f"{plain}. {_has(image, have)}; number them from 0."
            )
        if not isinstance(plain, str) and plain >= have:
            raise MismatchError(
                f"channels={setting}: there is no channel {plain} in {image.name}. "
                f"{_has(image, have)}; number them from 0."
            )
    if len(channels) == want:
        return ChannelMap(channels=channels)
    if len(channels) == 1:
        return ChannelMap(channels=channels * want, note=_repeated(channels[0], want))
    remedy = Remedy("channels", _example(want))
    raise MismatchError(
        f"channels={setting} chooses {_count(len(channels))}, but this network takes "
        f"{_count(want)}{what}. Choose with {remedy}.",
        remedies=(remedy,),
    )


def _automatic(image: Image, have: int, want: int, what: str = "") -> ChannelMap:
    if have == want:
        return ChannelMap(channels=tuple(range(want)))
    if want == 1 and _is_rgb(image):
        return ChannelMap(
            channels=(LUMINANCE,),
            note="The network takes one channel: the brightness (0.299 red + 0.587 green + 0.114 "
            "blue, ITU-R BT.601) of the RGB image was used.",
        )
    if want == 3 and have == 1:
        return ChannelMap(channels=(0, 0, 0), note=_repeated(0, want))
    remedy = Remedy("channels", _example(want))
    raise MismatchError(
        f"This network takes {_count(want)}{what}, but {image.name} has {_count(have)}"
        f"{_names(image)}. Choose with {remedy}; they are numbered from 0 to {have - 1}.",
        remedies=(remedy,),
    )


def parse_channels(setting: str) -> tuple[int | str, ...]:
    """Return the channels that a value of the setting ``channels`` names, other than ``auto``.

    Raises
    ------
    SettingsError
        If it cannot be read.
    """
    channels: list[int | str] = []
    for part in (p.strip() for p in setting.split(",")):
        plain = part.removeprefix(INVERTED)
        if plain in (LUMINANCE, EMPTY, *STAINS):
            channels.append(part)
        elif plain.isascii() and plain.isdigit():
            channels.append(part if part != plain else int(part))
        else:
            raise SettingsError(
                f"channels={setting} is not understood. Use auto, or channel numbers from 0 with "
                f"commas between them, for example channels=0,2; {LUMINANCE}, {', '.join(STAINS)} "
                f"of an RGB image; {INVERTED} before one exchanges dark and bright."
            )
    return tuple(channels)


def _read(
    image: Image, channel: int | str, t: int, z: slice, y: slice, x: slice
) -> npt.NDArray[Any]:
    """Return ``(z, y, x)`` of one channel."""
    plain = _plain(channel)
    if plain == EMPTY:
        parts = ((z, "z"), (y, "y"), (x, "x"))
        lengths = [len(range(*part.indices(image.sizes[axis]))) for part, axis in parts]
        return np.zeros(lengths, image.dtype)
    if isinstance(plain, int):
        block: npt.NDArray[Any] = image.read(t=t, c=plain, z=z, y=y, x=x)[0, 0]
    else:
        colours = image.read(t=t, z=z, y=y, x=x)[0]
        block = _luminance(colours) if plain == LUMINANCE else _stain(colours, plain)
    if plain == channel:
        return block
    if block.dtype.kind in "ui":
        # Of a signed type with negative numbers the result needs the sign's bit as well.
        whole: npt.NDArray[Any] = np.subtract(np.iinfo(block.dtype).max, block)
        return whole.view(f"u{block.dtype.itemsize}")
    white = 0 if plain in STAINS else _white(image.dtype)
    inverted: npt.NDArray[Any] = np.subtract(block.dtype.type(white), block)
    return inverted


def _plain(channel: int | str) -> int | str:
    """Return a channel without the word that inverts it."""
    if isinstance(channel, int):
        return channel
    word = channel.removeprefix(INVERTED)
    return int(word) if word.isdigit() else word


def _inverse(channel: int | str) -> int | str:
    """Return a channel with dark and bright exchanged; an empty one as it is."""
    if channel == EMPTY:
        return channel
    plain = _plain(channel)
    return plain if plain != channel else f"{INVERTED}{channel}"


def _white(dtype: np.dtype[Any]) -> float:
    """Return what stands for white: the largest number of a type, 1 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def _stain(colours: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    """Return the optical density of a stain; ``colours`` are ``(3, z, y, x)``."""
    from skimage.color import rgb2hed

    shares = np.moveaxis(colours, 0, -1).astype(np.float32) / np.float32(_white(colours.dtype))
    density: npt.NDArray[np.float32] = rgb2hed(shares)[..., STAINS.index(name)]
    return density


def _luminance(colours: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    red, green, blue = colours
    grey: npt.NDArray[Any] = np.multiply(red, np.float32(BT601[0]), dtype=np.float32)
    grey += np.multiply(green, np.float32(BT601[1]), dtype=np.float32)
    grey += np.multiply(blue, np.float32(BT601[2]), dtype=np.float32)
    return grey


def _is_rgb(image: Image) -> bool:
    return image.rgb and image.sizes["c"] == 3


def _count(n: int) -> str:
    return f"{n} channel" if n == 1 else f"{n} channels"


def _names(image: Image) -> str:
    return f" ({', '.join(image.channel_names)})" if image.channel_names else ""


def _has(image: Image, have: int) -> str:
    return f"It has {_count(have)}{_names(image)}"


def _example(want: int) -> str:
    return ",".join(str(i) for i in range(want))


def _repeated(channel: int | str, want: int) -> str:
    return f"The network takes {want} channels: channel {channel} was used for each of them."
