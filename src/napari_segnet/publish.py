"""A network as a model package of bioimage.io, which other programs run.

The package holds TorchScript, traced from the network that was built here, a test image with its
answer, and a description in version 0.5:
https://github.com/bioimage-io/spec-bioimage-io/blob/main/src/bioimageio/spec/model/v0_5.py
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import why, write_whole
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import OutputError
from napari_segnet.families import MapFamily
from napari_segnet.image import Image
from napari_segnet.packages._written_axes import WrittenAxes, shared_px
from napari_segnet.packages.bioimageio import preprocessing
from napari_segnet.plan.input import recipe
from napari_segnet.prepare import fit, parse_normalizer
from napari_segnet.recognition import family_of

if TYPE_CHECKING:
    import torch

__all__ = ["Published", "write_package"]

FORMAT = "0.5.4"
"""Version of the specification."""
TEST_PX = {2: (64, 64), 3: (16, 32, 32)}
"""Least size of the test image, ``([z,] y, x)``."""
SAME = 1e-4
"""Greatest difference of the traced network, relative to its largest value."""
PYTORCH = "2.4"
UNSAFE = re.compile(r"[^\w ()+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A package that was written.

    Attributes
    ----------
    path : Path
        The zip file.
    notes : tuple of str
        What is otherwise there than here, one sentence each.
    """

    path: Path
    notes: tuple[str, ...]


def write_package(
    checkpoint: Checkpoint,
    path: Path,
    *,
    authors: Sequence[str] = (),
    license: str = "",
    cite: str = "",
) -> Published:
    """Write a network as a package of bioimage.io.

    Parameters
    ----------
    checkpoint : Checkpoint
        A network that answers with maps.
    path : Path
        The zip file; written whole or not at all.
    authors : sequence of str, optional
        Names; without, those on the card.
    license : str, optional
        An SPDX identifier such as ``"CC-BY-4.0"``; without, that on the card.
    cite : str, optional
        A DOI or an address of the web; without, what the card cites.

    Raises
    ------
    OutputError
        If the specification has no place for the network or its preparation, if it needs what
        neither the card nor you say, or the disk refuses.
    """
    family = _map_family(checkpoint)
    about = _about(checkpoint, authors, license, cite)
    how, over = recipe(checkpoint)
    steps, notes = preprocessing(how, over, checkpoint.ndim, checkpoint.channels)
    made = _traced(checkpoint, family)
    axes = WrittenAxes(checkpoint, made.any_size, made.given.shape[2:])
    if not made.any_size:
        shown = " x ".join(map(str, made.given.shape[2:]))
        notes += (
            f"The package takes images of {shown} pixels only: traced, this network does not "
            "follow the size of the image.",
        )
    files = {
        "weights.pt": made.script,
        "test_input.npy": _npy(made.image),
        "test_output.npy": _npy(made.answer),
        "README.md": _readme(about).encode(),
    }
    files["rdf.yaml"] = _yaml({**about, **_tensors(checkpoint, axes, steps, files)})
    _write(path, files)
    return Published(path=path, notes=notes)


# ---- The description -------------------------------------------------------------------


def _map_family(checkpoint: Checkpoint) -> MapFamily:
    family = family_of(checkpoint)
    if isinstance(family, MapFamily):
        return family
    raise OutputError(
        f"{checkpoint.path.name} answers with objects, for which bioimage.io has no outputs. "
        "Only networks that answer with maps are written as packages."
    )


def _tensors(
    checkpoint: Checkpoint, axes: WrittenAxes, steps: Sequence[Any], files: dict[str, bytes]
) -> dict[str, Any]:
    """Return what the package says of images, maps and weights."""
    return {
        "format_version": FORMAT,
        "type": "model",
        "documentation": "README.md",
        "inputs": [
            {
                "id": "image",
                "axes": axes.inputs(),
                "data": {"type": "float32"},
                "test_tensor": _file(files, "test_input.npy"),
                "preprocessing": steps,
            }
        ],
        "outputs": [
            {
                "id": "maps",
                "axes": axes.outputs(),
                "data": {"type": "float32"},
                "test_tensor": _file(files, "test_output.npy"),
                "postprocessing": _postprocessing(checkpoint),
            }
        ],
        "weights": {
            "torchscript": {**_file(files, "weights.pt"), "pytorch_version": PYTORCH},
        },
    }


