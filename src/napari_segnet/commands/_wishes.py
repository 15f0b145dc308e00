"""What the user asks for: ``--set``, and files of settings, sorted by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import file_sha256
from napari_segnet.errors import SettingsError
from napari_segnet.image import AXES, Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.plan.settings import ENGINES, FORMER_RUNS
from napari_segnet.settings import field_names
from napari_segnet.steps import FORMERLY

__all__ = ["SETTINGS", "Earlier", "Wishes", "read_wishes", "sort_wishes"]

SETTINGS = ("axes", *field_names(PredictSettings), *field_names(LabelSettings))
"""Every key of a run; any other is a hyper-parameter of the network that is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A run that is to be repeated.

    Attributes
    ----------
    image, engine : mapping
        As in its origin.
    """

    image: Mapping[str, Any]
    engine: Mapping[str, Any]

    def pinned(self, settings: PredictSettings, image: Image) -> PredictSettings:
        """Return settings with what the engine chose then, if this is the image of then.

        Tiles of another size, as other memory allows, differ by rounding: enough to move
        the border of an object by a pixel. What the user set is left as it is.
        """
        seen = {
            "name": image.name,
            "axes": image.axes,
            "shape": [int(n) for n in image.data.shape],
            "dtype": str(image.dtype),
        }
        return self.pinned_as(settings, seen)

    def pinned_as(self, settings: PredictSettings, seen: Mapping[str, Any]) -> PredictSettings:
        """Do the same for an image of which the name, axes, shape and dtype are known."""
        if any(self.image.get(key) != seen.get(key) for key in ("name", "axes", "shape", "dtype")):
            return settings
        edge, batch, exact = (self.engine.get(key) for key in ("tile_px", "batch_size", "exact"))
        pins: dict[str, Any] = {}
        if not settings.tile_px and isinstance(edge, list):
            pins["tile_px"] = tuple(int(e) for e in edge)
            if not settings.batch_size and isinstance(batch, int):
                pins["batch_size"] = batch
            if settings.seams == "auto" and isinstance(exact, bool):
                pins["seams"] = "exact" if exact else "blend"
        if settings.engine == "auto" and self.engine.get("name") in ENGINES:
            pins["engine"] = self.engine["name"]
        return replace(settings, **pins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Keys and values, as typed or as JSON has them.

    Attributes
    ----------
    predict, label : mapping
        By the names of ``PredictSettings`` and ``LabelSettings``.
    overrides : mapping
        Hyper-parameters of the network.
    axes : str or None
        Names of the image's axes, overriding its file.
    weights : str or None
        Path or name of the network.
    earlier : Earlier or None
        The run to be repeated.
    """

    predict: Mapping[str, Any] = field(default_factory=dict)
    label: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    axes: str | None = None
    weights: str | None = None
    earlier: Earlier | None = None

    def updated(self, others: Wishes) -> Wishes:
        """Return these wishes with others on top."""
        return Wishes(
            predict={**self.predict, **others.predict},
            label={**self.label, **others.label},
            overrides={**self.overrides, **others.overrides},
            axes=others.axes or self.axes,
            weights=others.weights or self.weights,
            earlier=others.earlier or self.earlier,
        )


def sort_wishes(values: Mapping[str, Any]) -> Wishes:
    """Sort keys and values.

    Raises
    ------
    SettingsError
        If the axes are not understood.
    """
    runs, labels = field_names(PredictSettings), field_names(LabelSettings)
    rest = [k for k in values if k not in (*SETTINGS, "checkpoint")]
    return Wishes(
        predict={k: v for k, v in values.items() if k in runs},
        label={k: v for k, v in values.items() if k in labels},
        overrides={k: values[k] for k in rest},
        axes=_axes(values.get("axes")),
        weights=_name(values.get("checkpoint")),
    )


def read_wishes(path: Path, weights: str | None = None) -> Wishes:
    """Read a file of settings: the ``.json`` of an earlier run, or a flat object.

    Parameters
    ----------
    path : Path
        The file.
    weights : str, optional
        The network that the user names; otherwise it must be that of the earlier run.

    Raises
    ------
    SettingsError
        If it is no such file, or its network is no longer what it was.
    """
    try:
        content = parsed_json(path.read_text(encoding="utf-8-sig"), file_names=True)
    except OSError as error:
        raise SettingsError(
            f"The settings file {path} cannot be read ({error.strerror or error}). Check its name."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"The settings file {path} is not JSON ({error}). {_EXAMPLE}"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"The settings file {path} holds no JSON object. {_EXAMPLE}")
    if "predict" not in content:
        return sort_wishes(content)
    parts = [content.get(k, {}) for k in ("predict", "label", "checkpoint", "image", "engine")]
    if not all(isinstance(part, dict) for part in parts):
        raise SettingsError(f"The settings file {path} is not whole. {_EXAMPLE}")
    predict, label, checkpoint, image, engine = parts
    overrides = checkpoint.get("told", {})
    if not isinstance(overrides, dict):
        raise SettingsError(f"The settings file {path} is not whole. {_EXAMPLE}")
    return Wishes(
        predict={**FORMER_RUNS, **predict},
        label={**FORMERLY, **label},
        overrides=overrides,
        axes=_axes(image.get("axes_told")),
        weights=None if weights else _same_weights(checkpoint, path),
        earlier=Earlier(image=image, engine=engine),
    )


_EXAMPLE = (
    'Give the .json file that an earlier run wrote beside its labels, or one like {"threshold": '
    "0.4}."
)


def _same_weights(checkpoint: Mapping[str, Any], path: Path) -> str | None:
    """Return the file of an earlier run's weights, wherever the package now has it."""
    recorded, sha256 = checkpoint.get("path"), checkpoint.get("sha256")
    if recorded is None:
        return None
    own = Path(str(recorded))
    for candidate in (own, *builtin_models().values()):
        if candidate.is_file() and file_sha256(candidate) == sha256:
            return str(candidate)
    what = "is no longer the file" if own.exists() else "is not there any more, the file"
    raise SettingsError(
        f"{own} {what} that {path.name} was made with, so the run cannot be repeated. Name the "
        "weights yourself with -c."
    )


def _axes(value: Any) -> str | None:
    if value in (None, "", "auto"):
        return None
    named = str(value).lower()
    known = len(set(named)) == len(named) and set(named) <= set(AXES) and {"y", "x"} <= set(named)
    if not known:
        raise SettingsError(
            f"axes={value} is not understood. Use each of the letters t (time), c (channel), z "
            "(depth), y (row), x (column) at most once, in the order of the file, y and x among "
            "them: for example axes=zyx."
        )
    return named


def _name(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise SettingsError(f"checkpoint={value} is not text. Give a path or the name of a network.")
