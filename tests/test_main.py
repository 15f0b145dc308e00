"""The command itself: usage, exit codes, and that a start costs nothing it does not need."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from napari_segnet import __main__, commands
from napari_segnet.__main__ import main
from napari_segnet.commands._failure import in_words
from napari_segnet.commands._parser import make_parser

HEAVY = "torch torchvision scipy skimage cc3d edt fill_voids tifffile imagecodecs PIL".split()


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: COMMAND. See napari-segnet --help."),
        (["sgement"], "invalid choice: 'sgement' (did you mean 'segment'?) (choose from"),
        (["segment", "a.tif", "--set", "normalize=percentle"], "did you mean 'percentile'?"),
        (["segment", "a.tif", "--set", "instances=watershd"], "did you mean 'watershed'?"),
        (["segment", "a.tif", "--set", "steps=smoth"], "did you mean 'smooth'?"),
        (["segment", "a.tif", "--set", "precision=fp31"], "did you mean 'fp32'?"),
        (["segment", "a.tif", "--export", "geojsn"], "did you mean 'geojson'?"),
        (["import", ".", "-o", "x", "--format", "cocoo"], "did you mean 'coco'?"),
        (["segment"], "required: IMAGE. See napari-segnet segment --help."),
        (["segment", "a.tif", "--ovrwrite"], "--ovrwrite (did you mean '--overwrite'?). See"),
        (["evaluate", "a", "b", "--labels=peaces"], "'peaces' (did you mean 'pieces'?) (choose"),
        (["segment", "a.tif", "--xyz"], "unrecognized arguments: --xyz. See napari-segnet segment"),
        (["segment", "a.tif", "--over"], "unrecognized arguments: --over"),
        (["segment", "a.tif", "-c"], "-c/--checkpoint: expected one argument"),
        (["evaluate", "a.tif"], "required: TRUTH"),
        (["inspect"], "required: WEIGHTS"),
        (["models", "extra"], "unrecognized arguments: extra"),
    ],
)
def test_bad_usage_is_one_sentence_and_2(words, says, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("napari-segnet: ")
    assert err.count("\n") == 1
    assert says in err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    words = " ".join(shown.split())  # however the lines are wrapped
    for command in commands.COMMANDS:
        assert f"\n    {command.name} " in shown
        assert command.help in words


@pytest.mark.parametrize("name", [command.name for command in commands.COMMANDS])
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: napari-segnet {name}" in shown
    _, _, examples = shown.partition("examples:\n")
    lines = re.findall(r"^  napari-segnet (.*)$", examples, re.M)
    assert len(lines) > 1
    for line in lines:  # each is understood
        args = make_parser(commands.COMMANDS, argparse.Action).parse_args(line.split())
        assert args.command.name == name


def test_segment_names_every_setting(capsys):
    from napari_segnet.commands._wishes import SETTINGS
    from napari_segnet.commands.segment import KEYS

    assert KEYS == ", ".join(SETTINGS)
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    shown = capsys.readouterr().out.split()
    assert all({key, f"{key},", f"{key};"} & set(shown) for key in SETTINGS)


@pytest.mark.subprocess
def test_help_into_a_pipe_that_nobody_reads():
    command = [sys.executable, "-m", "napari_segnet", "segment", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode in (0, 141)  # 0 where argparse notices, and says nothing
    assert done.stderr == ""


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    from napari_segnet import __version__

    assert capsys.readouterr().out == f"napari-segnet {__version__}\n"


@pytest.mark.subprocess
def test_what_needs_no_network_does_not_import_torch(tmp_path):
    """Help, usage, settings, refused weights, results that exist, evaluate."""
    import numpy as np
    import tifffile

    text = tmp_path / "text.pth"
    text.write_text("not a network")
    labels = tmp_path / "cells.labels.tif"
    tifffile.imwrite(labels, np.eye(8, dtype=np.int32))
    image = tmp_path / "cells.tif"
    tifffile.imwrite(image, np.eye(8, dtype=np.uint8))
    light = [
        ["segment", str(image), "--set", "threshold=2"],
        ["segment", str(image), "-c", str(text)],
        ["segment", str(image), "-c", "nuceli"],
        ["segment", str(image), "-o", str(tmp_path)],
        ["segment", str(image), "--settings", str(text)],
        ["inspect", str(text)],
        ["inspect", str(tmp_path / "missing.pth")],
        ["train", str(tmp_path), "-c", "nuclei", "-o", "x.pth", "--set", "epoch=3"],
        ["train", str(tmp_path / "gone"), "-c", "nuclei", "-o", "x.pth"],
        ["train", str(tmp_path), "-c", "nuceli", "-o", "x.pth"],
        ["bogus"],
    ]
    code = f"""
