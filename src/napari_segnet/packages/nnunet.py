"""Folders of nnU-Net version 2: ``plans.json`` and ``dataset.json`` beside folders of folds.

https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/how_to_use_nnunet.md. The
checkpoints of all folds are one ensemble; a checkpoint that is named itself is run alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import PackageFiles
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.packages._types import Member, Package
from napari_segnet.packages._yaml import read_mapping
from napari_segnet.programs.library.plans import Said, plans_of

__all__ = ["Nnunet"]

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth")
"""As ``nnUNetv2_predict`` takes them; the first that all folds have."""
FOLD = re.compile(r"fold_(\d+|all)")


class Nnunet:
    """The kind of package; see the module's docstring."""

    name = "nnunet"
    title = "Training folder of nnU-Net"
    descriptions: tuple[str, ...] = (PLANS,)

    def describes(self, name: str) -> bool:
        """Tell by the name of its plans."""
        return name == PLANS

    def detect(self, files: PackageFiles) -> bool:
        """Tell by the names of plans and labels, at the top or in one folder below."""
        return bool(_roots(files))

    def read(self, files: PackageFiles, description: str) -> Package:
        """Read plans and labels; see :class:`~napari_segnet.packages.PackageKind`."""
        root = _the_root(files)
        plans = read_mapping(files.read(root + PLANS), PLANS, files.path.name)
        dataset = read_mapping(files.read(root + DATASET), DATASET, files.path.name)
        which, names, notes = _checkpoints(files, root)
        adding = _Adding(plans, dataset)
        return Package(
            files=files,
            title=f"{self.title} ({plans.get('dataset_name', files.path.name)})",
            description=root + PLANS,
            members=tuple(Member(name=name, what=which) for name in names),
            ensemble=True,
            adds=adding.added,
            notes=notes,
        )


def _roots(files: PackageFiles) -> list[str]:
    """Return the folders in it that are trainings: ``""``, or names that end with a slash."""
    tops = {name.removesuffix(PLANS) for name in files.names if name.rpartition("/")[2] == PLANS}
    return sorted(top for top in tops if top + DATASET in files.names and top.count("/") <= 1)


def _the_root(files: PackageFiles) -> str:
    roots = _roots(files)
    if not roots:
        raise UnsupportedWeightsError(
            f"{PLANS} of nnU-Net stands alone in {files.path.name}: {DATASET}, which says what the "
            "labels are, is not beside it. Copy it there from the folder of the training."
        )
    if len(roots) > 1:
        shown = ", ".join(root.rstrip("/") for root in roots)
        raise UnsupportedWeightsError(
            f"{files.path.name} holds several trainings of nnU-Net: {shown}. Open one of them."
        )
    return roots[0]


def _checkpoints(files: PackageFiles, root: str) -> tuple[str, list[str], tuple[str, ...]]:
    """Return the checkpoints of all folds, what they are called, and what to say of them."""
    folds: dict[str, set[str]] = {}
    for name in files.names:
        fold, _, file = name.removeprefix(root).partition("/")
        if name.startswith(root) and FOLD.fullmatch(fold) and file in CHECKPOINTS:
            folds.setdefault(fold, set()).add(file)
    for which in CHECKPOINTS:
        having = sorted((fold for fold, own in folds.items() if which in own), key=_number)
        # As there: fold_all, trained on everything, is no part of an ensemble.
        chosen = [fold for fold in having if fold != "fold_all"] or having
        if not chosen:
            continue
        notes = []
        if len(chosen) > 1:
            notes.append(f"{len(chosen)} folds are averaged: {', '.join(chosen)}.")
        if which != CHECKPOINTS[0]:
            notes.append(f"No fold has {CHECKPOINTS[0]}, so {which} is taken.")
        left = sorted(set(folds) - set(having), key=_number)
        if left:
            notes.append(f"Without {which}, and left out: {', '.join(left)}.")
        return which, [f"{root}{fold}/{which}" for fold in chosen], tuple(notes)
    raise UnsupportedWeightsError(
        f"{files.path.name} is a training of nnU-Net, but holds no weights: no folder fold_0, "
        f"fold_1, ... has {' or '.join(CHECKPOINTS)}. Copy the folds as well."
    )


def _number(fold: str) -> tuple[int, str]:
    word = fold.rpartition("_")[2]
    return (int(word), "") if word.isdigit() else (10**6, word)


class _Adding:
    """Puts on a checkpoint what its folder says, in place of what the file itself repeats."""

    def __init__(self, plans: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
        self._plans, self._dataset = plans, dataset

    def added(self, checkpoint: Checkpoint) -> Checkpoint:
        own: Any = checkpoint.card.get("nnunet", {})
        name = self._configuration(str(own.get("configuration", "")), checkpoint)
        said = Said(
            plans=self._plans,
            dataset=self._dataset,
            configuration=name,
            mirror=_mirror(checkpoint),
            trainer=str(own.get("trainer", "")),
        )
        outputs = sum(output.channels for output in checkpoint.outputs)
        found = plans_of(said, checkpoint.channels, checkpoint.ndim, outputs)
        if found is None:
            return checkpoint
        changes: dict[str, Any] = {
            name: value
            for name in ("prepare", "pixel_size_um", "outputs", "class_names")
            if (value := getattr(found, name))
        }
        return replace(
            checkpoint,
            **changes,
            card={**checkpoint.card, **found.card},
            known={**checkpoint.known, **found.known},
            notes=tuple(dict.fromkeys((*checkpoint.notes, *found.notes))),
        )

    def _configuration(self, own: str, checkpoint: Checkpoint) -> str:
        """Return the file's own word, else the one configuration that fits the network."""
        every: Any = self._plans.get("configurations")
        if not isinstance(every, Mapping) or own in every:
            return own
        fitting = [name for name in every if _ndim(every, name) == checkpoint.ndim]
        return str(fitting[0]) if len(fitting) == 1 else own


def _ndim(every: Mapping[str, Any], name: str) -> int:
    size = every[name].get("patch_size") if isinstance(every[name], Mapping) else None
    return len(size) if isinstance(size, Sequence) else 0


def _mirror(checkpoint: Checkpoint) -> tuple[int, ...] | None:
    """Return the axes that the file itself says."""
    step = next((one for one in checkpoint.prepare if one.name == "volume"), None)
    return tuple(step.options["mirror"]) if step is not None else None
