"""How a network's input may have been normalised, as its first norms remember it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from napari_segnet.evidence._pictures import Pictures
from napari_segnet.prepare.fixed import ImageNet

__all__ = ["NORMALIZATIONS", "normalized"]

Values = npt.NDArray[np.float32]


def _over(function: Callable[..., Values], values: Values) -> Values:
    """Return a figure of each picture and channel."""
    figure: Values = function(values, axis=tuple(range(2, values.ndim)), keepdims=True)
    return figure


def _z_score(values: Values) -> Values:
    deviation = _over(np.std, values) + np.float32(1e-6)
    found: Values = (values - _over(np.mean, values)) / deviation
    return found


def _min_max(values: Values) -> Values:
    low, high = _over(np.min, values), _over(np.max, values)
    found: Values = (values - low) / np.maximum(high - low, 1e-6)
    return found


def _imagenet(unit: Values) -> Values:
    shape = (1, -1, *(1,) * (unit.ndim - 2))
    mean, deviation = (np.array(n, np.float32) for n in (ImageNet.MEAN, ImageNet.STD))
    if unit.shape[1] != 3:
        mean, deviation = mean.mean(keepdims=True), deviation.mean(keepdims=True)
    found: Values = (unit - mean.reshape(shape)) / deviation.reshape(shape)
    return found


NORMALIZATIONS: Mapping[str, Callable[[Values, float], Values]] = {
    "divide-255": lambda values, white: values / white,
    "z-score": lambda values, white: _z_score(values),
    "none": lambda values, white: values * (255.0 / white),
    "min-max": lambda values, white: _min_max(values),
    "mean-std:127.5,127.5": lambda values, white: (values / white - 0.5) / 0.5,
    "imagenet": lambda values, white: _imagenet(values / white),
}
"""Values of the setting ``normalize`` for pictures of 8 bits -> what each does. The usual ones of
66 networks on public repositories, the most frequent first (37, 9, 7, 4, 2 and 2 of them)."""


def normalized(pictures: Pictures, how: str) -> Values:
    """Return pictures ``(n, c, [z,] y, x)`` float32 as a network is shown them."""
    return NORMALIZATIONS[how](pictures.values, pictures.white).astype(np.float32)
