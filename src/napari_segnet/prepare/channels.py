"""Which channels of an image a network gets to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import MismatchError, SettingsError
from napari_segnet.image import Image

__all__ = ["LUMINANCE", "ChannelMap", "map_channels", "parse_channels"]

LUMINANCE = "luminance"
"""Stands for the brightness of red, green and blue in the place of a channel number."""

# https://www.itu.int/rec/R-REC-BT.601; Pillow's convert("L") uses the same weights.
BT601 = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMap:
    """The image channels that a network gets, in its order.

    Attributes
    ----------
    channels : tuple of int or str
        Channel numbers of the image from 0, or ``"luminance"``; one per network channel.
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
        units, so 0 to 255 of an 8-bit picture). A channel used twice is read once.
        """
        found = {c: _read(image, c, t, z, y, x) for c in dict.fromkeys(self.channels)}
        if len(self.channels) == 1:
            return found[self.channels[0]][np.newaxis]
        return np.stack([found[c] for c in self.channels])

    def to_json(self) -> list[int | str]:
        """Return plain JSON values."""
        return list(self.channels)


def map_channels(image: Image, want: int, setting: str = "auto") -> ChannelMap:
    """Choose the image channels for a network.

    Parameters
    ----------
    image : Image
        The image.
    want : int
        How many channels the network takes.
    setting : str
        ``"auto"``, or channel numbers from 0 with commas between them (one may come twice):
        ``"0,2"``; ``"luminance"`` is the brightness of an RGB image.

    Raises
    ------
    SettingsError
        If the setting cannot be read.
    MismatchError
        If image, setting and network do not fit.
    """
    have = image.sizes["c"]
    if setting.strip() == "auto":
        return _automatic(image, have, want)
    channels = parse_channels(setting)
    for channel in channels:
        if channel == LUMINANCE and not _is_rgb(image):
            raise MismatchError(
                f"channels={setting}: {image.name} is not a red-green-blue picture, so it has no "
                f"luminance. {_has(image, have)}; number them from 0."
            )
        if channel != LUMINANCE and cast("int", channel) >= have:
            raise MismatchError(
                f"channels={setting}: there is no channel {channel} in {image.name}. "
                f"{_has(image, have)}; number them from 0."
            )
    if len(channels) == want:
        return ChannelMap(channels=channels)
    if len(channels) == 1:
        return ChannelMap(channels=channels * want, note=_repeated(channels[0], want))
    raise MismatchError(
        f"channels={setting} chooses {_count(len(channels))}, but this network takes "
        f"{_count(want)}. Choose with --set channels={_example(want)}."
    )


def _automatic(image: Image, have: int, want: int) -> ChannelMap:
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
    raise MismatchError(
        f"This network takes {_count(want)}, but {image.name} has {_count(have)}"
        f"{_names(image)}. Choose with --set channels={_example(want)}."
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
        if part == LUMINANCE:
            channels.append(LUMINANCE)
        elif part.isascii() and part.isdigit():
            channels.append(int(part))
        else:
            raise SettingsError(
                f"channels={setting} is not understood. Use auto, or channel numbers from 0 with "
                "commas between them, for example channels=0,2."
            )
    return tuple(channels)


def _read(
    image: Image, channel: int | str, t: int, z: slice, y: slice, x: slice
) -> npt.NDArray[Any]:
    """Return ``(z, y, x)`` of one channel."""
    if channel != LUMINANCE:
        plain: npt.NDArray[Any] = image.read(t=t, c=cast("int", channel), z=z, y=y, x=x)[0, 0]
        return plain
    red, green, blue = image.read(t=t, z=z, y=y, x=x)[0]
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
