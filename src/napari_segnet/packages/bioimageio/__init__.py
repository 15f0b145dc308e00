"""Model packages of bioimage.io: a folder or zip with ``rdf.yaml`` or ``bioimageio.yaml``.

Versions 0.4 and 0.5 of https://github.com/bioimage-io/spec-bioimage-io.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from napari_segnet.containers import PackageFiles
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.packages._types import Member, Package, mapping_of, text_of
from napari_segnet.packages._yaml import read_mapping
from napari_segnet.packages.bioimageio._adds import Adding
from napari_segnet.packages.bioimageio._description import Description, read_description
from napari_segnet.packages.bioimageio._write import preprocessing

__all__ = ["Bioimageio", "preprocessing"]

NAMES = ("rdf.yaml", "bioimageio.yaml", "model.yaml", "rdf.yml", "bioimageio.yml")
ENDINGS = (".bioimageio.yaml", ".rdf.yaml")
"""Descriptions of several versions may lie in one folder: ``v0_4.bioimageio.yaml``."""
READ = ("torchscript", "onnx", "keras_v3", "keras_hdf5", "pytorch_state_dict")
"""Weights that are tried, those first that hold the layers of their network."""


class Bioimageio:
    """The kind of package; see the module's docstring."""

    name = "bioimageio"
    title = "Model package of bioimage.io"
    descriptions: tuple[str, ...] = (*NAMES, *(f"*{ending}" for ending in ENDINGS))

    def describes(self, name: str) -> bool:
        """Tell by the name."""
        name = name.lower()
        return name in NAMES[:2] or name in NAMES[3:] or name.endswith(ENDINGS)

    def detect(self, files: PackageFiles) -> bool:
        """Tell by the name of the description."""
        return bool(self._description(files))

    def read(self, files: PackageFiles, description: str) -> Package:
        """Read the description; see :class:`~napari_segnet.packages.PackageKind`."""
        name, package = description or self._description(files), files.path.name
        content = read_mapping(files.read(name), name, package)
        said = read_description(content, name, package)
        members, absent = _weights(said, files)
        if not members:
            what = "; ".join(absent) or "it names none"
            raise UnsupportedWeightsError(
                f"The package {package} ({name}) holds no weights that can be read: {what}. "
                "Download the whole package from bioimage.io, with weights as torchscript, onnx, "
                "keras_hdf5 or pytorch_state_dict."
            )
        return Package(
            files=files,
            title=f"{self.title} ({said.version})",
            description=name,
            members=members,
            absent=absent,
            adds=Adding(said, name).added,
        )

    def _description(self, files: PackageFiles) -> str:
        there = [name for name in files.names if "/" not in name]
        usual = [name for name in NAMES if name in there and name != "model.yaml"]
        other = sorted(name for name in there if name.lower().endswith(ENDINGS))
        if not usual and not other and "model.yaml" in there:
            return "model.yaml" if _says_so(files) else ""
        return (usual or other or [""])[0]


def _says_so(files: PackageFiles) -> bool:
    """Tell if ``model.yaml``, a name of many programs, is such a description."""
    try:
        return "format_version" in files.read("model.yaml")
    except OSError:
        return False


def _weights(said: Description, files: PackageFiles) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Return weights that lie in the package, and why others are not used."""
    members, absent = [], []
    order = [kind for kind in READ if kind in said.weights]
    for kind in [*order, *(kind for kind in said.weights if kind not in READ)]:
        source = text_of(said.weights[kind].get("source"), 300)
        name = PurePosixPath(source.removeprefix("./")).as_posix()
        if kind not in READ:
            absent.append(f"{kind[:40]} is no kind of weights that this version reads")
        elif "://" in source:
            absent.append(f"{kind} lies at {source[:120]}, and nothing is downloaded")
        elif name not in files.names and not _there(files, name):
            absent.append(f"{kind} ({source[:80] or 'no name'}) does not lie in the package")
        else:
            sha256 = text_of(said.weights[kind].get("sha256"), 64)
            members.append(Member(name=name, what=kind, sha256=sha256))
    # StarDist puts its weights among the attachments; what is listed is the program in it.
    star = text_of(mapping_of(mapping_of(said.about.get("config")).get("stardist")).get("weights"))
    if star and (star in files.names or _there(files, star)):
        members.insert(0, Member(name=star, what="stardist"))
    return tuple(members), tuple(absent)


def _there(files: PackageFiles, name: str) -> bool:
    """Look for a file of a folder that was not listed; none outside of it."""
    if files.zipped or not name:
        return False
    root, path = files.path.resolve(), files.path / name
    if not path.resolve().is_relative_to(root) or not path.is_file():
        return False
    files.names[name] = name
    return True
