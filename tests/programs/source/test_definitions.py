"""Definitions beside weights become the graph of the very network."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from support.definitions import (
    GATED,
    LOOPS,
    MOBILE,
    NAMES,
    NOISY,
    PLACES,
    RESIDUAL,
    SIZES,
    TWO_AS_ONE,
    answer,
    saved,
)

from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.programs.source import _search, program
from napari_segnet.programs.source._budget import Budget
from napari_segnet.recognition import identify

STRANGE = NAMES.replace("double(in_channels, width)", "double(in_channels, torch.randint(width))")
"""A network whose widths no reading tells."""
MOBILE_V2 = (
    MOBILE.replace("v3_small", "v2")
    .replace("factor=8", "factor=16")
    .replace("factor=4", "factor=2")
)


def _read(folder: Path, text: str, name: str = "unet.py") -> None:
    (folder / name).write_text(text, encoding="utf8")


@pytest.mark.parametrize(
    ("text", "call", "shape"),
    [
        (NAMES, "Small(1, 2, 6)", (1, 32, 48)),
        (LOOPS, "Looped(3, 1, [6, 10, 14])", (3, 32, 48)),
        (LOOPS, "Looped(3, 1, [6, 10, 14])", (3, 38, 50)),
        (SIZES, "Padded()", (1, 32, 48)),
        (RESIDUAL, "Encoded(2)", (3, 64, 96)),
        (PLACES, "Unpooled(1, 2)", (1, 32, 48)),
        (GATED, "Gated()", (1, 32, 48)),
        (MOBILE, "Mobile(2)", (3, 64, 96)),
        (MOBILE_V2, "Mobile(2)", (3, 64, 96)),
        (NOISY, "Noisy()", (1, 32, 48)),
    ],
)
def test_graph_answers_as_the_module(
    tmp_path: Path, text: str, call: str, shape: tuple[int, ...]
) -> None:
    image, expected = saved(text, call, tmp_path, shape)
    _read(tmp_path, text)
    checkpoint = identify(tmp_path / "net.pth")
    assert checkpoint.program == "source"
    found = answer(checkpoint, image, torch.load(tmp_path / "net.pth"))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-3 * expected.std()


LISTED = """
import torch.nn as nn
import torch.nn.functional as F


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 3, 1)

    def forward(self, x):
        x = self.last(F.relu(self.first(x)))
        END
"""


@pytest.mark.parametrize(
    ("end", "is_last"),
    [
        ("return F.softmax(x.permute(0, 2, 3, 1).contiguous().view(-1, 3))", True),
        ("y = x.permute(0, 2, 3, 1); return F.softmax(y.reshape(y.numel() // 3, 3), 1)", True),
        ("return F.log_softmax(x.flatten(2), dim=1)", False),
    ],
)
@pytest.mark.filterwarnings("ignore:Implicit dimension")
def test_an_answer_that_lists_pixels_is_the_map_of_them(
    tmp_path: Path, end: str, is_last: bool
) -> None:
    text = LISTED.replace("END", end)
    image, expected = saved(text, "Listed()", tmp_path, (1, 24, 32))
    _read(tmp_path, text)
    checkpoint = identify(tmp_path / "net.pth")
    assert checkpoint.program == "source"
    found = answer(checkpoint, image, torch.load(tmp_path / "net.pth"))
    listed = found.permute(0, 2, 3, 1) if is_last else found
    assert found.shape == (1, 3, 24, 32)
    assert (listed.reshape(expected.shape) - expected).abs().max() < 1e-3 * expected.std()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (
            "return F.softmax(x.permute(0, 3, 2, 1).contiguous().view(-1, 3), 1)",
            "takes an image of 2 axes",
        ),
        ("return F.softmax(x.flatten(2))", "softmax over the images of a batch"),
    ],
)
@pytest.mark.filterwarnings("ignore:Implicit dimension")
def test_pixels_in_another_order_and_a_softmax_over_images_are_refused(
    tmp_path: Path, end: str, why: str
) -> None:
    text = LISTED.replace("END", end)
    saved(text, "Listed()", tmp_path, (1, 24, 32))
    _read(tmp_path, text)
    with pytest.raises(UnsupportedWeightsError, match=why):
        identify(tmp_path / "net.pth", {"source": str(tmp_path / "unet.py")})


OTHER = """

