"""torch.export (``.pt2``): a graph as JSON, weights as raw numbers, in a zip.

Nothing of it is run. The list of ``sample_inputs`` is read by our own reader of pickles, since a
file with a damaged one is none of PyTorch's; pickles of custom objects are not opened. The ``.pt``
of weights that torch 2.8 and earlier put inside is read as any ``.pt``.
https://pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.containers._export_schema import LaterSchema
from napari_segnet.containers._export_sound import require_meta, require_names, require_program
from napari_segnet.containers._inert import Inert
from napari_segnet.containers._storage import (
    ITEMSIZE,
    Place,
    Storage,
    foreign,
    tensor_ref,
    unreadable,
)
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.containers._unpickle import unpickle
from napari_segnet.containers._zip import Archive, names
from napari_segnet.containers.torch_zip import ORDERS, VERSIONS, Storages, require_version
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError

__all__ = ["TorchExport"]

LONG_NUMBER = re.compile(r"[:\[,]\s*(-?[0-9]{19,30})\s*[,\]}]")
"""In 64 bits, as all whole numbers of a program, are 19 digits."""
LARGEST_PROGRAM = 2**25
"""Bytes of JSON; a network of 2,000 layers has 4 million."""
OLD = "serialized_exported_program.json"
FORMAT, WRITTEN = "archive_format", b"pt2"
VERSION, FIRST = "archive_version", b"0"
DTYPES: Mapping[int, str] = {
    **{1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32"},
    **{8: "float64", 12: "bool", 13: "bfloat16", 28: "uint16", 34: "uint32", 35: "uint64"},
}
"""https://github.com/pytorch/pytorch/blob/v2.8.0/torch/_export/serde/schema.py, ``ScalarType``"""
TENSORS = "tensor_"
"""How the names of parts begin that are constants and tensors; others are objects."""
OBJECTS = ("custom_obj_", "opaque_obj_")
STATE = "Save the network's weights alone: torch.save(model.state_dict(), 'weights.pth')."


