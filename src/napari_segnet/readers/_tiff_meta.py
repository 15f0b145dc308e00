"""What a TIFF says of its axes, pixel size and channels; what it does not say is absent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_segnet.errors import ImageError, Remedy

__all__ = [
    "channel_names",
    "pixel_sizes_um",
    "said_axes",
    "series_axes",
    "size_notes",
    "unit_um",
]

XMP = 700
"""The tag that holds what Ventana says of a slide."""

UNITS_UM = {
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "micrometre": 1.0,
    "micrometres": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometers": 1e-3,
    "nanometre": 1e-3,
    "å": 1e-4,
    "angstrom": 1e-4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
    "inches": 25400.0,
}

RESOLUTION_UNITS_UM = {2: 25400.0, 3: 1e4}
"""Micrometres per TIFF ResolutionUnit: inch and centimetre."""

COARSEST_BELIEVED_UM = 5.0
"""A plain TIFF's resolution is a pixel size only if it is at least this fine. Programs fill
it with 72, 96, 300 or 600 dpi for want of better, and no printer or scanner goes beyond 4800
dpi (5.3 µm per pixel); who writes less than 5 µm has measured it."""


PRINT_UNITS = {"in": 1.0, "inch": 1.0, "inches": 1.0, "cm": 2.54}
"""Centimetres and inches per inch: units of printers that ImageJ takes over from any picture."""

PRINT_DPI = (72, 96, 100, 150, 200, 240, 300, 400, 600, 1200, 2400, 4800)
"""Resolutions that printers, scanners and screens have, and cameras write."""


def unit_um(text: str | None) -> float | None:
    """Return the micrometres in a unit of length, or None for pixels and the unknown."""
    if not text:
        return None
    name = text.strip().lower().replace("\\u00b5", "u").replace("â", "")
    return UNITS_UM.get(name.replace("µ", "u").replace("μ", "u"))


def series_axes(series: Any, path: Path) -> str:
    """Return one of ``tczyx`` per dimension of a series.

    Samples (S) are channels. One dimension without a name becomes ``z``; more of them
    cannot be guessed.
    """
    own = str(series.axes).upper().replace("S", "C" if "C" not in series.axes else "S")
    if "S" in own:
        raise ImageError(
            f"{path.name} has both channels and red-green-blue in each of them (axes {own}, "
            f"shape {tuple(series.shape)}). Split the colours first, in Fiji with "
            "Image > Color > Split Channels."
        )
    unknown = [a for a in own if a not in "TCZYX"]
    if len(unknown) == 1 and "Z" not in own and {"Y", "X"} <= set(own):
        return own.replace(unknown[0], "Z").lower()
    if unknown or not {"Y", "X"} <= set(own):
        remedy = Remedy("axes", {3: "zyx", 4: "tzyx"}.get(len(own), "tczyx"))
        raise ImageError(
            f"{path.name} does not say what its {len(own)} dimensions {tuple(series.shape)} are. "
            "Name one axis per dimension out of t, c, z, y, x, for example "
            f"{remedy}.",
            remedies=(remedy,),
        )
    return own.lower()


def said_axes(series: Any, path: Path) -> str | None:
    """Return the axes if the file says all of them; None where one would be guessed."""
    own = str(series.axes).upper()
    if set(own) <= set("TCZYXS"):
        return series_axes(series, path)
    return None


def size_notes(tif: Any, series: Any) -> tuple[str, ...]:
    """Say that a resolution was not taken for a pixel size although it has a unit."""
    metadata = tif.imagej_metadata
    if series.kind == "ome" or not metadata or not _is_print(series.keyframe, metadata, "x"):
        return ()
    length = _pixel_length(series.keyframe, "x")
    per = 1 / length if length else 0
    return (
        f"Its resolution of {per:.4g} pixels per {metadata.get('unit')} is that of a print, not of "
        "a microscope, so its pixel size is unknown. Set the scale in Fiji (Analyze > Set Scale) "
        "if you know it.",
    )


def _is_print(page: Any, metadata: Mapping[str, Any], axis: str) -> bool:
    """Tell a resolution that ImageJ only took over from a camera or a printer.

    In inches anything coarser than what is believed of plain TIFFs; in centimetres, in which
    plants and gels are measured as well, only the usual numbers of dots per inch.
    """
    unit = str(metadata.get(f"{axis}unit") or metadata.get("unit") or "").strip().lower()
    length = _pixel_length(page, axis)
    if unit not in PRINT_UNITS or length is None:
        return False
    if unit != "cm":
        return length * UNITS_UM[unit] > COARSEST_BELIEVED_UM
    dpi = PRINT_UNITS[unit] / length
    return any(abs(dpi / usual - 1) < 2e-3 for usual in PRINT_DPI)


def pixel_sizes_um(tif: Any, series: Any) -> dict[str, float]:
    """Return the known pixel sizes by axis in micrometres."""
    if series.kind == "ome":
        return _ome_sizes(_ome_pixels(tif))
    metadata = tif.imagej_metadata
    if metadata:
        return _sizes_with_unit(series.keyframe, metadata)
    if series.kind == "shaped" and tif.shaped_metadata:
        found = _sizes_with_unit(series.keyframe, tif.shaped_metadata[0])
        if found:
            return found
    return _slide_size(tif) or _believable_resolution(series.keyframe)


def _slide_size(tif: Any) -> dict[str, float]:
    """Return the pixel size that slide scanners write in words: Aperio, Ventana."""
    said: list[str] = []
    if getattr(tif, "is_svs", False):
        said = re.findall(r"\|\s*MPP\s*=\s*([\d.]+)", str(tif.pages.first.description))
    elif getattr(tif, "is_bif", False):
        for page in tif.pages:
            text = page.tags.valueof(XMP, b"")
            text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
            said += re.findall(r'\bScanRes="([\d.]+)"', text)
    size = _positive(said[0]) if said else None
    return {} if size is None else {"y": size, "x": size}


def channel_names(tif: Any, series: Any, count: int) -> tuple[str, ...]:
    """Return one name per channel, or nothing if the file does not name them all."""
    names: list[str] = []
    if series.kind == "ome":
        pixels = _ome_pixels(tif)
        names = [c.get("Name", "") for c in pixels if _tag(c) == "Channel"]
    elif getattr(tif, "is_qpi", False):
        found = [re.search(r"<Name>([^<]+)</Name>", str(page.description)) for page in series]
        names = [one[1].strip() for one in found if one]
    elif tif.imagej_metadata:
        metadata = tif.imagej_metadata
        # ImageJ labels planes. They name channels only where each plane is a channel.
        if metadata.get("channels") == metadata.get("images") == count:
            names = [str(label) for label in metadata.get("Labels", ())]
    good = len(names) == count and all(names) and len(set(names)) == count
    return tuple(names) if good else ()


# ---- OME ----


def _ome_pixels(tif: Any) -> Any:
    """Return the Pixels element of the first image, or an empty one."""
    root = ElementTree.fromstring(tif.ome_metadata)
    for element in root.iter():
        if _tag(element) == "Pixels":
            return element
    return ElementTree.Element("Pixels")


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _ome_sizes(pixels: Any) -> dict[str, float]:
    sizes = {}
    for axis in "zyx":
        value = pixels.get(f"PhysicalSize{axis.upper()}")
        # The OME schema's default unit is the micrometre.
        unit = unit_um(pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm"))
        if value is not None and unit is not None and (size := _positive(value)) is not None:
            sizes[axis] = size * unit
    return sizes


# ---- ImageJ and tags ----


def _sizes_with_unit(page: Any, metadata: Mapping[str, Any]) -> dict[str, float]:
    """Sizes of a file that names its unit of length in words."""
    sizes = {}
    for axis in "zyx":
        unit = unit_um(metadata.get(f"{axis}unit") or metadata.get("unit"))
        size = _positive(metadata.get("spacing")) if axis == "z" else _pixel_length(page, axis)
        if axis != "z" and _is_print(page, metadata, axis):
            continue
        if unit is not None and size is not None:
            sizes[axis] = size * unit
    return sizes


def _believable_resolution(page: Any) -> dict[str, float]:
    """Sizes out of the resolution tags alone, where they are finer than any default."""
    tag = page.tags.get("ResolutionUnit")
    unit = RESOLUTION_UNITS_UM.get(int(tag.value)) if tag is not None else None
    lengths = {axis: _pixel_length(page, axis) for axis in "yx"}
    if unit is None:
        return {}
    sizes = {a: n * unit for a, n in lengths.items() if n is not None}
    return sizes if sizes and max(sizes.values()) <= COARSEST_BELIEVED_UM else {}


def _pixel_length(page: Any, axis: str) -> float | None:
    """Return units per pixel; the tags hold pixels per unit as a fraction."""
    tag = page.tags.get(f"{axis.upper()}Resolution")
    if tag is None:
        return None
    value = tag.value
    above, below = value if isinstance(value, tuple) else (value, 1)
    return _positive(below / above) if above else None


def _positive(value: Any) -> float | None:
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None  # not a number: the size stays unknown
    return size if math.isfinite(size) and size > 0 else None