class Other{n}(nn.Module):
    def __init__(self, classes=2, width=7, depth=3, kernel=1):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.steps = nn.Sequential(*[nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)])
        self.more{n} = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(width, classes, kernel)

    def forward(self, x):
        return self.last(self.more{n}(self.steps(self.first(x))))
"""
BY_A_TEXT = """

class Own(nn.Module):
    def __init__(self, encoder="light", classes=2):
        super().__init__()
        if encoder == "light":
            widths = [4]
        elif encoder == "middle":
            widths = [8, 8]
        elif encoder == "heavy":
            widths = [6, 6, 6]
        self.first = nn.Conv2d(1, widths[0], 3, padding=1)
        self.steps = nn.Sequential(*[nn.Conv2d(n, n, 3, padding=1) for n in widths])
        self.last = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        return self.last(self.steps(self.first(x)))
"""


def test_the_name_of_an_encoder_is_tried_before_numbers_of_other_classes(tmp_path: Path) -> None:
    others = "".join(OTHER.format(n=n) for n in range(4))
    text = f"import torch.nn as nn\n{others}{BY_A_TEXT}"
    saved(text, 'Own("heavy", 3)', tmp_path, (1, 16, 16))
    _read(tmp_path, text)
    checkpoint = identify(tmp_path / "net.pth")
    assert (checkpoint.hparams["class"], checkpoint.hparams["encoder"]) == ("Own", "heavy")
    assert checkpoint.classes == 3
    assert checkpoint.known["encoder"].source == "read"


def test_numbers_that_neighbours_prove_are_not_compared_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"import torch.nn as nn\n{OTHER.format(n=0)}"
    saved(text, "Other0()", tmp_path, (1, 16, 16))
    _read(tmp_path, text)
    tried: list[int] = []
    score = _search._Search.score
    monkeypatch.setattr(
        _search._Search,
        "score",
        lambda search, one, values: (
            tried.append(values.get("width", 7)),
            score(search, one, values),
        )[1],
    )
    checkpoint = identify(tmp_path / "net.pth")
    assert checkpoint.known["width"].source == "read"
    assert {6, 8} <= set(tried) <= {6, 7, 8}


def test_arguments_say_how_they_are_known(tmp_path: Path) -> None:
    saved(NAMES, "Small(3, 4, 6)", tmp_path, (3, 16, 16))
    _read(tmp_path, NAMES)
    checkpoint = identify(tmp_path / "net.pth")
    assert (checkpoint.hparams["in_channels"], checkpoint.hparams["width"]) == (3, 6)
    assert checkpoint.known["width"].source == "read"
    assert checkpoint.known["average"].source == "assumed"
    told = identify(tmp_path / "net.pth", {"average": "true"})
    assert told.known["average"].source == "told"
    assert told.hparams["graph"] != checkpoint.hparams["graph"]


def test_calls_in_the_code_are_read(tmp_path: Path) -> None:
    saved(NAMES, "Small(1, 2, 6, average=True)", tmp_path, (1, 16, 16))
    _read(tmp_path, NAMES)
    _read(tmp_path, "from unet import Small\nnet = Small(1, 2, 6, average=True)\n", "predict.py")
    checkpoint = identify(tmp_path / "net.pth")
    assert checkpoint.hparams["average"] is True
    assert checkpoint.known["average"].why == "in the call, line 2 of predict.py"


def test_notebook_and_told_source(tmp_path: Path) -> None:
    image, expected = saved(LOOPS, "Looped(3, 1, [6, 10, 14])", tmp_path, (3, 16, 16))
    other = tmp_path / "code"
    other.mkdir()
    cells = [
        {"cell_type": "markdown", "source": ["# words"]},
        {"cell_type": "code", "source": ["!pip install torch\n", "%matplotlib inline"]},
        {"cell_type": "code", "source": LOOPS.splitlines(keepends=True)},
    ]
    (other / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf8")
    checkpoint = identify(tmp_path / "net.pth", source=other / "a.ipynb")
    found = answer(checkpoint, image, torch.load(tmp_path / "net.pth"))
    assert (found - expected).abs().max() < 1e-4
    assert checkpoint.known["source"].source == "told"
    assert "cell 3, line" in checkpoint.known["graph"].why


def test_code_of_another_version_is_named(tmp_path: Path) -> None:
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    _read(tmp_path, NAMES.replace("self.third", "self.fourth"))
    checkpoint = identify(tmp_path / "net.pth")
    assert checkpoint.program == "structure"
    assert any("the file lacks fourth.0.weight" in note for note in checkpoint.notes)
    with pytest.raises(UnsupportedWeightsError, match=r"is not the network of net\.pth"):
        identify(tmp_path / "net.pth", source=tmp_path / "unet.py")


@pytest.mark.parametrize("told", [True, False])
def test_of_several_files_that_which_was_told_is_named(tmp_path: Path, told: bool) -> None:
    """A network beside it that has more of the names is another one; what is told is not read."""
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    _read(tmp_path, STRANGE.replace("Small", "Mine"), "mine.py")
    _read(tmp_path, NAMES.replace("self.third", "self.fourth"), "other.py")
    if told:
        with pytest.raises(UnsupportedWeightsError, match=r"Mine \(line .* of mine\.py"):
            identify(tmp_path / "net.pth", source=tmp_path / "mine.py")
    else:
        notes = identify(tmp_path / "net.pth").notes
        assert any("of other.py) is not the network" in note for note in notes), notes


@pytest.mark.parametrize("called", [True, False])
def test_of_two_classes_with_the_same_tensors_one_is_assumed(tmp_path: Path, called: bool) -> None:
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    swapped = NAMES.replace("[self.up(b), a]", "[a, self.up(b)]").replace("Small", "Swapped")
    call = "net = Small(1, 2, 6)\n" if called else ""
    _read(tmp_path, NAMES.replace("width=8", "width=6") + call, "net.py")
    _read(tmp_path, swapped.replace("width=8", "width=6"), "other.py")
    _read(tmp_path, NAMES.replace("width=8", "width=6"), "the_same.py")
    found = identify(tmp_path / "net.pth").known
    known = found["class"]
    assert known.source == found["graph"].source == ("read" if called else "assumed")
    if not called:
        assert found["halo_px"].source == "assumed"
        assert "Swapped (" in known.why
        assert "the_same" not in known.why
    told = identify(tmp_path / "net.pth", overrides={"class": "Swapped"})
    assert told.hparams["class"] == "Swapped"
    assert told.known["class"].source == "told"
    assert told.known["graph"].source == "read"


def test_many_other_networks_beside_it_do_not_use_up_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments of the network whose names fit are looked for before other files are read."""
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    _read(tmp_path, NAMES, "net.py")
    place = NAMES.index("        self.first")
    slow = NAMES[:place] + "        for n in range(500): width = width + 0\n" + NAMES[place:]
    for number in range(12):
        _read(tmp_path, slow.replace("Small", f"Other{number}"), f"other{number}.py")
    monkeypatch.setattr(program, "Budget", partial(Budget, steps=20_000))
    monkeypatch.setattr(_search, "MOST_STEPS", 20_000)
    checkpoint = identify(tmp_path / "net.pth")
    assert checkpoint.program == "source", checkpoint.notes
    assert checkpoint.hparams["class"] == "Small"
    assert checkpoint.known["width"].source == "read"


