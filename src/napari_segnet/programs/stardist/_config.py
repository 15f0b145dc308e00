"""What lies beside weights of StarDist and says of which network they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json, parsed_yaml
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.star import rays_from_json

__all__ = ["CONFIG", "THRESHOLDS", "Config", "config_beside"]

CONFIG, THRESHOLDS = "config.json", "thresholds.json"
PACKAGES = ("rdf.yaml", "bioimageio.yaml", "rdf.yml")
"""Descriptions of bioimage.io, which hold both in ``config: stardist``."""
LARGEST = 2**20
"""Bytes of either file; of StarDist's own there are some thousand."""
DEFAULTS = {
    "prob": 0.5,
    "nms": 0.4,
}
"""As StarDist has them where nothing was chosen for a network."""
AXES = {"YXC": 2, "ZYXC": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a configuration of StarDist says, with its defaults for what it leaves out.

    Attributes
    ----------
    where : str
        The name of the file.
    ndim : int
        2 or 3.
    values : mapping
        All of it.
    thresholds : mapping of str to float
        ``prob`` and ``nms``; what is not there was not chosen.
    """

    where: str
    ndim: int
    values: Mapping[str, Any]
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def count(self, name: str, default: int, least: int = 1, most: int = 4096) -> int:
        """Return a whole number.

        Raises
        ------
        UnsupportedWeightsError
            If it is none, or none that a network has.
        """
        value = self.values.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise self.odd(name, f"a whole number from {least} to {most}")
        return value

    def lengths(self, name: str, default: int, most: int = 64) -> tuple[int, ...]:
        """Return a whole number along each axis."""
        value = self.values.get(name, [default] * self.ndim)
        value = [value] * self.ndim if type(value) is int else value
        fine = isinstance(value, list) and len(value) == self.ndim
        if not fine or not all(type(n) is int and 1 <= n <= most for n in value):
            raise self.odd(name, f"{self.ndim} whole numbers from 1 to {most}")
        return tuple(value)

    @property
    def grid(self) -> tuple[int, ...]:
        """Every how many pixels the network says something, along each axis: powers of 2."""
        grid = self.lengths("grid", 1)
        if any(n & (n - 1) for n in grid):
            raise self.odd("grid", "a power of 2 along each axis")
        return grid

    @property
    def classes(self) -> int:
        """How many classes of objects there are; 0 where none are told apart."""
        return 0 if self.values.get("n_classes") is None else self.count("n_classes", 1)

    def text(self, name: str, default: str) -> str:
        """Return a word."""
        value = self.values.get(name, default)
        if not isinstance(value, str) or len(value) > 100:
            raise self.odd(name, "a word")
        return value

    def odd(self, name: str, expected: str) -> UnsupportedWeightsError:
        """Return what to say of a value that no network has."""
        return UnsupportedWeightsError(
            f"{self.where} says that {name} of this network of StarDist is "
            f"{str(self.values.get(name))[:80]!r}, where {expected} was expected. Get the file "
            "again from where the network was published."
        )

    def star(self, rays: int) -> dict[str, Any]:
        """Return what of it counts beyond the layers, plain JSON values.

        Raises
        ------
        UnsupportedWeightsError
            If the rays are not known, or not as many as the network answers with.
        """
        values = self.values
        found: dict[str, Any] = {"grid": list(self.grid), "n_rays": rays, "rays": None}
        if self.ndim == 3:
            said = values.get("rays_json")
            said = (
                said
                if isinstance(said, Mapping)
                else {"name": "Rays_GoldenSpiral", "kwargs": {"n": rays, "anisotropy": None}}
            )
            try:
                directions = rays_from_json(said)
            except ValueError as error:
                raise self.odd("rays_json", f"rays of StarDist ({error})") from error
            if len(directions) != rays:
                raise self.odd("rays_json", f"{rays} rays, as many as distances,")
            found["rays"] = {"name": said["name"], "kwargs": dict(said["kwargs"])}
        anisotropy = values.get("anisotropy")
        found["anisotropy"] = list(anisotropy) if isinstance(anisotropy, list) else None
        weights = values.get("train_loss_weights")
        numbers = isinstance(weights, list) and all(isinstance(n, int | float) for n in weights)
        found["loss_weights"] = weights if numbers else [1, 0.2, 1][: 3 if self.classes else 2]
        found["dist_loss"] = str(values.get("train_dist_loss", "mae"))
        heavy = values.get("train_class_weights")
        found["class_weights"] = heavy if self.classes and isinstance(heavy, list) else None
        found["background_reg"] = float(values.get("train_background_reg", 1e-4))
        return found


def config_beside(path: Path) -> Config | None:
    """Return what lies beside weights; None where nothing says that they are of StarDist.

    Raises
    ------
    UnsupportedWeightsError
        If it cannot be understood.
    """
    said = _json(path.with_name(CONFIG))
    thresholds = _json(path.with_name(THRESHOLDS)) or {}
    where = CONFIG
    for name in PACKAGES if said is None else ():
        inside = _package(path.with_name(name))
        if isinstance(inside.get("config"), Mapping):
            where, said = name, inside["config"]
            held = inside.get("thresholds")
            thresholds = held if isinstance(held, Mapping) else {}
            break
    if said is None:
        return None
    kernel = said.get("unet_kernel_size", said.get("resnet_kernel_size"))
    axes = said.get("axes", "YXC" if isinstance(kernel, list) and len(kernel) == 2 else "ZYXC")
    if not isinstance(axes, str) or axes not in AXES:
        raise UnsupportedWeightsError(
            f"{where} says that this network of StarDist sees the axes {str(axes)[:20]!r}, and "
            f"only {' and '.join(AXES)} are read. Ask its author for a network with its channels "
            "last."
        )
    chosen = {
        name: float(value)
        for name, value in thresholds.items()
        if name in DEFAULTS and isinstance(value, int | float) and 0 < value < 1
    }
    return Config(where=where, ndim=AXES[axes], values=said, thresholds=chosen)


def _json(path: Path) -> Mapping[str, Any] | None:
    """Return an object of JSON; None where there is none."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        content = parsed_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None  # not there, or of another program
    return content if isinstance(content, dict) else None


def _package(path: Path) -> Mapping[str, Any]:
    """Return ``config: stardist`` of a description of bioimage.io; empty where it has none."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        content = parsed_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    inside = content.get("config") if isinstance(content, dict) else None
    found = inside.get("stardist") if isinstance(inside, Mapping) else None
    return found if isinstance(found, Mapping) else {}
