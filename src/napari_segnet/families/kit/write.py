"""Write a trained network back as its file was: names, wrapper, container, kinds of numbers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.atomic import why, write_whole
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import TensorRef, open_tree, open_weights, restored
from napari_segnet.errors import OutputError

if TYPE_CHECKING:
    import torch

__all__ = ["ENDINGS", "write_back"]

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".pytorch", ".tar")
"""Whoever calls a file so will open it with ``torch.load``."""
ENDINGS = (".safetensors", *TORCH_SUFFIXES)
"""Of names under which a network of any family can be written."""
CARD = "napari_segnet_card"
"""Key of our card in the header of a safetensors file."""


def write_back(
    module: torch.nn.Module,
    checkpoint: Checkpoint,
    path: Path,
    *,
    unnamed_is_torch: bool = False,
) -> Checkpoint:
    """Write a network so that the code base its file came from loads it as before.

    Parameters
    ----------
    module : Module
        The network, on the CPU.
    checkpoint : Checkpoint
        What it was before; ``checkpoint.path`` is the file that it came from. Plain values
        beside the tensors (classes, epochs, hyper-parameters) are kept; optimisers and second
        sets of weights, which belong to the old network, are not.
    path : Path
        The file to write, whole or not at all. A name that ends as torch's do is what
        ``torch.save`` writes; any other is safetensors, which has no wrapper.
    unnamed_is_torch : bool
        True: every other name, too, but ``.safetensors``.

    Returns
    -------
    Checkpoint
        With the new path and the way it is stored now.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    tensors, store = _named(module, checkpoint), checkpoint.store
    ending = path.suffix.lower()
    if ending in TORCH_SUFFIXES or (unnamed_is_torch and ending != ".safetensors"):
        root, wrapper = _tree(tensors, checkpoint)
        legacy = store.container == "torch-legacy"
        store = replace(store, container="torch-legacy" if legacy else "torch-zip", wrapper=wrapper)
        write = _torch(root, legacy=legacy)
    else:
        store = replace(store, container="safetensors", wrapper=())
        write = _safetensors(tensors, checkpoint)
    try:  # a mistyped folder should not come into being
        write_whole(path, write, make_folder=False)
    except (OSError, RuntimeError) as error:
        reason = why(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise OutputError(
            f"The network could not be written to {path}: {reason}; nothing was changed there."
        ) from error
    store = replace(store, member="")
    return replace(checkpoint, path=path, store=store, stamp=None, notes=())


def _named(module: torch.nn.Module, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Return the tensors under the names of the file, in the kinds of numbers it had."""
    import torch

    state, store = module.state_dict(), checkpoint.store
    there = _tensors_in(checkpoint)
    named: dict[str, torch.Tensor] = {}
    for file_key, key in store.keys.items():
        if there and file_key not in there:
            continue  # a count of batches, which older files lack
        value = state[key].detach().cpu()
        if file_key in store.layouts:
            layout = store.layouts[file_key]
            shape = tuple(value.shape[layout.order.index(axis)] for axis in range(value.ndim))
            value = restored(value, layout, shape)
        if value.is_floating_point():
            kind = there[file_key].dtype if there else store.dtype
            value = value.to(getattr(torch, kind))
        # Layers may share memory with others; a file should not.
        named[store.prefix + file_key] = value.contiguous().clone()
    return named


def _tensors_in(checkpoint: Checkpoint) -> Mapping[str, TensorRef]:
    store = checkpoint.store
    if not checkpoint.path.is_file():
        return {}
    for weights in open_weights(checkpoint.path, store.member):
        if (weights.wrapper, weights.prefix) == (store.wrapper, store.prefix):
            return weights.tensors
    return {}


def _tree(
    tensors: dict[str, torch.Tensor], checkpoint: Checkpoint
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the content of the new file, and the keys from its top to the tensors."""
    wrapper, member = checkpoint.store.wrapper, checkpoint.store.member
    old = open_tree(checkpoint.path, member).root if checkpoint.path.is_file() else {}
    if all(isinstance(_inside(old, wrapper[:n]), dict) for n in range(len(wrapper) + 1)):
        return _filled(old, wrapper, tensors), wrapper
    if not isinstance(old, dict) or checkpoint.path.is_file():
        # A pickled module cannot be written without its class: its state dict is.
        return tensors, ()
    content: Any = tensors
    for key in reversed(wrapper):
        content = {key: content}
    return content, wrapper


def _inside(tree: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _filled(
    old: Mapping[str, Any], wrapper: tuple[str, ...], tensors: dict[str, torch.Tensor]
) -> dict[str, Any]:
    """Copy a level of the old tree with new tensors in it."""
    new: dict[str, Any] = {}
    for key, value in old.items():
        if wrapper and key == wrapper[0]:
            new[key] = _filled(value, wrapper[1:], tensors)
        elif not wrapper and key in tensors:
            new[key] = tensors[key]
        elif not wrapper and isinstance(value, TensorRef):
            new[key] = value.load()  # a counter, a loss: the original expects it there
        elif _is_plain(value):
            new[key] = value
    if not wrapper:
        new.update({key: value for key, value in tensors.items() if key not in new})
    return new


def _is_plain(value: Any) -> bool:
    """Tell if a value is numbers and text through and through: no tensor, no foreign object."""
    if isinstance(value, Mapping):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


def _torch(root: dict[str, Any], legacy: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import torch

        content = io.BytesIO()
        torch.save(root, content, _use_new_zipfile_serialization=not legacy)
        path.write_bytes(content.getbuffer())

    return write


def _safetensors(
    tensors: dict[str, torch.Tensor], checkpoint: Checkpoint
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        from safetensors.torch import save

        header = {"format": "pt", CARD: json.dumps(dict(checkpoint.card))}
        path.write_bytes(save(tensors, metadata=header))

    return write
