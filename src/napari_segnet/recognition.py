"""What is this weights file? Asked of every family, without its tensors and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from napari_segnet import cache
from napari_segnet.builtin import weights_path
from napari_segnet.card import averaging_notes
from napari_segnet.checkpoint import Checkpoint, Known, file_sha256
from napari_segnet.containers import Weights, candidates, open_tree, understood
from napari_segnet.errors import (
    SettingsError,
    UnknownNetworkError,
    UnsafeWeightsError,
    WeightsError,
)
from napari_segnet.families import FAMILIES, ConfiguredFamily, Family, GraphFamily, MapFamily
from napari_segnet.graph import graph_from_json, receptive_field
from napari_segnet.packages import Package, find_package
from napari_segnet.programs import LIBRARY, PROGRAMS, SOURCE, STRUCTURE, as_published, unasked
from napari_segnet.programs import title_of as program_title
from napari_segnet.programs.source import SourceRefusal, described, refused, same_network
from napari_segnet.programs.structure import Networks, ends_as_named, read_structure
from napari_segnet.sidecar import read_sidecar
from napari_segnet.signatures import signature_of
from napari_segnet.stamp import stamp_of
from napari_segnet.tiles import Halo

__all__ = ["family_of", "identify", "space_of", "title_of", "with_halo"]

COMPLETE = ("graph", "segnet-unet")
"""Families whose files say all of their network, so that no code is asked."""
FIELD = ("graph", "pooling", "dilation", "upsampling")
"""Facts from which follows how far a network sees."""
MOST_FACTS, LONGEST_FACT = 200, 2000
"""Of what a training keeps beside its tensors."""


def identify(
    path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    source: str | Path | None = None,
    *,
    told: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Tell what a weights file is, without reading its tensors.

    Parameters
    ----------
    path : str or Path
        A weights file, a package (folder, zip file or its description), or the name of a
        built-in network.
    overrides : mapping, optional
        What you know of the network that its file does not say: hyper-parameters of its
        family by name.
    source : str or Path, optional
        The Python file or notebook that defines the network; as ``source`` in ``overrides``. It is
        read, never run. Without: what lies beside the file is tried.
    told : mapping, optional
        The name that ``overrides`` had before.

    Raises
    ------
    WeightsError
        If the file cannot be used; ``UnknownNetworkError`` lists what was seen in it.
    SettingsError
        If an override names something that the family does not have.
    """
    path = weights_path(path)
    overrides = {**(told or {}), **(overrides or {})}
    if source is not None:
        overrides["source"] = str(source)
    package = find_package(path)
    if package is None or not package.members:
        return _one(path, path, overrides, package)
    return _of_package(package, path, overrides)