def test_of_several_files_none_of_which_fits_the_first_is_named(tmp_path: Path) -> None:
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    for name in ("net.py", "model.py", "a.py"):
        _read(tmp_path, STRANGE.replace("Small", name[:-3].title()), name)
    (note,) = [n for n in identify(tmp_path / "net.pth").notes if "is not the network" in n]
    assert note.startswith("Net (") and "of net.py)" in note, note


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("b = F.dropout(b, 0.3, training=self.training)", "b = b[b > 0]", "line 32 of unet.py"),
        ("b = F.dropout(b, 0.3, training=self.training)", "b = torch.fft.fft2(b)", "line"),
        ("if average else nn.MaxPool2d(2)", "if average else nn.FractionalMaxPool2d(2)", "line"),
        # A window as large as the map that sees a margin, or divides by another number.
        ("b = F.dropout(b, 0.3,", "b = b * F.max_pool2d(b, b.shape[2:], 9, 1); dict(", "line 32"),
        ("b = F.dropout(b, 0.3,", "b = b * F.avg_pool2d(b, b.shape[2:], 9, 1); dict(", "line 32"),
        (
            "b = F.dropout(b, 0.3, training=self.training)",
            "b = b * F.avg_pool2d(b, b.shape[2:], divisor_override=7)",
            "line 32",
        ),
        (
            "        b = F.dropout",
            "        if x.mean() > 0: b = b * 2\n        b = F.dropout",
            "line",
        ),
    ],
)
def test_what_is_not_read_is_named_by_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    assert old in NAMES
    _read(tmp_path, NAMES.replace(old, new))
    with pytest.raises(UnsupportedWeightsError, match=message):
        identify(tmp_path / "net.pth", source=tmp_path / "unet.py")