def _about(
    checkpoint: Checkpoint, authors: Sequence[str], license: str, cite: str
) -> dict[str, Any]:
    card = checkpoint.card
    names = list(authors) or [name for name in card.get("authors", []) if isinstance(name, str)]
    terms = license or str(card.get("license", ""))
    if not names or not terms:
        lacks = " and ".join(
            word for word, there in (("an author", names), ("a license", terms)) if not there
        )
        raise OutputError(
            f"A package of bioimage.io names {lacks}, and {checkpoint.path.name} does not say it. "
            "Add --author NAME --license ID, for example CC-BY-4.0."
        )
    name = UNSAFE.sub(" ", str(card.get("name") or checkpoint.path.stem)).strip()
    entries = _citations(checkpoint, cite)
    return {
        "name": f"network {name}"[:120] if len(name) < 5 else name[:120],
        "description": str(card.get("description") or f"Segmentation network {name}")[:1000],
        "authors": [{"name": _plain(one)} for one in names],
        "license": terms,
        "cite": entries,
        "tags": ["segmentation", "pytorch"],
    }


def _plain(name: str) -> str:
    """Return a name without slashes, which the specification does not allow in it."""
    return name.replace("/", " ").replace("\\", " ")[:120]


def _citations(checkpoint: Checkpoint, cite: str) -> list[dict[str, str]]:
    texts = [cite] if cite else [str(one) for one in checkpoint.card.get("cite", [])]
    found = []
    for text in texts:
        doi = re.search(r"10\.\d{4,9}/\S+", text)
        url = re.search(r"https?://\S+", text)
        words = text[:300]
        if doi is not None:
            found.append({"text": words, "doi": doi.group().rstrip(".,;")})
        elif url is not None:
            found.append({"text": words, "url": url.group().rstrip(".,;")})
    if not found:
        raise OutputError(
            f"A package of bioimage.io cites a publication, and {checkpoint.path.name} names none "
            "with a DOI or an address. Add --cite, for example 10.1007/978-3-319-24574-4_28 (the "
            "U-Net)."
        )
    return found


