"""Files that are no weights, whatever their name says, and how each came to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_segnet.containers._types import Tree
from napari_segnet.containers._zip import names
from napari_segnet.errors import BrokenWeightsError

__all__ = ["DAMAGED", "KNOWN", "Damaged"]

_REPLACEMENT = "\ufffd".encode()  # EF BF BD: what text conversion puts for any other byte
_MAX_HEADER = 100_000_000  # as in safetensors_file.py
_WEB_PAGE = re.compile(rb"\s*(?:<!doctype\s+html|<html|<head|<\?xml|<!--)", re.IGNORECASE)
_LFS_SIZE = re.compile(rb"^size (\d+)", re.MULTILINE)
KNOWN = "a file of PyTorch (.pth, .pt, .safetensors), Keras (.h5, .keras) or ONNX (.onnx)"
"""The kinds of files that are opened, in a sentence."""


@dataclass(slots=True)
class Damaged:
    """A damage that is told by the first bytes.

    ``sentence`` may name ``{name}``, ``{size}`` (bytes), ``{first}`` (its first words)
    and ``{known}`` (the kinds of files that are opened).
    """

    name: str
    sentence: str
    looks: Callable[[bytes, Path], bool]

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell from the first bytes."""
        return self.looks(head, path)

    def open(self, path: Path) -> Tree:
        """Raise ``BrokenWeightsError``."""
        with path.open("rb") as file:
            head = file.read(4096)
        size = _LFS_SIZE.search(head)
        raise BrokenWeightsError(
            self.sentence.format(
                name=path.name,
                size=f"{path.stat().st_size:,}",
                wanted=f"{int(size.group(1)[:18]):,} bytes" if size else "larger",
                first=_first_words(head),
                known=KNOWN,
            )
        )


def _first_words(head: bytes) -> str:
    text = head.decode("utf-8", "replace").strip()
    line = text.splitlines()[0] if text else ""
    return "".join(letter for letter in line[:40] if letter.isprintable())


def _pointer(head: bytes, _path: Path) -> bool:
    return head.startswith(b"version https://git-lfs")


def _web_page(head: bytes, _path: Path) -> bool:
    return _WEB_PAGE.match(head) is not None


def _mangled(head: bytes, path: Path) -> bool:
    """Binary bytes, yet valid UTF-8 with replacement characters in it."""
    if _REPLACEMENT not in head or not any(byte < 9 for byte in head):
        return False
    whole = len(head) < 4096
    text = head.decode("utf-8", "ignore" if not whole else "replace")
    return len(text.encode()) >= len(head) - 3


def _cut_zip(head: bytes, path: Path) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not names(head, path)


def _cut_safetensors(head: bytes, _path: Path) -> bool:
    return len(head) == 8 and int.from_bytes(head, "little") <= _MAX_HEADER


def _text(head: bytes, _path: Path) -> bool:
    if any(byte < 9 or 13 < byte < 27 for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(head) - error.start < 4 and len(head) == 4096  # cut within a letter
    return True


def _zeros(head: bytes, _path: Path) -> bool:
    return not any(head)


_AGAIN = "Download or copy it again."

DAMAGED = (
    Damaged("empty", "{name} is empty (0 bytes). " + _AGAIN, lambda head, _path: not head),
    Damaged(
        "git-lfs-pointer",
        "{name} is only a Git-LFS pointer of {size} bytes, not the weights themselves "
        "({wanted}). Run 'git lfs pull' in its repository, or download the file itself.",
        _pointer,
    ),
    Damaged(
        "web-page",
        "{name} is a web page that was saved in place of the weights. Download it again with "
        "the page's download button, or log in first if the page asks for it.",
        _web_page,
    ),
    Damaged(
        "text-conversion",
        "{name} was damaged by text conversion: its bytes were replaced as if it were text "
        "(EF BF BD). This cannot be repaired; download it again in binary mode.",
        _mangled,
    ),
    Damaged(
        "cut-zip",
        "{name} is cut off or damaged: it begins like a file of torch.save (a zip), but the "
        "table of contents at its end is missing; only {size} bytes came. " + _AGAIN,
        _cut_zip,
    ),
    Damaged(
        "cut-safetensors",
        "{name} is cut off: it begins like a safetensors file but ends after {size} bytes. "
        + _AGAIN,
        _cut_safetensors,
    ),
    Damaged("zeros", "{name} holds only zeros: its download or copy failed. " + _AGAIN, _zeros),
    Damaged(
        "text",
        "{name} is a text file (it begins with '{first}'), not a network's weights. "
        "Choose {known}.",
        _text,
    ),
)
