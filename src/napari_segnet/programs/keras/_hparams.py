"""What only the user knows of a network: what Python code does, which output counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Known, Source
from napari_segnet.errors import MissingFactError, SettingsError
from napari_segnet.programs.keras._layers import LAMBDA_WORDS, LAMBDAS
from napari_segnet.programs.keras._model import Layer

__all__ = ["asked_lambda", "asked_output", "choice", "lambdas_of"]

NAMED = 3
"""Layers that a message names."""
TELL = "On the command line: --set {name}={word} (train: --override {name}={word})."


def choice(
    name: str,
    values: tuple[str, ...],
    default: str,
    why: str,
    overrides: Mapping[str, Any],
    known: dict[str, Known],
) -> str:
    if name not in overrides:
        known[name] = Known(source="assumed", why=why)
        return default
    word = str(overrides[name]).strip().lower()
    if word not in values:
        raise SettingsError(
            f"{name} must be {' or '.join(values)}, not {overrides[name]!r}. Correct the setting."
        )
    known[name] = Known(source="told", why="by the user")
    return word


def lambdas_of(
    layers: list[Layer],
    overrides: Mapping[str, Any],
    known: dict[str, Known],
    values: dict[str, str],
) -> dict[str, str]:
    """Return what each ``Lambda`` does: byte code is never run, so it has to be told."""
    own = [layer for layer in layers if layer.kind == "Lambda"]
    if not own:
        return {}
    words = [word.strip().lower() for word in str(overrides.get("lambda", "")).split(",") if word]
    if wrong := [word for word in words if word not in LAMBDAS]:
        raise SettingsError(
            f"lambda must be {' or '.join(LAMBDAS)}, not {wrong[0]!r}. Correct the setting."
        )
    if words and len(words) not in (1, len(own)):
        raise SettingsError(
            f"The network has {len(own)} Lambda layers ({', '.join(one.name for one in own)}), but "
            f"{len(words)} words were told. Give one for all, or one for each, with commas."
        )
    source: Source = "told" if words else "assumed"
    known["lambda"] = Known(source=source, why="by the user" if words else "nobody has said it")
    # Until it is told, whatever else is wrong with the network is found out.
    words = words or ["identity"]
    words = words * len(own) if len(words) == 1 else words
    values["lambda"] = ",".join(dict.fromkeys(words)) if len(set(words)) == 1 else ",".join(words)
    return {layer.name: word for layer, word in zip(own, words, strict=True)}


def asked_lambda(path: Path, version: str, layers: Sequence[str]) -> MissingFactError:
    """Ask what Python code does that is never run: a wrong guess is a wrong map."""
    one = len(layers) == 1
    shown = ", ".join(layers[:NAMED]) + (f" and {len(layers) - NAMED} more" * (len(layers) > NAMED))
    words = ", ".join(f"{word} ({LAMBDA_WORDS[word]})" for word in LAMBDAS)
    return MissingFactError(
        f"{path.name} is a network of Keras {version}".rstrip()
        + f" with {'the layer' if one else 'the layers'} {shown} (Lambda), Python code that is "
        f"never run. Say what {'it does' if one else 'they do, one word each with commas'}: "
        f"lambda={words}. {TELL.format(name='lambda', word='WORD')}",
        name="lambda",
        words=tuple((word, LAMBDA_WORDS[word]) for word in LAMBDAS),
        places=tuple(layers),
    )


def asked_output(
    path: Path, version: str, outputs: Sequence[tuple[str, str]], others: Sequence[str]
) -> MissingFactError:
    """Ask which of several answers is the one: they are not maps of one answer.

    Parameters
    ----------
    path : Path
        The file.
    version : str
        Of Keras.
    outputs : sequence of (str, str)
        Name of each output that can be used, and what it is.
    others : sequence of str
        Names of those that cannot.
    """
    words = ", ".join(f"{name} ({what})" for name, what in outputs)
    rest = f" {', '.join(others)} cannot be used here." if others else ""
    return MissingFactError(
        f"{path.name} is a network of Keras {version}".rstrip()
        + f" with {len(outputs) + len(others)} outputs, of which one is used. Say which: "
        f"output={words}.{rest} {TELL.format(name='output', word='NAME')}",
        name="output",
        words=tuple(outputs),
        places=("output",),
    )