def test_what_is_left_out_of_the_answer_is_said(tmp_path: Path) -> None:
    saved(NOISY, "Noisy()", tmp_path, (1, 16, 16))
    _read(tmp_path, NOISY)
    (note,) = [n for n in identify(tmp_path / "net.pth").notes if "answers" in n]
    assert re.fullmatch(r"Its forward answers with more than main, which .*\(line \d+ .*", note)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        return main, other", "        main.mul_(2)\n        return main, other"),
        ("        return main, other", "        return other, main"),
        ("        main = self.last(whole)", "        same = main = self.last(whole)"),
        ("        return main, other", "        if n: return main, other\n        return main"),
    ],
)
def test_an_answer_that_may_change_yet_is_not_taken(tmp_path: Path, old: str, new: str) -> None:
    saved(NOISY, "Noisy()", tmp_path, (1, 16, 16))
    assert old in NOISY
    _read(tmp_path, NOISY.replace(old, new))
    with pytest.raises(UnsupportedWeightsError, match="is not read"):
        identify(tmp_path / "net.pth", source=tmp_path / "unet.py")


def test_a_decorator_that_changes_a_class_is_not_read(tmp_path: Path) -> None:
    saved(NOISY, "Noisy()", tmp_path, (1, 16, 16))
    _read(tmp_path, NOISY.replace("        return kind\n", "        return type(kind)\n"))
    with pytest.raises(UnsupportedWeightsError, match="Noisy is decorated by code of the file"):
        identify(tmp_path / "net.pth", source=tmp_path / "unet.py")


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("from nets.parts import blocks", "blocks.double("),
        ("import nets.parts.blocks", "nets.parts.blocks.double("),
    ],
)
def test_a_folder_without_init_is_a_package(tmp_path: Path, line: str, call: str) -> None:
    head, rest = NAMES.split("class Small", 1)
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    (tmp_path / "nets" / "parts").mkdir(parents=True)
    _read(tmp_path, head, "nets/parts/blocks.py")
    imports = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
    text = f"{imports}{line}\n\nclass Small{rest}"
    _read(tmp_path, text.replace("= double(", f"= {call}"))
    checkpoint = identify(tmp_path / "net.pth")
    assert (checkpoint.program, checkpoint.hparams["width"]) == ("source", 6)


def test_two_classes_in_one_channel_are_assumed_rather_than_a_softmax_of_one(
    tmp_path: Path,
) -> None:
    image, expected = saved(TWO_AS_ONE, "Ended(3, 2)", tmp_path, (3, 16, 16))
    _read(tmp_path, TWO_AS_ONE)
    checkpoint = identify(tmp_path / "net.pth")
    found = answer(checkpoint, image, torch.load(tmp_path / "net.pth"))
    assert (found - expected).abs().max() < 1e-5
    assert checkpoint.hparams["num_classes"] == 2
    assert checkpoint.known["num_classes"].source == "assumed"
    assert "no tensor tells it from 1" in checkpoint.known["num_classes"].why
    assert checkpoint.known["bands"].source == "read"
    told = identify(tmp_path / "net.pth", {"num_classes": "1"})
    assert "Its answer is the softmax of one channel, which is 1 everywhere." in told.notes


def test_source_that_is_no_code(tmp_path: Path) -> None:
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    with pytest.raises(SettingsError, match=r"is no file of code\. Give the \.py or \.ipynb"):
        identify(tmp_path / "net.pth", source=tmp_path / "net.pth")


def test_suggestions_stand_with_their_line(tmp_path: Path) -> None:
    saved(NAMES, "Small(3, 1, 6)", tmp_path, (3, 16, 16))
    _read(tmp_path, NAMES)
    _read(
        tmp_path,
        "import cv2\nx = cv2.imread('a.png')\nx = x / 255.0\n"
        "p = torch.sigmoid(net(x))\nmask = p_pred > 0.4\n",
        "predict.py",
    )
    found = identify(tmp_path / "net.pth").card["suggested"]
    rows = {(one["name"], one["value"], one["line"]) for one in found}
    assert ("colour_order", "BGR (cv2.imread)", 2) in rows
    assert ("normalize", "divide by 255", 3) in rows
    assert ("activation", "sigmoid", 4) in rows
    assert ("threshold", 0.4, 5) in rows