class TorchExport:
    """``models/*.json`` is the program; ``data/weights`` and ``data/constants`` are numbers."""

    name = "torch-export"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a zip of ``torch.export.save``, or of ``package_pt2``."""
        found = names(head, path)
        return found is not None and bool(_folders(found))

    def open(self, path: Path) -> Tree:
        """List the tensors by their places in the module; ``metadata["program"]`` is the JSON."""
        archive = Archive.open(path)
        folder = _folders(archive.entries)[0]
        name = _program(archive, folder)
        program = _json(archive, name)
        try:
            require_program(program)
            own = folder + FORMAT
            if own in archive.entries and archive.read(own) != WRITTEN:
                raise ValueError(f"its part {FORMAT} is not {WRITTEN.decode()!r}")
            own = folder + VERSION
            if own in archive.entries and archive.read(own) != FIRST:
                raise ValueError("it is of a later version of the format than is known")
            if name.endswith(OLD):
                root = dict(_old_tensors(archive, folder))
            else:
                model = name.rpartition("/")[2].removesuffix(".json")
                _require_parts(archive, folder, model)
                weights = _listed(archive, folder, model, "weights") or {}
                constants = _listed(archive, folder, model, "constants")
                known = {name: parameter for name, (_, parameter) in weights.items()}
                require_names(program, known, constants)
                root = {name: tensor for name, (tensor, _) in (weights | (constants or {})).items()}
        except LaterSchema as error:
            raise UnsupportedWeightsError(
                f"{path.name} is a program of torch.export of a later PyTorch than is known, or "
                f"damaged ({error}). {STATE}"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _damaged(path, str(error)) from error
        if f"{folder}{VERSIONS[0]}" in archive.entries:  # not so before PyTorch 2.8
            require_version(archive, folder)
        return Tree(
            container=self.name, root=root, metadata={"program": program}, stamp=archive.stamp
        )


def _folders(found: Any) -> list[str]:
    """Return what stands before the names of the parts."""
    return [
        name.removesuffix(last)
        for name in found
        for last in (FORMAT, OLD)
        if name.rpartition("/")[2] == last and name.count("/") <= 1
    ]


def _program(archive: Archive, folder: str) -> str:
    """Return the part that is the program."""
    if folder + OLD in archive.entries:
        return folder + OLD
    start = f"{folder}models/"
    own = [n for n in archive.entries if n.startswith(start) and n != start]
    if odd := [n for n in own if not n.endswith(".json")]:  # PyTorch takes all of them as programs
        raise _damaged(archive.path, f"its part {odd[0][-60:]} is no program")
    if len(own) == 1:
        return own[0]
    if own:
        shown = ", ".join(n.removeprefix(start).removesuffix(".json")[:40] for n in own[:4])
        raise UnsupportedWeightsError(
            f"{archive.path.name} holds {len(own)} programs of torch.export ({shown}), where one "
            "is read. Save the one that is meant with torch.export.save."
        )
    raise UnsupportedWeightsError(
        f"{archive.path.name} is a package of torch.export without a program that could be read "
        f"(compiled code alone, perhaps, which is never run). {STATE}"
    )


def _json(archive: Archive, name: str) -> dict[str, Any]:
    if archive.entries[name].file_size > LARGEST_PROGRAM:
        raise BrokenWeightsError(
            f"{archive.path.name} has a program of more than {LARGEST_PROGRAM:,} bytes, which no "
            f"network has. {STATE}"
        )
    try:
        text = archive.read(name).decode("utf-8")
        if any(not -(2**63) <= int(one) < 2**63 for one in LONG_NUMBER.findall(text)):
            raise ValueError("a whole number has more than 64 bits")
        found = parsed_json(text, nan=True)  # PyTorch before 2.6 writes -Infinity as a number
    except ValueError as error:
        raise _damaged(archive.path, f"its part {name[-60:]} cannot be read") from error
    if not isinstance(found, dict):
        raise _damaged(archive.path, f"its part {name[-60:]} is no program")
    return found


# ---- Weights ---------------------------------------------------------------------------


def _listed(
    archive: Archive, folder: str, model: str, kind: str
) -> dict[str, tuple[TensorRef, bool | None]] | None:
    """Return weights or constants by names, and if each is a parameter; None without a list."""
    order = "little"
    if folder + "byteorder" in archive.entries:
        order = archive.read(folder + "byteorder").decode("ascii", "replace")
    if order not in ORDERS:
        raise ValueError(f"its numbers have the byte order {order[:20]!r}")
    place = f"{folder}data/{kind}/"
    listing = f"{place}{model}_{kind}_config.json"
    if listing in archive.entries:
        if foreign(order):
            raise UnsupportedWeightsError(
                f"{archive.path.name} is a program of torch.export from a computer of another byte "
                f"order ({order}), whose numbers PyTorch does not turn. {STATE}"
            )
        config = _json(archive, listing)["config"]
        _require_one_kind(config.values())
        return {
            str(name): (_tensor(archive, place, entry), entry["is_param"])
            for name, entry in config.items()
        }
    if f"{place}{model}.pt" in archive.entries:
        return {name: (one, None) for name, one in _saved(archive, f"{place}{model}.pt")}
    return None


def _require_parts(archive: Archive, folder: str, model: str) -> None:
    """Refuse a file without a part that PyTorch reads, since 2.9, beside program and weights.

    https://github.com/pytorch/pytorch/blob/v2.9.0/torch/export/pt2_archive/_package.py
    """
    listing = f"{folder}data/weights/{model}_weights_config.json"
    if listing not in archive.entries:
        start = f"{folder}data/weights/"
        held = any(n.startswith(start) for n in archive.entries)
        if held and f"{start}{model}.pt" not in archive.entries:
            raise ValueError(f"its part {listing[-60:]} is missing")
        return  # written by 2.8
    inputs = f"{folder}data/sample_inputs/{model}.pt"
    constants = f"data/constants/{model}_constants_config.json"
    if f"{folder}data/constants/{model}.pt" in archive.entries:
        constants = f"data/constants/{model}.pt"
    parts = (VERSION, *VERSIONS[:1], inputs.removeprefix(folder), constants)
    if missing := [name for name in parts if folder + name not in archive.entries]:
        raise ValueError(f"its part {missing[0][-60:]} is missing")
    for _ in _saved(archive, inputs):
        pass


def _require_one_kind(entries: Iterable[Mapping[str, Any]]) -> None:
    """Refuse parts that hold numbers of two kinds: PyTorch takes all for those of the first."""
    kinds: dict[str, Any] = {}
    for entry in entries:
        meta = entry["tensor_meta"]
        if meta is not None and not entry["use_pickle"]:
            kind = kinds.setdefault(str(entry["path_name"]), meta["dtype"])
            if kind != meta["dtype"]:
                raise ValueError("a part of it holds numbers of two kinds")


def _tensor(archive: Archive, place: str, entry: Any) -> TensorRef:
    meta = entry["tensor_meta"]
    if any(not isinstance(entry[name], bool) for name in ("use_pickle", "is_param")):
        raise ValueError("use_pickle or is_param of a tensor is neither true nor false")
    if meta is not None:
        require_meta(meta)
    if entry["use_pickle"] or meta is None:
        name = str(entry["path_name"])
        if not place.endswith("weights/") and not name.startswith((TENSORS, *OBJECTS)):
            raise ValueError(f"its constant {name[:60]!r} is of no kind")
        if not entry["use_pickle"]:
            raise ValueError("a tensor is not described")
        if place.endswith("weights/") or name.startswith(TENSORS):
            _require_saved(archive, place + name)
        return unreadable((), "object", "An object lies as a pickle, which is not opened.")
    shape, stride = ([_whole(n) for n in meta[what]] for what in ("sizes", "strides"))
    dtype = DTYPES.get(meta["dtype"])
    if dtype is None:
        why = f"A tensor has numbers of the kind {str(meta['dtype'])[:20]}, which are not read."
        return unreadable(tuple(shape), "unknown", why)
    name = place + str(entry["path_name"])
    region = archive.region(name)
    if archive.entries[name].compress_type:  # PyTorch packs none, and compares the length of all
        archive.read(name)
    if region.length % ITEMSIZE[dtype]:
        raise ValueError(f"its part {name[-60:]} ends in the middle of a number")
    storage = Storage(Place(name, region), dtype, region.length // ITEMSIZE[dtype])
    return tensor_ref(storage, _whole(meta["storage_offset"]), shape, stride)


def _whole(number: Any) -> int:
    found = number["as_int"]
    if type(found) is not int or len(number) != 1:
        raise ValueError("a length is no whole number")
    return found


def _old_tensors(archive: Archive, folder: str) -> Iterator[tuple[str, TensorRef]]:
    """Yield tensors as torch before 2.8 wrote them: zips of ``torch.save`` inside."""
    for kind in ("state_dict", "constants", "tensor_constants"):
        for ending in (".pt", ".json"):
            name = f"{folder}serialized_{kind}{ending}"
            if name in archive.entries:
                yield from _saved(archive, name)


def _saved(archive: Archive, name: str) -> Iterator[tuple[str, TensorRef]]:
    """Yield what ``torch.save`` wrote into a part; its pickle is read as any, see ``unpickle``."""
    if not archive.entries[name].file_size:
        return
    inner, listing = _require_saved(archive, name)
    folder, order = listing.removesuffix("data.pkl"), "little"
    if folder + "byteorder" in inner.entries:
        order = inner.read(folder + "byteorder").decode("ascii", "replace")
    if order not in ORDERS:
        raise ValueError(f"its part {name[-60:]} has the byte order {order[:20]!r}")
    data = inner.read(listing)
    storages = Storages(inner, folder, swap=foreign(order))
    found = unpickle(inner.stream(data), archive.path.name, storages.get)
    require_version(inner, folder)
    if not isinstance(found, dict | tuple | Inert):
        raise ValueError(f"its part {name[-60:]} lists no values")
    if isinstance(found, dict):
        yield from ((str(k), v) for k, v in found.items() if isinstance(v, TensorRef))


def _require_saved(archive: Archive, name: str) -> tuple[Archive, str]:
    """Return a part that ``torch.save`` wrote, and where it lists what it holds."""
    inner = archive.inner(name)
    lists = [n for n in inner.entries if n.rpartition("/")[2] == "data.pkl"]
    if len(lists) != 1:
        raise ValueError(f"its part {name} does not list its tensors")
    return inner, lists[0]


def _damaged(path: Path, what: str) -> BrokenWeightsError:
    return BrokenWeightsError(
        f"{path.name} is a damaged program of torch.export: {what}. Save or download it again."
    )