def _of_package(package: Package, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
    """Return the network of the first weights of a package that can be read."""
    if package.ensemble:
        return _of_ensemble(package, path, overrides)
    refusals: list[tuple[str, WeightsError]] = []
    for member in package.members:
        file = package.files.file(member.name)
        holder = path if package.files.zipped else file
        try:
            found = _one(file, holder, overrides, package)
        except UnsafeWeightsError:
            raise
        except WeightsError as error:
            if len(package.members) == 1:
                raise
            refusals.append((member.what, error))
            continue
        wrong = member.sha256 and member.sha256.lower() != file_sha256(file)
        note = (
            f"{member.name} has other bytes than {package.description} says (SHA-256): one of "
            "them was changed since the package was made."
        )
        store = found.store
        if package.files.zipped:
            store = replace(store, member=package.files.names[member.name])
        return replace(found, store=store, notes=(*found.notes, *([note] if wrong else [])))
    reasons = "; ".join(f"{what}: {error}" for what, error in refusals)
    raise UnknownNetworkError(
        f"The package {package.files.path.name} opens by none of its weights. {reasons}"
    )


def _of_ensemble(package: Package, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
    """Return the first of several files of one network; the others are its members."""
    found: list[Checkpoint] = []
    for member in package.members:
        file = package.files.file(member.name)
        holder = path if package.files.zipped and not found else file
        one = _one(file, holder, overrides, package)
        if found and (one.hparams, one.store.keys) != (found[0].hparams, found[0].store.keys):
            raise UnknownNetworkError(
                f"{member.name} of {package.files.path.name} is another network than "
                f"{package.members[0].name}, so their answers cannot be averaged. Open one of them."
            )
        found.append(one)
    first = found[0]
    if package.files.zipped:
        entry = package.files.names[package.members[0].name]
        first = replace(first, store=replace(first.store, member=entry))
    why = Known(source="read", why=f"all folds of {package.files.path.name}")
    members = tuple(one.path for one in found[1:])
    return replace(first, members=members, known={**first.known, "members": why})


def _one(
    file: Path, holder: Path, overrides: Mapping[str, Any], package: Package | None
) -> Checkpoint:
    """Return the network of one weights file.

    ``holder`` is the file that is chosen and hashed: the zip where ``file`` came out of one.
    """
    beside = read_sidecar(holder)
    overrides = {**(beside.overrides if beside else {}), **overrides}
    with understood(file):
        found = _recognised(file, overrides, package.recorded if package else {})
    if holder != file:
        found = replace(found, path=holder, stamp=stamp_of(holder.stat()))
    if package is not None:
        found = package.added_to(found)
    found = beside.added_to(found) if beside else found
    return replace(found, notes=(*found.notes, *unasked(found), *averaging_notes(found.card)))


def _recognised(path: Path, overrides: Mapping[str, Any], beside: Mapping[str, Any]) -> Checkpoint:
    """Return the network of a weights file by its content, and what is recorded beside it."""
    tree = open_tree(path)
    for program in PROGRAMS:
        if program.detect(tree):
            found = program.describe(tree, path, overrides)
            found = replace(found, stamp=tree.stamp, notes=(*tree.notes, *found.notes))
            return with_halo(family_of(found), found)
    views = candidates(tree, path)
    if beside:
        views = tuple(replace(v, metadata={"config": beside, **v.metadata}) for v in views)
    named = _named(views, overrides)
    notes: tuple[str, ...] = ()
    if isinstance(named, Checkpoint) and _complete(named):
        found = named
    else:
        code, notes = _by_code(views, overrides)
        try:
            found = _chosen(named, code, path, views, overrides)
        except UnknownNetworkError as error:
            if not notes:
                raise
            raise UnknownNetworkError(f"{error} {' '.join(notes)}") from error
    found = replace(found, notes=(*found.notes, *notes))
    return with_halo(family_of(found), _with_hyper_parameters(found, views[0]))


def _named(
    views: tuple[Weights, ...], overrides: Mapping[str, Any]
) -> Checkpoint | UnknownNetworkError | SettingsError | None:
    """Return what a family says of the tensors, else one of another package, else a library."""
    named: Checkpoint | WeightsError | SettingsError | None
    own = {name: value for name, value in overrides.items() if name != "source"}
    try:
        named = _by_name(views, overrides)
    except WeightsError as error:
        named = error
    if not isinstance(named, Checkpoint):
        other = FAMILIES.described_elsewhere(views, own)
        named = other if isinstance(other, Checkpoint) else named or other
    if named is None:
        try:
            named = LIBRARY.describe(views, own)
        except (UnknownNetworkError, SettingsError) as error:
            named = error
    if isinstance(named, WeightsError) and not isinstance(named, UnknownNetworkError):
        raise named
    return named


def _complete(named: Checkpoint) -> bool:
    """Tell if code beside a file cannot define another network than its family does."""
    configured = isinstance(family_of(named), ConfiguredFamily)
    return configured or (named.family in COMPLETE and not named.program)


def _by_name(
    views: tuple[Weights, ...], overrides: Mapping[str, Any]
) -> Checkpoint | UnknownNetworkError | SettingsError | None:
    """Return the network of a known family, why it is none, or None where no name is known."""
    refusal: UnknownNetworkError | SettingsError | None = None
    for weights in views:
        for family in FAMILIES.looks_like(weights):
            try:
                found = described(family, weights, overrides)
            except UnknownNetworkError as error:
                # The first view is the plainest one, so its refusal says the most.
                refusal = refusal or error
            except SettingsError as error:
                # The code beside the weights may have what is overridden; else it is raised.
                return error
            else:
                return replace(found, stamp=weights.stamp, notes=(*weights.notes, *found.notes))
    return refusal


def _by_code(
    views: tuple[Weights, ...], overrides: Mapping[str, Any]
) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """Return the network that code beside the file defines, or a note why it is not the one."""
    try:
        found = SOURCE.describe(views, overrides)
    except SourceRefusal as refusal:
        if overrides.get("source"):
            raise refused(refusal) from refusal
        return None, (f"{refusal} So the code is not used.",) if refusal.network else ()
    if found is None:
        return None, ()
    return replace(found, stamp=views[0].stamp, notes=(*views[0].notes, *found.notes)), ()


def _chosen(
    named: Checkpoint | UnknownNetworkError | SettingsError | None,
    code: Checkpoint | None,
    path: Path,
    views: tuple[Weights, ...],
    overrides: Mapping[str, Any],
) -> Checkpoint:
    """Return what the code says, or the known family whose graph it is; else what is left."""
    if isinstance(named, Checkpoint):
        family = family_of(named)
        drawn = isinstance(family, GraphFamily)
        if code is None:
            return as_published(named) if drawn and not _complete(named) else named
        if isinstance(family, GraphFamily):
            own = graph_from_json(code.hparams["graph"])
            if same_network(family.graph(named), named.store.keys, own, code.store.keys):
                known = _confirmed(named, code)
                return replace(named, known=known, card={**named.card, **code.card})
        note = f"Its tensors have the names of: {family.title}. Its layers are read from its code."
        return replace(code, notes=(*code.notes, note))
    if code is not None:
        return code
    if isinstance(named, SettingsError):
        raise named
    own_overrides = {name: value for name, value in overrides.items() if name != "source"}
    if named is not None:
        return _edited(named, views, own_overrides)
    read, reason = _by_structure(views, own_overrides)
    if read is not None:
        return read
    raise UnknownNetworkError(_not_recognised(path, views[0], reason))


def _edited(
    named: UnknownNetworkError, views: tuple[Weights, ...], overrides: Mapping[str, Any]
) -> Checkpoint:
    """Return what an edited copy of a known network is: the names say little, the layers the rest.

    A known network that lacks or adds something may be damaged as well; then no network is found
    that uses every tensor that is left.
    """
    first = next((one for view in views for one in FAMILIES.looks_like(view)), None)
    if first is not None and (not isinstance(first, MapFamily) or first.name in COMPLETE):
        raise named  # without a family they are the names of a library
    try:
        found, reason = _by_structure(views, overrides)
    except SettingsError as error:
        raise SettingsError(f"{named} Read from its tensors: {error}") from error
    if found is None or not ends_as_named(graph_from_json(found.hparams["graph"])):
        raise UnknownNetworkError(f"{named} {reason}".rstrip()) from named
    note = (
        f"{named} So its network was found from its tensors: what the published one does is only "
        "a hint."
    )
    return replace(found, notes=(note, *found.notes))


def _confirmed(named: Checkpoint, code: Checkpoint) -> dict[str, Known]:
    """Return how facts are known, where the code shows what the file does not."""
    read = Known(source="read", why=f"as in the code beside it, {code.known['graph'].why}")
    facts = {
        name: read if known.source == "assumed" and name in named.hparams else known
        for name, known in named.known.items()
    }
    return {**facts, "graph": read}


def _with_hyper_parameters(checkpoint: Checkpoint, weights: Weights) -> Checkpoint:
    """Put what Lightning keeps beside the tensors on the card: plain values alone."""
    kept = weights.metadata.get("hyper_parameters")
    if not isinstance(kept, Mapping):
        return checkpoint
    plain = {
        str(name): value
        for name, value in list(kept.items())[:MOST_FACTS]
        if isinstance(value, str | int | float | bool) and len(str(value)) <= LONGEST_FACT
    }
    if not plain or "hyper_parameters" in checkpoint.card:
        return checkpoint
    return replace(checkpoint, card={**checkpoint.card, "hyper_parameters": plain})


def _by_structure(
    views: tuple[Weights, ...], overrides: Mapping[str, Any]
) -> tuple[Checkpoint | None, str]:
    """Return the network that a view's tensors can be, or why the first of them is none."""
    shapes = {key: tensor.shape for key, tensor in views[0].tensors.items()}
    known = signature_of(shapes)
    if known is not None and not known.readable:
        return None, ""
    reason = ""
    for weights in views:
        try:
            found = STRUCTURE.describe(weights, overrides, space_of(weights))
        except UnknownNetworkError as error:
            reason = reason or str(error)
            continue
        return replace(found, stamp=weights.stamp, notes=(*weights.notes, *found.notes)), ""
    return None, reason


def space_of(weights: Weights) -> Networks:
    """Return all networks that the tensors of a file can be.

    They are searched for once: what was found by names and shapes is asked of the statistics.

    Raises
    ------
    UnknownNetworkError
        If there is none.
    """
    key = (str(weights.path), weights.stamp, weights.wrapper, weights.prefix)
    known = cache.structures.get(key) if weights.stamp is not None else None
    if known is not None:
        return cast("Networks", known)
    found = read_structure(weights)
    cache.structures.put(key, found, 1)
    return found


def family_of(checkpoint: Checkpoint) -> Family:
    """Return the family that a checkpoint belongs to."""
    family = FAMILIES.named(checkpoint.family)
    if family is None:
        raise UnknownNetworkError(
            f"The family {checkpoint.family!r} is not known to this version. Update napari-segnet, "
            "or install the package that brought it."
        )
    return family


def title_of(checkpoint: Checkpoint) -> str:
    """Return what people call the kind of network: its program or its family."""
    return program_title(checkpoint) or family_of(checkpoint).title


def with_halo(family: Family, checkpoint: Checkpoint) -> Checkpoint:
    """Add the receptive field, which needs the network's layers but not its weights.

    Parameters
    ----------
    family : Family
        That of the checkpoint.
    checkpoint : Checkpoint
        Without, or with that of another network.
    """
    if not isinstance(family, MapFamily):
        return checkpoint
    if isinstance(family, GraphFamily):
        halo = receptive_field(family.graph(checkpoint))
    else:
        halo = _halo_of_module(family, checkpoint)
    if halo is None:
        why = "a layer depends on the whole image, so tiles are blended"
    else:
        why = "computed from the network's layers"
    graph = _weakest(checkpoint)
    if graph.source != "read" and halo is not None:
        why += f"; what is {graph.source} of them counts"
    fact = Known(source=graph.source, why=why)
    known = {**checkpoint.known, "halo_px": fact, "exact": fact}
    size = known.get("size")
    if graph.source != "read" and size is not None and size.source == "read":
        # What follows from layers is known no better than they are.
        known["size"] = Known(source=graph.source, why=size.why)
    return replace(checkpoint, halo_px=halo, exact=halo is not None, known=known)


def _weakest(checkpoint: Checkpoint) -> Known:
    """Return how the least sure fact is known that a receptive field follows from."""
    facts = [checkpoint.known[name] for name in FIELD if name in checkpoint.known]
    order = ("assumed", "decided")
    return min(
        (one for one in facts if one.source in order),
        key=lambda one: order.index(one.source),
        default=Known(source="read"),
    )


def _halo_of_module(family: MapFamily, checkpoint: Checkpoint) -> Halo | None:
    """Return the receptive field of a network that has to be built to know its layers."""
    import torch

    from napari_segnet import receptive

    with torch.device("meta"):
        module = family.build(checkpoint).eval()
    return receptive.receptive_field(module, family.maps, checkpoint.channels, checkpoint.size)


def _not_recognised(path: Path, seen: Weights, reason: str) -> str:
    keys = list(seen.tensors)
    shown = ", ".join(f"{k} {seen.tensors[k].shape}" for k in keys[:4])
    known = signature_of({key: tensor.shape for key, tensor in seen.tensors.items()})
    if known is not None:
        return (
            f"{path.name} is {known.what}, by the names of its {len(keys)} tensors (first "
            f"{shown}). It cannot be opened in this version. {known.step}"
        ).rstrip()
    names = "; ".join(family.title for family in FAMILIES)
    return (
        f"No known kind of network has the tensors of {path.name}: {len(keys)} of them, first "
        f"{shown}. Known kinds: {names}. {reason or 'Ask the sender which code wrote the file.'}"
    )
