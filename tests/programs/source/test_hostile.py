"""Sources of strangers: nothing is executed, time and memory are bounded, a sentence each."""

from __future__ import annotations

import builtins
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.definitions import LOOPS, NAMES, saved

from napari_segnet.errors import SegnetError
from napari_segnet.recognition import identify

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
TOUCH = "open(MARK, 'w').write('x')"
HOSTILE = [
    TOUCH,
    "import os\nos.system('touch ' + MARK)",
    "import trap_module",
    "__import__('trap_module')",
    "from trap_module import *",
    f"exec({TOUCH!r})",
    f"eval({TOUCH!r})",
    f"nn = (lambda: {TOUCH})()",
    "().__class__.__base__.__subclasses__()",
    "x = [0] * 10**9",
    "x = 'a' * 10**10",
    "x = 10 ** 10 ** 10",
    "x = 1 << 10**9",
    "x = f'{1:>1000000000}'",
    "x = '%1000000000d' % 1",
    "x = list(range(10**9))",
    "a = []\na.append(a)\nb = []\nb.append(b)\nx = a == b",
    "x = [[0] * 10000 for _ in range(10000)]",
]
INSIDE = [
    TOUCH,
    "[exec(t) for t in (" + repr(TOUCH) + ",)]",
    "while True: pass",
    "for _ in range(10**9): pass",
    "self.layers = [nn.Conv2d(10**9, 10**9, 3) for _ in range(10**9)]",
    "self.x = nn.Conv2d(10**30, 1, 3)",
    "self.me = self",
    "self.x = nn.Sequential(*[nn.ReLU()] * 10**9)",
    "self.forward = exec",
    "self.x = getattr(torch, 'load')('net.pth')",
    "self.x = type('X', (), {})()",
    "self.x = self.__init__(1)",
    "self.__class__ = object",
    "self.x = (lambda f: f(f))(lambda f: f(f))",
    "x = []\n        for i in range(10000): x = [x, x]\n        self.x = x == [x]",
    "global nn\n        nn = None",
    "yield 1",
    "raise SystemExit",
    "import trap_module as t; t.run()",
    "self.x = ''.join(['a' * 9999] * 9999)",
    "self.x = 'a'.replace('a', 'b' * 9999).replace('b', 'c' * 9999)",
]
DEEP = [
    "x = " + "(" * 150 + "1" + ")" * 150,
    "x = " + "-" * 5000 + "1",
    "x = " + "[" * 90 + "]" * 90,
    "x = " + "a." * 3000 + "b",
    "x = " + " + ".join(["1"] * 20_000),
    "x = " + "9" * 100_000,
    "def f(x):\n    return f(x)\nclass N(nn.Module):\n    def __init__(self): f(1)",
    "class A(A): pass",
    "class A(nn.Module):\n    a = property(lambda s: s.a)\n    def __init__(self): self.a",
    "@(lambda c: exec('raise SystemExit'))\nclass A(nn.Module): pass",
    "\0\0\0",
    "\ud800".encode("utf8", "surrogatepass").decode("utf8", "replace"),
]


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights, in which whatever would run leaves a mark or raises."""
    saved(NAMES, "Small(1, 2, 6)", tmp_path, (1, 16, 16))
    mark = tmp_path / "mark"
    (tmp_path / "unet.py").write_text(NAMES)
    identify(tmp_path / "net.pth")  # whatever Python imports late is there
    (tmp_path / "trap_module.py").write_text(f"open({str(mark)!r}, 'w').write('x')\n")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a source was executed")

    for name in ("exec", "eval"):
        monkeypatch.setattr(builtins, name, forbidden)
    compiled = builtins.compile

    def only_parsed(
        source: object, file: object, mode: str, flags: int = 0, **more: object
    ) -> object:
        assert flags & 0x400, "a source was compiled"  # ast.PyCF_ONLY_AST
        return compiled(source, file, mode, flags, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(builtins, "compile", only_parsed)
    monkeypatch.setattr(os, "system", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _try(folder: Path, text: str) -> None:
    """Identify with a source; the only error is a sentence of ours."""
    mark = folder / "mark"
    (folder / "unet.py").write_text(text.replace("MARK", repr(str(mark))), encoding="utf8")
    begun = time.process_time()
    try:
        identify(folder / "net.pth", source=folder / "unet.py")
    except SegnetError as error:
        assert len(str(error)) > 40
    assert not mark.exists()
    assert "trap_module" not in sys.modules
    # Processor time, of which a source has 4 s; a busy computer takes longer by the clock.
    assert time.process_time() - begun < 30


@pytest.mark.sample(10)
@pytest.mark.parametrize("text", [*HOSTILE, *DEEP])
def test_outermost_statements_never_run(trapped: Path, text: str) -> None:
    _try(trapped, HEAD + text + "\n" + NAMES)
    _try(trapped, NAMES.replace("width=8", "width=x") + "\n" + text)


@pytest.mark.sample(10)
@pytest.mark.parametrize("text", INSIDE)
@pytest.mark.parametrize("place", ["        self.first = double", "        a = self.first(x)"])
def test_hostile_functions_are_bounded(trapped: Path, text: str, place: str) -> None:
    assert place in NAMES
    _try(trapped, NAMES.replace(place, f"        {text}\n{place}", 1))


@pytest.mark.sample(3)
@pytest.mark.parametrize("seed", range(10))
def test_mutated_sources_end_with_a_sentence(trapped: Path, seed: int) -> None:
    rng = random.Random(seed)
    words = [*HOSTILE, *INSIDE, "0", "-1", "None", "self", "10**9", "x", "[]", "lambda: 0", "nn"]
    for _ in range(8):
        lines = (NAMES if rng.random() < 0.7 else LOOPS).split("\n")
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(lines))
            line = lines[place]
            kind = rng.randrange(5)
            if kind == 0:
                del lines[place]
            elif kind == 1:
                lines.insert(rng.randrange(len(lines)), line)
            elif kind == 2:
                parts = line.split("(")
                lines[place] = (rng.choice(words).split("\n")[0] + "(").join(parts)
            elif kind == 3:
                indent = line[: len(line) - len(line.lstrip())]
                lines.insert(place, indent + rng.choice(words).split("\n")[0])
            else:
                digits = [i for i, letter in enumerate(line) if letter.isdigit()]
                for i in digits[:1]:
                    lines[place] = line[:i] + rng.choice(["0", "10**9", "-3", "x"]) + line[i + 1 :]
        _try(trapped, "\n".join(lines))