def _postprocessing(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    if len(checkpoint.outputs) != 1:
        return []  # each has its own: they are in the traced network
    activation = checkpoint.outputs[0].activation
    if activation == "sigmoid":
        return [{"id": "sigmoid"}]
    return [{"id": "softmax", "kwargs": {"axis": "channel"}}] if activation == "softmax" else []


def _readme(about: dict[str, Any]) -> str:
    name, what = about["name"], about["description"]
    return f"# {name}\n\n{what}\n\n## Validation\n\nCompare its answer with test_output.npy.\n"


def _yaml(content: dict[str, Any]) -> bytes:
    import yaml

    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text.encode()


def _file(files: dict[str, bytes], name: str) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def _npy(array: npt.NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _write(path: Path, files: dict[str, bytes]) -> None:
    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    try:  # a mistyped folder should not come into being
        write_whole(path, write, make_folder=False)
    except OSError as error:
        raise OutputError(
            f"The package could not be written to {path}: {why(error)}; nothing was changed there."
        ) from error


# ---- The network -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Traced:
    """The network as TorchScript, and what it answers to a test image.

    Attributes
    ----------
    script : bytes
        TorchScript.
    image, given, answer : ndarray
        ``(1, c, [z,] y, x)`` float32: the image, the same prepared, the maps.
    any_size : bool
        Whether it follows the size of the image.
    """

    script: bytes
    image: npt.NDArray[np.float32]
    given: npt.NDArray[np.float32]
    answer: npt.NDArray[np.float32]
    any_size: bool


def _traced(checkpoint: Checkpoint, family: MapFamily) -> _Traced:
    import torch

    from napari_segnet.engines.torch import load

    module = load(checkpoint, device="cpu").module
    outputs = checkpoint.outputs

    class Whole(torch.nn.Module):
        """The network with the activations that the description has no place for."""

        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            maps = family.maps(self.network, batch)
            return maps if len(outputs) == 1 else _activated(maps, checkpoint, inside=True)

    whole = Whole().eval()
    image = _test_image(checkpoint, 0)
    given = _given(checkpoint, image)
    with warnings.catch_warnings(), torch.inference_mode():
        # Of tracing: sizes that become numbers are looked for below, by another size.
        warnings.simplefilter("ignore")
        script = torch.jit.trace(  # type: ignore[no-untyped-call]
            whole, (torch.from_numpy(given),), check_trace=False
        )
        content = io.BytesIO()
        torch.jit.save(script, content)
        raw = whole(torch.from_numpy(given))
        other = torch.from_numpy(_given(checkpoint, _test_image(checkpoint, 1)))
        any_size = _same(script, whole, other)
        if not _same(script, whole, torch.from_numpy(given)):
            raise OutputError(
                f"{checkpoint.path.name} answers otherwise once it is traced, so no package can "
                "hold it. Use its own file."
            )
        answer = raw if len(outputs) != 1 else _activated(raw, checkpoint, inside=False)
    return _Traced(
        script=content.getvalue(),
        image=image,
        given=given,
        answer=answer.numpy().astype(np.float32),
        any_size=any_size,
    )


def _activated(maps: torch.Tensor, checkpoint: Checkpoint, *, inside: bool) -> torch.Tensor:
    """Return maps after the activations; of a single output those that other programs do."""
    import torch

    kinds = {
        "none": lambda part: part,
        "sigmoid": torch.sigmoid,
        "softmax": lambda part: torch.softmax(part, dim=1),
        "tanh": torch.tanh if inside else lambda part: part,
    }
    parts, first = [], 0
    for output in checkpoint.outputs:
        parts.append(kinds[output.activation](maps[:, first : first + output.channels]))
        first += output.channels
    return torch.cat(parts, dim=1)


def _same(script: Any, whole: torch.nn.Module, given: torch.Tensor) -> bool:
    """Tell if the traced network answers as the network does."""
    try:
        found = script(given)
    except RuntimeError:
        return False  # a size that became a number
    expected = whole(given)
    if found.shape != expected.shape:
        return False
    return float((found - expected).abs().max()) <= SAME * max(1.0, float(expected.abs().max()))


def _test_image(checkpoint: Checkpoint, steps: int) -> npt.NDArray[np.float32]:
    """Return ``(1, c, [z,] y, x)``: smooth bright spots on noise, 0 to 255; larger by steps."""
    from scipy.ndimage import gaussian_filter

    size = checkpoint.size.steady()
    wanted = [
        max(least, 2 * edge + 8)
        for least, edge in zip(TEST_PX[checkpoint.ndim], shared_px(checkpoint), strict=True)
    ]
    shape = size.next_allowed(tuple(wanted))
    # Axes grow by different numbers of steps: one taken for another would show.
    shape = tuple(n + steps * m * (k + 1) for k, (n, m) in enumerate(zip(shape, size.multiple,
                  strict=True)))  # fmt: skip
    random = np.random.default_rng(0)
    spots = random.random((checkpoint.channels, *shape)) ** 8
    smooth = gaussian_filter(spots, (0, *(2.0,) * checkpoint.ndim))
    smooth += 0.1 * smooth.mean() * random.random(smooth.shape)
    whole: npt.NDArray[np.float32] = np.round(255 * smooth / smooth.max()).astype(np.float32)
    return whole[np.newaxis]


def _given(checkpoint: Checkpoint, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the image as the network gets it, ``(1, c, [z,] y, x)``."""
    how, over = recipe(checkpoint)
    image = Image(data=pixels[0], axes="c" + "zyx"[-checkpoint.ndim :], name="test image")
    channels = tuple(range(checkpoint.channels))
    fitted = fit(image, channels, parse_normalizer(how), over)
    given = np.empty_like(pixels)
    for c in channels:
        if checkpoint.ndim == 2:
            fitted.affines()[c].apply(pixels[0, c], given[0, c])
            continue
        for z in range(pixels.shape[2]):
            fitted.affines(0, z)[c].apply(pixels[0, c, z], given[0, c, z])
    return given
