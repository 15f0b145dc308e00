"""What nnU-Net says beside the tensors: plans, configuration and labels.

``init_args`` of a checkpoint hold all three, see ``save_checkpoint`` in
https://github.com/MIC-DKFZ/nnUNet/blob/master/nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py
The folder of a training has them as ``plans.json`` and ``dataset.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.checkpoint import Known, Output, PrepareStep
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.prepare.volumes import Scheme, VolumeRecipe

__all__ = ["Plans", "Said", "layer_facts", "plans_of", "said_by_file"]

UM = 1000.0
"""Micrometres in a millimetre: nnU-Net's spacings are those of medical images."""
MOST_PARENTS = 8
"""No configuration inherits from more than two."""
READ = Known(source="read", why="from the plans of nnU-Net")
WITHOUT_SIZE = ("NaturalImage2DIO",)
"""Readers that know no size of pixels."""
TURNING = ("NibabelIOWithReorient",)
"""Readers that turn an image to RAS first."""
NUMBER = re.compile(r"[0-9]{1,9}")
USUAL = "resample_data_or_seg_to_shape"
SCHEMES = {
    "NoNormalization": "none",
    "RescaleTo01Normalization": "min-max",
    "RGBTo01Normalization": "divide-255",
}
FIXED = {**SCHEMES, "ZScoreNormalization": "z-score"}
NONLINEARITIES = {"LeakyReLU": "leaky_relu", "ReLU": "relu", "ELU": "elu", "GELU": "gelu",
                  "SiLU": "silu"}  # fmt: skip
NUMBERS = {"LeakyReLU": ("negative_slope", 0.01), "ELU": ("alpha", 1.0)}
"""Of torch's modules: the argument and its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The three descriptions, as they stand in a checkpoint or beside it.

    Attributes
    ----------
    plans, dataset : mapping
        ``plans.json`` and ``dataset.json``; empty where there is none.
    configuration : str
        Such as ``"3d_fullres"``.
    mirror : tuple of int or None
        The axes along which the training turned images over; None where it is not said.
    trainer : str
        Class of the trainer; empty where it is not said.
    """

    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    configuration: str
    mirror: tuple[int, ...] | None = None
    trainer: str = ""

    @property
    def own(self) -> dict[str, Any]:
        """Return the configuration with what it inherits."""
        every, name = mapping_of(self.plans.get("configurations")), self.configuration
        found: dict[str, Any] = {}
        for _ in range(MOST_PARENTS):
            own = mapping_of(every.get(name))
            found = {**own, **found}
            name = str(own.get("inherits_from", ""))
            if not name:
                break
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What they say of a network.

    Attributes
    ----------
    prepare : tuple of PrepareStep
        Empty where they say nothing that can be done here.
    pixel_size_um : mapping of str to float
        Per axis.
    outputs : tuple of Output
        Empty where they do not say it.
    class_names : tuple of str
        By number, background first.
    card : mapping
        For people, and how labels are made.
    known : mapping of str to Known
        Of these.
    notes : tuple of str
        What differs here.
    """

    prepare: tuple[PrepareStep, ...] = ()
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    class_names: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def mapping_of(value: Any) -> Mapping[Any, Any]:
    """Return a mapping; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def said_by_file(metadata: Mapping[str, Any]) -> Said:
    """Return what stands beside the tensors of a checkpoint."""
    arguments = mapping_of(metadata.get("init_args"))
    axes = metadata.get("inference_allowed_mirroring_axes")
    known = isinstance(axes, list | tuple) and all(isinstance(one, int) for one in axes)
    return Said(
        plans=mapping_of(arguments.get("plans")),
        dataset=mapping_of(arguments.get("dataset_json")),
        configuration=str(arguments.get("configuration", "")),
        mirror=tuple(axes) if known and axes is not None else None,
        trainer=str(metadata.get("trainer_name", ""))[:80],
    )


def layer_facts(said: Said) -> dict[str, Any]:
    """Return what no tensor shows of the layers, by the names of choices."""
    arguments = mapping_of(mapping_of(said.own.get("architecture")).get("arch_kwargs"))
    name = str(arguments.get("nonlin", "")).rpartition(".")[2]
    facts: dict[str, Any] = {}
    if name in NONLINEARITIES:
        facts["nonlinearity"] = NONLINEARITIES[name]
        if name in NUMBERS:
            key, usual = NUMBERS[name]
            number = mapping_of(arguments.get("nonlin_kwargs")).get(key, usual)
            facts["nonlinearity"] += f":{number:g}" if isinstance(number, int | float) else ""
    eps = mapping_of(arguments.get("norm_op_kwargs")).get("eps")
    if isinstance(eps, float):
        facts["norm_eps"] = eps
    if arguments.get("pool") in ("max", "avg"):
        facts["pooling"] = {"max": "max", "avg": "average"}[arguments["pool"]]
    return facts