import contextlib, io, sys
from napari_segnet.__main__ import main
for words in {light}:
    with contextlib.redirect_stderr(io.StringIO()) as err:
        assert main(words) == 2, words
    assert "torch" not in sys.modules, (words, err.getvalue())
print(*[name for name in {HEAVY} if name in sys.modules])
assert main(["evaluate", {str(labels)!r}, {str(labels)!r}]) == 0
assert "torch" not in sys.modules
"""
    assert python(code).splitlines()[0] == ""


@pytest.mark.subprocess
def test_it_runs_as_a_module_and_help_imports_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-m", "napari_segnet", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: napari-segnet ")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint([*HEAVY, "numpy"])


class Odd:
    """A command that does what a test says."""

    name, help, examples = "odd", "for a test", ()

    def __init__(self, do):
        self._do = do

    def arguments(self, parser):
        pass

    def run(self, args):
        return self._do()


@pytest.fixture
def odd(monkeypatch):
    def go(do):
        monkeypatch.setattr(__main__, "COMMANDS", (Odd(do),))
        return main(["odd"])

    return go


def fails(error):
    def do():
        raise error

    return do


def test_a_mistake_of_ours_is_a_sentence_too(odd, capsys, monkeypatch):
    assert odd(fails(KeyError("where"))) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "does not foresee (KeyError: 'where'). Please report it" in err
    monkeypatch.setenv("NAPARI_SEGNET_TRACEBACK", "1")
    assert odd(fails(KeyError("where"))) == 2
    assert "Traceback" in capsys.readouterr().err


def test_what_the_system_refuses_is_said_in_its_words(odd, capsys):
    assert odd(fails(OSError(28, "No space left on device", "/out/x"))) == 2
    assert "No space left on device (/out/x). Check the disk." in capsys.readouterr().err
    assert odd(fails(PermissionError(13, "Permission denied", "locked"))) == 2
    assert "Permission denied (locked). Ask its owner for permission." in capsys.readouterr().err
    assert in_words(OSError("odd")).startswith("Something happened")


def test_a_graphics_processor_that_was_lost_is_said(odd, capsys):
    assert odd(fails(RuntimeError("CUDA error: an illegal memory access\nmore"))) == 2
    err = capsys.readouterr().err
    assert "The GPU failed (CUDA error: an illegal memory access)" in err
    assert "--device cpu" in err
    assert in_words(RuntimeError("shapes differ")).startswith("Something happened")


def test_memory_that_ran_out_is_said(odd, capsys):
    assert odd(fails(MemoryError())) == 2
    assert "not enough memory" in capsys.readouterr().err


def test_a_terminal_that_closes_is_heard_unless_nohup_said_not_to(odd, open_terminal):
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        pytest.skip("this system has no terminals that close")

    def do():
        os.kill(os.getpid(), hangup)
        return 0

    assert odd(do) == 130
    before = signal.signal(hangup, signal.SIG_IGN)
    try:
        assert odd(do) == 0
    finally:
        signal.signal(hangup, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_130(odd, capsys, number):
    before = signal.getsignal(number)

    def do():
        os.kill(os.getpid(), number)
        for _ in range(1000):
            pass
        raise AssertionError("the signal did not stop it")

    assert odd(do) == 130
    assert capsys.readouterr().err.startswith("napari-segnet: stopped")
    assert signal.getsignal(number) is before


def test_it_runs_in_any_thread(odd):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(odd(lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.subprocess
def test_an_output_that_is_full_is_said(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_segnet", "models", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.subprocess
def test_a_reader_that_leaves_is_no_error():
    code = (
        "import sys; from napari_segnet import __main__ as m\n"
        "class Much:\n"
        "    name, help, examples = 'much', 'much', ()\n"
        "    def arguments(self, parser): pass\n"
        "    def run(self, args):\n"
        "        [print('x' * 1000) for _ in range(1000)]\n"
        "m.COMMANDS = (Much(),)\n"
        "sys.exit(m.main(['much']))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == ""
    assert writer.wait() == 141
    writer.stderr.close()


def test_models_as_json_is_a_list(capsys):
    assert main(["models", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
