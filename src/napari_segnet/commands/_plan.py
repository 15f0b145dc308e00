"""A run of ``segment``, checked as far as it can be before an image is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.builtin import weights_path
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.commands._going_on import going_on
from napari_segnet.commands._proof import proven
from napari_segnet.commands._wishes import SETTINGS, Earlier, Wishes
from napari_segnet.commands._zarr import image_stem_of, zarr_place
from napari_segnet.errors import SettingsError, WeightsError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.recognition import family_of, identify
from napari_segnet.settings import settings_from, suggestion

if TYPE_CHECKING:
    from napari_segnet.writers import ZarrPlace

__all__ = ["Plan", "checked_settings", "identified", "make_plan"]

BUILT_IN = "nuclei"
MOST_SAMPLES = 8
"""On which the scale is looked for, see docs/find-settings.md; more change little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run that nothing speaks against.

    Attributes
    ----------
    checkpoint : Checkpoint
        The network.
    images : mapping of str to Path
        By the stem of their results, in order.
    channel_files : mapping of str to tuple of Path
        The files of those images whose channels lie in files of their own, by stem.
    folder : Path
        Where results go.
    axes : str or None
        Overrides what the images' files say.
    predict, label : settings
        How to run it, and how to make labels.
    save_maps, table, overwrite : bool
        Also write what the network says, and measurements of the objects; replace results.
    exports : tuple of str
        Which files for other programs to write.
    earlier : Earlier or None
        The run that is repeated.
    zarr : ZarrPlace or None
        Where the labels go as OME-Zarr.
    kept : mapping of str to list of Path
        The files of results that are there already and stay, by stem.
    resume : bool
        Results of other runs that are the same as of this one stay, also if they come meanwhile.
    as_json : bool
        All is told of each image, also what takes some time to find out.
    samples : tuple of tuple of Path
        The files of up to ``MOST_SAMPLES`` images, spread over the whole run: the same for each of
        its parts, jobs and ends, so that what is found by them is, too.
    """

    checkpoint: Checkpoint
    images: Mapping[str, Path]
    channel_files: Mapping[str, tuple[Path, ...]]
    folder: Path
    axes: str | None
    predict: PredictSettings
    label: LabelSettings
    save_maps: bool
    table: bool
    exports: tuple[str, ...]
    overwrite: bool
    earlier: Earlier | None
    zarr: ZarrPlace | None = None
    kept: Mapping[str, list[Path]] = field(default_factory=dict)
    resume: bool = False
    as_json: bool = False
    samples: tuple[tuple[Path, ...], ...] = ()


def make_plan(
    wishes: Wishes,
    images: Iterable[Path],
    folder: Path,
    *,
    save_maps: bool,
    overwrite: bool,
    table: bool = False,
    exports: str | None = None,
    resume: bool = False,
    part: tuple[int, int] | None = None,
    elsewhere: bool = False,
) -> Plan:
    """Refuse what cannot work; what costs least is looked at first.

    Raises
    ------
    SegnetError
        Whatever speaks against the run, in a sentence.
    """
    from napari_segnet.readers import has_grid
    from napari_segnet.writers import check_outputs, parse_exports

    asked = parse_exports(exports) if exports is not None else ()
    wishes, predict, label, known = _checked(wishes, save_maps, images := [*images])
    by_stem, channel_files, samples = _stems(images, predict.channels, part)
    folder, zarr, by_stem, channel_files = _placed(folder, by_stem, channel_files, wishes.weights)
    check_outputs(
        folder,
        by_stem,
        has_grid,
        overwrite=overwrite or resume,
        save_maps=save_maps,
        table=table,
        exports=asked,
        zarr=zarr,
    )
    checkpoint = known or identified(wishes.weights or BUILT_IN, wishes.overrides)
    # Who works elsewhere loads the network there, perhaps on devices that are not here.
    here = replace(predict, device="cpu", precision="auto") if elsewhere else predict
    _check_settings(checkpoint, here, label)
    # On pictures of the package: the same file is the same network, whichever images it is run on.
    _check_weights(checkpoint := proven(checkpoint).checkpoint, here)
    plan = Plan(
        checkpoint=checkpoint,
        images=by_stem,
        channel_files=channel_files,
        folder=folder,
        axes=wishes.axes,
        predict=predict,
        label=label,
        save_maps=save_maps,
        table=table,
        exports=asked,
        overwrite=overwrite,
        earlier=wishes.earlier,
        zarr=zarr,
        samples=samples,
    )
    return going_on(plan) if resume else plan


def _checked(
    wishes: Wishes, save_maps: bool, images: list[Path]
) -> tuple[Wishes, PredictSettings, LabelSettings, Checkpoint | None]:
    """Return wishes as they are meant, the settings, and the network where it had to be asked."""
    predict, label = checked_settings(wishes)
    if save_maps and predict.maps == "auto":
        # What is written is what the network said, not its half precision.
        wishes = wishes.updated(Wishes(predict={"maps": "float32"}))
    known = _of_cases(wishes, images, predict.channels)
    if known is not None:
        wishes = _as_one_case(wishes, known)
    predict, label = checked_settings(wishes)
    return wishes, predict, label, known


def _as_one_case(wishes: Wishes, network: Checkpoint) -> Wishes:
    """Return the wishes with as many files for each image as the network has channels."""
    numbers = ",".join(map(str, range(network.channels)))
    return wishes.updated(Wishes(predict={"channels": numbers}))


def _of_cases(wishes: Wishes, images: list[Path], channels: str) -> Checkpoint | None:
    """Return a network of nnU-Net whose channels are the files of a case, as they are there."""
    from napari_segnet.prepare.volumes import volume_step
    from napari_segnet.readers import channel_sets, image_paths

    if channels.strip() != "auto" or wishes.weights is None:
        return None
    sets = channel_sets(image_paths(images))
    if not sets:
        return None
    checkpoint = identified(wishes.weights, wishes.overrides)
    fits = volume_step(checkpoint.prepare) is not None
    counts = {len(files) for files in sets.values()}
    return checkpoint if fits and counts == {checkpoint.channels} else None


def _placed(
    output: Path,
    by_stem: dict[str, Path],
    channel_files: dict[str, tuple[Path, ...]],
    weights: str | None,
) -> tuple[Path, ZarrPlace | None, dict[str, Path], dict[str, tuple[Path, ...]]]:
    """Return the folder of the results; where it is named as Zarr, all that follows from it."""
    from napari_segnet.readers import address_of

    if address := address_of(output):
        raise SettingsError(
            f"{address} is an address, and results are written to a disk. Name a folder with -o, "
            "and copy it there."
        )
    if not output.name.lower().endswith(".zarr"):
        return output, None, by_stem, channel_files
    zarr = zarr_place(output, list(by_stem.values()), weights_path(weights or BUILT_IN))
    # The files beside are called like the labels, whatever the one image is called.
    stem = image_stem_of(output)
    ((old, image),) = by_stem.items()
    parts = {stem: channel_files[old]} if old in channel_files else {}
    return output.parent, zarr, {stem: image}, parts


def checked_settings(wishes: Wishes) -> tuple[PredictSettings, LabelSettings]:
    """Return the settings, if their values make sense for any image and any network."""
    from napari_segnet.plan.settings import FIND, SOURCE
    from napari_segnet.prepare import parse_normalizer
    from napari_segnet.prepare.channels import parse_channels
    from napari_segnet.steps.resolve import check

    predict = settings_from(PredictSettings, wishes.predict)
    label = settings_from(LabelSettings, wishes.label)
    if predict.normalize not in ("auto", FIND, SOURCE):
        parse_normalizer(predict.normalize)
    if predict.channels.strip() not in ("auto", FIND):
        parse_channels(predict.channels)
    check(label)
    return predict, label


def identified(weights: str, overrides: Mapping[str, Any]) -> Checkpoint:
    """Recognise a network; an unknown key of ``--set`` is more likely a mistyped setting."""
    path = weights_path(weights).absolute()
    if overrides:
        _refuse_unknown(path, overrides)
    return identify(path, overrides)


def _refuse_unknown(path: Path, overrides: Mapping[str, Any]) -> None:
    try:
        plain = identify(path, source=overrides.get("source"))
    except WeightsError:
        return  # it may be recognised by what is told
    unknown = [key for key in overrides if key not in plain.hparams and key != "source"]
    if not unknown:
        return
    known = [*SETTINGS, *plain.hparams]
    named = ", ".join(f"{key!r}{suggestion(key, known)}" for key in unknown)
    open_yet = ("assumed", "decided")
    can = [n for n, k in plain.known.items() if k.source in open_yet and n in plain.hparams]
    overridable = f" Facts of {family_of(plain).title}: {', '.join(can)}." if can else ""
    raise SettingsError(
        f"There is no setting {named}. Settings of a run: {', '.join(SETTINGS)}.{overridable}"
    )


def _check_settings(checkpoint: Checkpoint, predict: PredictSettings, label: LabelSettings) -> None:
    """Check what depends on the network and the device."""
    from napari_segnet.answers import answer_of
    from napari_segnet.engines import choose_device, kind_for, require_precision

    kind = kind_for(checkpoint, predict.engine)
    device = choose_device(predict.device, kind.devices())
    if predict.precision != "auto":
        require_precision(predict.precision, device, kind.precisions(device))
    advice = checkpoint.card.get("label", {})
    answer_of(checkpoint).settings(label, checkpoint.outputs, advice)


def _check_weights(checkpoint: Checkpoint, predict: PredictSettings) -> None:
    """Read the weights: those that are cut off show now, not after the first image was read."""
    from napari_segnet.engines import kind_for

    kind_for(checkpoint, predict.engine).load(checkpoint, predict.device, predict.threads)


def _stems(
    paths: Iterable[Path], channels: str, part: tuple[int, int] | None
) -> tuple[dict[str, Path], dict[str, tuple[Path, ...]], tuple[tuple[Path, ...], ...]]:
    """Return images by the stem of their results, files of those that have several, and samples.

    ``part``: of K and N, every N-th image, from the K-th on; samples are of all.
    """
    from napari_segnet.prepare.channel_files import joined_files
    from napari_segnet.readers import file_key, has_grid, image_paths, image_stem

    found = image_paths(list(paths))
    sets = joined_files(found, channels)
    parts = {file for files in sets.values() for file in files[1:]}
    stems: dict[str, Path] = {}
    joined: dict[str, tuple[Path, ...]] = {}
    files: dict[str, Path] = {}
    for path in (path for path in found if path not in parts) if parts else found:
        stem = image_stem(path)
        if sets and path in sets:
            stem = stem.rpartition("_")[0]
            joined[stem] = sets[path]
        if (other := files.setdefault(file_key(stem), path)) is not path:
            ending = ".labels.nii.gz" if has_grid(path) else ".labels.tif"
            raise SettingsError(
                f"{other} and {path} would both be written as {stem}{ending}. Segment "
                "them in two runs with different folders (-o)."
            )
        stems[stem] = path
    samples = _spread(stems, joined)
    if part is not None:
        stems = dict(list(stems.items())[part[0] - 1 :: part[1]])
    return stems, joined, samples


def _spread(
    stems: Mapping[str, Path], joined: Mapping[str, tuple[Path, ...]]
) -> tuple[tuple[Path, ...], ...]:
    """Return the files of up to ``MOST_SAMPLES`` images, spread evenly over all."""
    names = list(stems)
    count = min(MOST_SAMPLES, len(names))
    chosen = [names[place * len(names) // count] for place in range(count)]
    return tuple(joined.get(name, (stems[name],)) for name in chosen)