def plans_of(said: Said, channels: int, ndim: int, outputs: int) -> Plans | None:
    """Return what descriptions say of a network; None where there are no plans.

    Whatever in them is of another form than nnU-Net writes is left out.

    Raises
    ------
    UnsupportedWeightsError
        If the network is the second of a cascade.
    """
    own = said.own
    if not own:
        return None
    if own.get("previous_stage"):
        raise UnsupportedWeightsError(
            f"This network of nnU-Net ({said.configuration}) is the second of a cascade: it takes "
            f"the labels of {str(own['previous_stage'])[:40]} beside the image. Open the folder "
            "of that configuration, or of 3d_fullres, instead."
        )
    known: dict[str, Known] = {}
    notes: list[str] = []
    recipe = _recipe(said, own, channels, ndim, notes)
    how = _how(said, own, channels)
    steps = [PrepareStep(name="normalize", options={"how": how, "over": "volume"})] if how else []
    if recipe is not None:
        steps.append(recipe.to_step())
    if steps:
        sure = recipe is not None or "z-score" not in how
        less = f"{READ.why}, but what it does to images is not all known here"
        known["prepare"] = READ if sure else Known(source="assumed", why=less)
    sizes = _sizes(said, own, ndim)
    if sizes:
        known["pixel_size_um"] = READ
    ends, names = _labels(said.dataset, outputs)
    if ends:
        known |= {"outputs": READ, "class_names": READ}
    if ends and ends[0].paints and not _is_order(said.dataset.get("regions_class_order"), outputs):
        why = "its channels are regions that may overlap, and nothing says which is painted last"
        known["outputs"] = Known(source="assumed", why=why)
        notes.append(f"{why[0].upper()}{why[1:]}: {', '.join(names[1:])}.")
    return Plans(
        prepare=tuple(steps),
        pixel_size_um=sizes,
        outputs=ends,
        class_names=names,
        card=_card(said),
        known=known,
        notes=tuple(notes),
    )


def _order(said: Said) -> tuple[int, ...]:
    order = said.plans.get("transpose_forward")
    good = isinstance(order, list | tuple) and sorted(map(str, order)) == ["0", "1", "2"]
    return tuple(int(axis) for axis in order) if good and order is not None else (0, 1, 2)


def _recipe(
    said: Said, own: Mapping[str, Any], channels: int, ndim: int, notes: list[str]
) -> VolumeRecipe | None:
    """Return how the program shows images, None where it does something that is not known here."""
    schemes = _schemes(said, own, channels)
    window, spacing = own.get("patch_size"), own.get("spacing")
    if schemes is None or not isinstance(window, list | tuple) or len(window) != ndim:
        return None
    if not isinstance(spacing, list | tuple) or len(spacing) < ndim:
        return None
    reader = str(said.plans.get("image_reader_writer", ""))
    unit = "px" if reader in WITHOUT_SIZE else "mm"
    if reader in TURNING:
        notes.append("nnU-Net turns images to RAS for this network; here they stay as stored.")
    mirror = tuple(axis for axis in said.mirror or () if 0 <= axis < ndim)
    pixels, maps = (
        _splines(own, "data", (3, 0), notes),
        _splines(own, "probabilities", (1, 0), notes),
    )
    try:
        return VolumeRecipe(
            schemes=schemes,
            window_px=tuple(int(n) for n in window),
            spacing=tuple(float(n) for n in list(spacing)[-ndim:]),
            unit=unit,
            order=_order(said),
            mirror=mirror,
            pixels_order=pixels,
            maps_order=maps,
            separate=_separate(own),
        )
    except (ValueError, TypeError):
        return None


def _schemes(said: Said, own: Mapping[str, Any], channels: int) -> tuple[Scheme, ...] | None:
    names, masked = own.get("normalization_schemes"), own.get("use_mask_for_norm")
    if not isinstance(names, list | tuple) or len(names) != channels:
        return None
    masks = list(masked) if isinstance(masked, list | tuple) else []
    masks += [False] * (channels - len(masks))
    found = []
    for number, name in enumerate(names):
        numbers = _figures(said.plans, number) if name == "CTNormalization" else ()
        how = "clip-mean-std" if name == "CTNormalization" else FIXED.get(str(name), "")
        if how == "z-score" and masks[number] is True:
            how = "z-score-masked"
        try:
            found.append(Scheme(how=how, numbers=numbers))
        except ValueError:
            return None
    return tuple(found)


def _splines(
    own: Mapping[str, Any], what: str, usual: tuple[int, int], notes: list[str]
) -> tuple[int, int]:
    """Return degrees of splines; the linear ones of torch are those of degree 1."""
    name = own.get(f"resampling_fn_{what}", USUAL)
    options = mapping_of(own.get(f"resampling_fn_{what}_kwargs"))
    if name == USUAL:
        found = options.get("order", usual[0]), options.get("order_z", usual[1])
        good = all(isinstance(one, int) and 0 <= one <= 5 for one in found)
        return (int(found[0]), int(found[1])) if good else usual
    if "torch" in str(name) and options.get("mode", "linear") == "linear":
        return 1, 0
    notes.append(
        f"nnU-Net resamples with {str(name)[:60]}, which is not known here; splines as usual "
        "were taken."
    )
    return usual


