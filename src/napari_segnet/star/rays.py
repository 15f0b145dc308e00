"""In which directions the edge of an object is looked for, and which of them span a face.

The kinds and their numbers are those of ``rays3d.py`` of StarDist 0.9 (BSD-3), so that distances
of its networks mean the same here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rays", "circle", "rays_from_json"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MOST = 4096
"""Rays; networks in use have up to 200."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rays:
    """Directions from the point of an object.

    Attributes
    ----------
    vertices : ndarray
        ``(rays, 2 or 3)`` float32, ``[z] y x``: of length 1, or scaled.
    faces : ndarray
        ``(faces, 3)`` int32: which rays span each face of the polyhedron, ordered so that the face
        looks outwards as StarDist means it; none in two dimensions, where neighbours follow each
        other.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return int(self.vertices.shape[1])


def circle(count: int) -> Rays:
    """Return rays in a plane at equal angles; the first along x, towards y from there."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    vertices = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return Rays(vertices=vertices.astype(np.float32), faces=np.zeros((0, 3), np.int32))


def rays_from_json(said: Mapping[str, Any]) -> Rays:
    """Return the rays that ``rays_json`` in a configuration of StarDist describes.

    Raises
    ------
    ValueError
        For a kind that is not known, or numbers that it cannot have.
    """
    name, options = said.get("name"), said.get("kwargs")
    make = _KINDS.get(str(name))
    if make is None or not isinstance(options, Mapping):
        raise ValueError(f"rays of the kind {name!r} are not known: {', '.join(_KINDS)} are")
    try:
        vertices, faces = make(options)
    except (TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise ValueError(f"its rays ({name}) are damaged ({error!r})") from error
    fine = vertices.ndim == faces.ndim == 2 and vertices.shape[1] == faces.shape[1] == 3
    if not fine or not 4 <= len(vertices) <= MOST or not np.isfinite(vertices).all():
        raise ValueError(f"its rays ({name}) are not 4 to {MOST} directions in space")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"its rays ({name}) have faces between rays that are not there")
    return Rays(vertices=vertices.astype(np.float32), faces=faces.astype(np.int32))


def _golden_spiral(options: Mapping[str, Any]) -> tuple[Floats, Ints]:
    """Return points on a spiral around a sphere, squeezed by the anisotropy of objects."""
    from scipy.spatial import ConvexHull

    count = _count(options.get("n", 70))
    anisotropy = options.get("anisotropy")
    squeeze = np.ones(3) if anisotropy is None else np.array(anisotropy, np.float64)
    if squeeze.shape != (3,) or not (squeeze > 0).all():
        raise ValueError(f"its rays have the anisotropy {anisotropy!r}, not three numbers above 0")
    angle = (3.0 - np.sqrt(5.0)) * np.pi * np.arange(count)
    z = np.linspace(-1, 1, count)
    radius = np.sqrt(1.0 - z**2)
    vertices = np.stack([z, radius * np.sin(angle), radius * np.cos(angle)], axis=1) / squeeze
    faces = ConvexHull(vertices).simplices.astype(np.int64)
    inwards = np.linalg.det(vertices[faces]) > 0
    faces[inwards] = faces[inwards, ::-1]
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True), faces


def _cartesian(options: Mapping[str, Any]) -> tuple[Floats, Ints]:
    """Return points on circles of latitude."""
    around, down = _count(options.get("n_rays_x", 11)), _count(options.get("n_rays_z", 5))
    vertices, faces = [], []
    for row in range(down):
        ends = {0: 1e-12, down - 1: np.pi - 1e-12}
        theta = ends.get(row, row * float(np.float32(np.pi / down)))
        more = 1e-12 if row in ends else 0.0
        for column in range(around):
            phi = column * float(np.float32(2.0 * np.pi / around))
            x, y = np.cos(phi) * np.sin(theta) + more, np.sin(phi) * np.sin(theta) + more
            vertices.append([np.cos(theta), y, x])
    for row in range(down - 1):
        for column in range(around):
            here, right = row * around + column, row * around + (column + 1) % around
            faces += [[here, right + around, right], [here, here + around, right + around]]
    return np.array(vertices), np.array(faces, np.int64)


def _divided(vertices: Any, faces: Any) -> Callable[[Mapping[str, Any]], tuple[Floats, Ints]]:
    """Return what splits every face of a polyhedron into four, again and again."""

    def make(options: Mapping[str, Any]) -> tuple[Floats, Ints]:
        points, sides = [np.array(one, np.float64) for one in vertices], list(faces)
        levels = _count(options.get("n_level", 4))
        if levels > 6:
            raise ValueError(f"its rays are divided {levels} times")
        for _ in range(levels - 1):
            middles: dict[tuple[int, int], int] = {}

            def middle(a: int, b: int, made: dict[tuple[int, int], int] = middles) -> int:
                edge = (min(a, b), max(a, b))
                if edge not in made:
                    point = 0.5 * (points[a] + points[b])
                    points.append(point / np.linalg.norm(point))
                    made[edge] = len(points) - 1
                return made[edge]

            smaller = []
            for a, b, c in sides:
                ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
                smaller += [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]]
            sides = smaller
        return np.array(points), np.array(sides, np.int64)

    return make


def _explicit(options: Mapping[str, Any]) -> tuple[Floats, Ints]:
    return np.array(options["vertices0"], np.float64), np.array(options["faces0"], np.int64)


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MOST:
        raise ValueError(f"its rays have {value!r} where a number up to {MOST} was expected")
    return value


_TETRAHEDRON = (
    (np.sqrt(8 / 9), 0.0, -1 / 3),
    (-np.sqrt(2 / 9), np.sqrt(2 / 3), -1 / 3),
    (-np.sqrt(2 / 9), -np.sqrt(2 / 3), -1 / 3),
    (0.0, 0.0, 1.0),
)
_OCTAHEDRON = ((0, 0, 1), (0, 1, 0), (0, 0, -1), (0, -1, 0), (1, 0, 0), (-1, 0, 0))
_TETRA_FACES = ((0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2))
_OCTA_FACES = (
    *((0, 1, 4), (0, 5, 1), (1, 2, 4), (1, 5, 2)),
    *((2, 3, 4), (2, 5, 3), (3, 0, 4), (3, 5, 0)),
)
_KINDS: Mapping[str, Callable[[Mapping[str, Any]], tuple[Floats, Ints]]] = {
    "Rays_GoldenSpiral": _golden_spiral,
    "Rays_Cartesian": _cartesian,
    "Rays_Tetra": _divided(_TETRAHEDRON, _TETRA_FACES),
    "Rays_Octo": _divided(_OCTAHEDRON, _OCTA_FACES),
    "Rays_Explicit": _explicit,
}
