"""Packages that only some users need: imported where they are, or named with their extra."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from napari_segnet.errors import ImageError, MissingExtraError

__all__ = [
    "address_package",
    "distributed_package",
    "microscope_package",
    "version",
    "video_package",
    "zarr_package",
]


@functools.cache
def version(package: str) -> str:
    """Return the version of an installed package; what says it is read once, which takes 5 ms."""
    import importlib.metadata

    return importlib.metadata.version(package)


def zarr_package(name: str) -> Any:
    """Import zarr.

    Parameters
    ----------
    name : str
        What is Zarr, for the message.

    Raises
    ------
    MissingExtraError
        If it is not installed, or older than Zarr's format 3; names the extra.
    """
    says = f"{name} is Zarr, and the package zarr, which reads and writes it, is not installed."
    zarr = _imported("zarr", "zarr", says, ("zarr",))
    if int(zarr.__version__.partition(".")[0]) < 3:
        raise MissingExtraError(
            f"{name} is Zarr, and zarr {zarr.__version__} is too old to read it. Install the extra "
            "[zarr] again: pip install -U 'napari-segnet[zarr]'"
        )
    return zarr


def address_package(address: str) -> Any:
    """Import fsspec, and see that it has what speaks to a kind of address.

    Parameters
    ----------
    address : str
        Such as ``https://example.org/cells.zarr``.

    Raises
    ------
    MissingExtraError
        If a package is not installed; names the extra.
    ImageError
        If there is no such kind of address.
    """
    kind = address.partition(":")[0]
    try:
        import fsspec

        fsspec.get_filesystem_class(kind)
    except ImportError as error:
        lacks = "" if error.name is None else f" ({error.name} is missing)"
        raise MissingExtraError(
            f"{address} is an address, and what reads from {kind}: is not installed{lacks}. "
            "Install the extra [remote]: pip install 'napari-segnet[remote]'; or copy the image "
            "to a disk."
        ) from error
    except ValueError as error:
        raise ImageError(
            f"{address} begins with {kind}:, which is no kind of address that is known here. Name "
            "a file, or an address such as https://… or s3://…."
        ) from error
    return fsspec


def distributed_package() -> Any:
    """Import dask.distributed.

    Raises
    ------
    MissingExtraError
        If it is not installed; names the extra.
    """
    says = "Other machines are reached by dask, and the package distributed is not installed."
    return _imported("distributed", "cluster", says, ("distributed", "dask"))


def microscope_package(name: str, package: str) -> Any:
    """Import what reads files of a microscope.

    Parameters
    ----------
    name : str
        The file, for the message.
    package : str
        ``bioio_czi``, ``bioio_nd2`` or ``bioio_lif``.

    Raises
    ------
    MissingExtraError
        If it is not installed; names the extra.
    """
    says = (
        f"{name} is a file of a microscope, and the package {package.replace('_', '-')}, which "
        "reads it, is not installed"
    )
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:  # also what it needs itself
        raise _missing(f"{says} ({error.name} is missing).", "images") from error


def video_package(name: str) -> Any:
    """Import PyAV.

    Parameters
    ----------
    name : str
        The video, for the message.

    Raises
    ------
    MissingExtraError
        If it is not installed; names the extra.
    """
    says = f"{name} is a video, and the package av, which decodes it, is not installed."
    return _imported("av", "video", says, ("av",))


def _imported(package: str, extra: str, says: str, absent: tuple[str, ...]) -> Any:
    """Import a package; ``absent`` names what may be missing, else the fault is another."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name not in absent:
            raise
        raise _missing(says, extra) from error


def _missing(says: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"{says} Install the extra [{extra}]: pip install 'napari-segnet[{extra}]'"
    )