def _separate(own: Mapping[str, Any]) -> bool | None:
    wish = mapping_of(own.get("resampling_fn_data_kwargs")).get("force_separate_z")
    return wish if isinstance(wish, bool) else None


def _how(said: Said, own: Mapping[str, Any], channels: int) -> str:
    """Return one normalisation for all channels, as near as can be: for training and tiles."""
    names = own.get("normalization_schemes")
    kinds = set(map(str, names)) if isinstance(names, list | tuple) else set()
    if kinds == {"CTNormalization"} and channels == 1:
        figures = _figures(said.plans, 0)
        if not figures or figures[0] >= figures[1]:
            return ""
        low, high, mean, std = figures
        return f"clip:{low!r},{high!r} then mean-std:{mean!r},{max(std, 1e-8)!r}"
    if len(kinds) > 1:
        return "z-score"
    return FIXED.get(next(iter(kinds), ""), "")


def _figures(plans: Mapping[str, Any], channel: int) -> tuple[float, ...]:
    """Return limits, mean and deviation of the foreground of all training images."""
    rows = mapping_of(
        plans.get("foreground_intensity_properties_per_channel")
        or plans.get("foreground_intensity_properties_by_modality")
    )
    own = mapping_of(rows.get(str(channel), rows.get(channel)))
    names = ("percentile_00_5", "percentile_99_5", "mean", "std")
    numbers = [own.get(name) for name in names]
    if not all(isinstance(one, int | float) for one in numbers):
        return ()
    return tuple(float(one) for one in numbers if one is not None)


def _sizes(said: Said, own: Mapping[str, Any], ndim: int) -> dict[str, float]:
    """Return the size of a voxel by the image's axes."""
    spacing = own.get("spacing")
    if not isinstance(spacing, list | tuple) or len(spacing) < ndim:
        return {}
    spacing = list(spacing)[-ndim:]
    if not all(isinstance(one, int | float) and 0 < one < 1e6 for one in spacing):
        return {}
    if said.plans.get("image_reader_writer") in WITHOUT_SIZE:
        return {}
    axes = [("zyx")[axis] for axis in _order(said)][-ndim:]
    found = {a: float(one) * UM for a, one in zip(axes, spacing, strict=True)}
    return {a: found[a] for a in "zyx" if a in found}


def _labels(dataset: Mapping[str, Any], outputs: int) -> tuple[tuple[Output, ...], tuple[str, ...]]:
    """Return outputs and names of classes by number; nothing where they do not fit."""
    labels = {
        str(name): value
        for name, value in mapping_of(dataset.get("labels")).items()
        if name != "ignore"
    }
    if any(isinstance(value, list | tuple) and len(value) > 1 for value in labels.values()):
        return _regions(labels, dataset.get("regions_class_order"), outputs)
    rows = sorted(
        (int(value), name)
        for name, value in labels.items()
        if isinstance(value, int | str) and NUMBER.fullmatch(str(value))
    )
    if [number for number, _ in rows] != list(range(outputs)) or outputs < 2:
        return (), ()
    ends = (Output(role="class", channels=outputs, activation="softmax"),)
    return ends, tuple(name for _, name in rows)


def _regions(
    labels: Mapping[str, Any], order: Any, outputs: int
) -> tuple[tuple[Output, ...], tuple[str, ...]]:
    """Return an output whose channels may overlap, and paint their numbers one after the other."""
    own = [name for name, value in labels.items() if value not in (0, [0], (0,))]
    if len(own) != outputs:
        return (), ()
    order = order if _is_order(order, outputs) else range(1, outputs + 1)
    names = ["background", *(str(number) for number in range(1, max(order) + 1))]
    for name, number in zip(own, order, strict=True):
        names[number] = name
    ends = (Output(role="class", channels=outputs, activation="sigmoid", paints=tuple(order)),)
    return ends, tuple(names)


def _is_order(order: Any, outputs: int) -> bool:
    """Tell if something is a number of a class for each region."""
    listed = isinstance(order, list | tuple) and len(order) == outputs
    return listed and all(isinstance(one, int) and 0 < one < 2**15 for one in order)


def _card(said: Said) -> dict[str, Any]:
    named = mapping_of(said.dataset.get("channel_names") or said.dataset.get("modality"))
    about = {
        "trainer": said.trainer,
        "configuration": said.configuration,
        "dataset": str(said.plans.get("dataset_name", "")),
        "plans": str(said.plans.get("plans_name", "")),
        "channels": [str(name)[:80] for name in list(named.values())[:64]],
    }
    return {
        "nnunet": {name: value for name, value in about.items() if value},
        # Labels there are classes, also where there is one.
        "label": {"instances": "none"},
    }
