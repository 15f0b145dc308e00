"""Frames of a series in the order of the body: by their positions, never by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.readers._dicom_frames import Frame
from napari_segnet.readers._medical import obliquity_note

__all__ = ["Stack", "ordered"]

GAP = 1.5
"""A step of so many usual ones leaves a slice out."""
UNEVEN = 0.01
"""Steps that differ by a larger part are said; positions are rounded to some 0.001 mm."""
SHOWN = 10
"""Gaps and names that a sentence lists at most."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM counts towards left and back, NIfTI towards right and front."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Frames in order.

    Attributes
    ----------
    frames : tuple of Frame
        One after the other: ``times`` times ``len(frames) / times`` slices.
    times : int
        Time points, echoes or phases at each position.
    axis : str
        What the frames of a single time follow each other along: z, or t where all lie at one
        place.
    affine : ndarray or None
        ``(4, 4)`` RAS+ in mm; None where the files do not say how they lie.
    spacing_mm : mapping of str to float
        By axis.
    notes : tuple of str
        What the user should know.
    """

    frames: tuple[Frame, ...]
    times: int
    axis: str
    affine: npt.NDArray[np.float64] | None
    spacing_mm: dict[str, float]
    notes: tuple[str, ...]


def ordered(frames: Sequence[Frame]) -> Stack:
    """Sort frames of one size and direction by where they lie."""
    first = frames[0]
    plane = {} if first.spacing_mm is None else dict(zip("yx", first.spacing_mm, strict=True))
    if any(f.position is None or f.directions is None for f in frames):
        return _by_number(frames, plane)
    depths = _depths(frames)
    by_depth = [frames[n] for n in np.argsort(depths, kind="stable")]
    places = _places(by_depth, np.sort(depths), _tolerance(first))
    picked, times, notes = _one_each(places)
    steps = np.diff(_depths([place[0] for place in places])) if len(places) > 1 else np.empty(0)
    z_step, about_steps = _step(places, steps)
    spacing = dict(plane)
    size = float(np.linalg.norm(z_step)) if z_step is not None else _stated_depth(first)
    along = float(np.median(steps)) if len(steps) else size
    if along:
        spacing["z"] = _mean_step(steps) if len(steps) else along
    affine = _affine(places[0][0], plane, z_step, size)
    about_gaps = _gaps(places, steps)
    stated = first.between_mm
    if stated and len(steps) and abs(stated - along) > UNEVEN * along:
        about_steps = (
            *about_steps,
            f"SpacingBetweenSlices says {stated:g} mm, and the slices lie {along:.4g} mm apart; "
            "their positions were believed.",
        )
    tilted = obliquity_note(affine) if affine is not None else ()
    return Stack(
        frames=tuple(picked),
        times=times,
        axis="z" if len(places) > 1 or times == 1 else "t",
        affine=affine,
        spacing_mm=spacing,
        notes=(*about_gaps, *notes, *about_steps, *tilted),
    )


# ---- By position ----


def _normal(frame: Frame) -> npt.NDArray[np.float64]:
    assert frame.directions is not None
    normal = np.cross(frame.directions[:3], frame.directions[3:])
    return np.asarray(normal / np.linalg.norm(normal))


def _depths(frames: Sequence[Frame]) -> npt.NDArray[np.float64]:
    """Return how far each frame lies along the normal of the first, in mm."""
    return np.array([f.position for f in frames], float) @ _normal(frames[0])


def _tolerance(frame: Frame) -> float:
    """Return how far apart in mm frames at one position may lie: by rounding only."""
    return 0.01 * min(frame.spacing_mm or (0.1,))


def _places(
    frames: Sequence[Frame], depths: npt.NDArray[np.float64], tolerance: float
) -> list[list[Frame]]:
    places = [[frames[0]]]
    for frame, step in zip(frames[1:], np.diff(depths), strict=True):
        if step > tolerance:
            places.append([])
        places[-1].append(frame)
    return [sorted(place, key=lambda f: f.order) for place in places]


def _one_each(places: list[list[Frame]]) -> tuple[list[Frame], int, tuple[str, ...]]:
    """Return the frames in order, how many times, and what was left out."""
    counts = {len(place) for place in places}
    if counts == {1}:
        return [place[0] for place in places], 1, ()
    if len(counts) == 1:
        times = counts.pop()
        frames = [place[n] for n in range(times) for place in places]
        if len(places) == 1:
            return frames, times, ("All frames lie at one place; they were taken for time.",)
        return (
            frames,
            times,
            (
                f"There are {times} slices at each of {len(places)} positions, such as phases or "
                "echoes; they were taken for time, in the order of acquisition.",
            ),
        )
    extra = [frame.path.name for place in places for frame in place[1:]]
    return (
        [place[0] for place in places],
        1,
        (
            f"{_counted(len(extra), 'slice')} left out, since another lies at the same position: "
            f"{_listed(extra)}.",
        ),
    )


def _step(
    places: list[list[Frame]], steps: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64] | None, tuple[str, ...]]:
    """Return the mean way in mm from a slice to the next, gaps left out."""
    if not len(steps):
        return None, ()
    points = np.array([place[0].position for place in places], float)
    usual = steps <= GAP * np.median(steps)
    way = np.diff(points, axis=0)[usual].mean(axis=0)
    spread = np.abs(steps[usual] - np.median(steps)).max() / np.median(steps)
    if spread <= UNEVEN:
        return way, ()
    return way, (
        f"The slices are not evenly spaced: from {steps[usual].min():.4g} to "
        f"{steps[usual].max():.4g} mm; {_mean_step(steps):.4g} mm was taken for all.",
    )


def _mean_step(steps: npt.NDArray[np.float64]) -> float:
    return float(steps[steps <= GAP * np.median(steps)].mean())


def _gaps(places: list[list[Frame]], steps: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """Name the slices that are missing by the positions of their neighbours."""
    if len(steps) < 2:
        return ()
    usual = float(np.median(steps))
    depths = _depths([place[0] for place in places])
    found, total = [], 0
    for n in np.flatnonzero(steps > GAP * usual):
        missing = round(float(steps[n]) / usual) - 1
        total += missing
        where = ", ".join(f"{depths[n] + usual * (i + 1):.4g}" for i in range(min(missing, 3)))
        found.append(
            f"{missing} between slices {n + 1} and {n + 2} at {depths[n]:.4g} and "
            f"{depths[n + 1]:.4g} mm (expected at {where}{' ...' if missing > 3 else ''} mm)"
        )
    if not found:
        return ()
    more = f", and {len(found) - SHOWN} more gaps" if len(found) > SHOWN else ""
    return (
        f"{_counted(total, 'slice')} missing from the series: {'; '.join(found[:SHOWN])}{more}. "
        "Nothing was filled in: the slices behind a gap lie further away than the image shows.",
    )


# ---- Without positions ----


def _by_number(frames: Sequence[Frame], plane: dict[str, float]) -> Stack:
    """Sort by InstanceNumber, where the files do not say how they lie."""
    numbers = [f.instance_number for f in frames]
    single = len(frames) == 1
    several = len({f.path for f in frames}) > 1
    notes: list[str] = []
    if several and None not in numbers and len(set(numbers)) == len(numbers):
        frames = sorted(frames, key=lambda f: f.instance_number or 0)
        notes.append("The files do not say where the slices lie; they follow their numbers.")
        between = np.diff([f.instance_number or 0 for f in frames])
        lost = int((between - 1).sum())
        if lost > 0:
            at = ", ".join(
                f"after {frames[n].instance_number}" for n in np.flatnonzero(between > 1)[:SHOWN]
            )
            notes.append(f"{_counted(lost, 'number')} missing from the series: {at}.")
    elif several:
        notes.append("The files do not say where the slices lie; they follow the files' names.")
    timed = not single and frames[0].frame_time
    if not single and not several:
        notes.append(
            f"The {len(frames)} frames of the file were taken for {'time' if timed else 'depth'}."
        )
    depth = _stated_depth(frames[0])
    spacing = dict(plane)
    if depth and not timed:
        spacing["z"] = depth
    return Stack(
        frames=tuple(frames),
        times=1,
        axis="t" if timed else "z",
        affine=None,
        spacing_mm=spacing,
        notes=tuple(notes),
    )


def _stated_depth(frame: Frame) -> float:
    return frame.between_mm or frame.thickness_mm or 0.0


def _affine(
    frame: Frame,
    plane: dict[str, float],
    step: npt.NDArray[np.float64] | None,
    depth: float,
) -> npt.NDArray[np.float64] | None:
    """Return the way from column, row and slice to a point of the body, RAS+ in mm."""
    if not plane:
        return None
    assert frame.directions is not None and frame.position is not None
    affine = np.eye(4)
    affine[:3, 0] = np.multiply(frame.directions[:3], plane["x"])
    affine[:3, 1] = np.multiply(frame.directions[3:], plane["y"])
    affine[:3, 2] = _normal(frame) * (depth or 1.0) if step is None else step
    affine[:3, 3] = frame.position
    return np.asarray(LPS_TO_RAS @ affine)


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
