"""Hostile pickles: nothing in them runs, and their reader hears of it."""

from __future__ import annotations

import datetime
import enum
import functools
import io
import os
import pickle
import pickletools
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from napari_segnet.budget import Budget
from napari_segnet.containers import open_tree
from napari_segnet.containers._inert import Inert, Plain, plain
from napari_segnet.containers._unpickle import _OPCODES, Stream, unpickle
from napari_segnet.errors import BrokenWeightsError, UnsafeWeightsError, WeightsError


def read(data: bytes) -> Any:
    return unpickle(Stream(io.BytesIO(data), len(data)), "weights.pth")


class Reduce:
    """Pickles as a call of ``what(*args)``."""

    def __init__(self, what: Any, *args: Any) -> None:
        self.call = what, args

    def __reduce__(self) -> Any:
        return self.call


def hostile(mark: Path) -> dict[str, bytes]:
    """Pickles that make the file ``mark``, if anything in them is run."""
    command = f"touch {mark}"
    line = command.encode()
    made = {
        "os.system": pickle.dumps({"a": Reduce(os.system, command)}, 2),
        "os.system, protocol 4": pickle.dumps(Reduce(os.system, command), 4),
        "subprocess": pickle.dumps(Reduce(subprocess.check_output, ["touch", str(mark)]), 2),
        "eval": pickle.dumps(Reduce(eval, f"open({str(mark)!r}, 'w').close()"), 2),
        "exec": pickle.dumps(Reduce(exec, f"open({str(mark)!r}, 'w').close()"), 2),
        "open": pickle.dumps(Reduce(open, str(mark), "w"), 2),
        "INST": b"(S'" + line + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + line + b"'\no.",
        "NEWOBJ": b"\x80\x02cos\nsystem\n(S'" + line + b"'\nt\x81.",
        "NEWOBJ_EX": b"\x80\x04cos\nsystem\n(S'" + line + b"'\nt}\x92.",
        "posix": b"cposix\nsystem\n(S'" + line + b"'\ntR.",
        "Python 2": b"c__builtin__\neval\n(S'__import__(\"os\").system(\"" + line + b"\")'\ntR.",
        "a module inside torch": pickle.dumps(0, 4)[:2]
        + b"\x8c\x13torch.serialization\x8c\x09os.system\x93("
        + b"\x8c" + bytes([len(line)]) + line + b"tR.",
        "getattr of import": b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n"
        b"(S'os'\ntRS'system'\ntR(S'" + line + b"'\ntR.",
        "getattr of a function": b"c__builtin__\ngetattr\n(ctorch\nones\nS'__globals__'\ntR.",
        "attrgetter": b"coperator\nattrgetter\n(S'system'\ntR.",
        "torch.hub": b"ctorch.hub\nload\n(S'somebody/something'\ntR.",
        "partial": pickle.dumps(functools.partial(os.system, command), 2),
        "by copyreg": b"ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
        "code": b"ctypes\nCodeType\n(tR.",
    }  # fmt: skip
    return made


@pytest.mark.parametrize("name", hostile(Path("mark")))
@pytest.mark.parametrize("wrapping", ["bare", "zip", "legacy"])
def test_nothing_is_run(name: str, wrapping: str, tmp_path: Path) -> None:
    mark = tmp_path / "was_run"
    pickled = hostile(mark)[name]
    path = tmp_path / "weights.pth"
    if wrapping == "bare":
        path.write_bytes(pickled)
    elif wrapping == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
    else:
        head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
        path.write_bytes(b"".join(head) + pickled + pickle.dumps([], 2))
    with pytest.raises(
        UnsafeWeightsError, match=r"weights\.pth would .* nothing of it was run\. .*ask its sender"
    ):
        open_tree(path)
    assert not mark.exists()


def test_the_pickles_above_would_run(tmp_path: Path) -> None:
    """The test above means something: Python's own unpickler does run them."""
    mark = tmp_path / "was_run"
    for name in ("os.system", "INST", "OBJ", "getattr of import"):
        pickle.loads(hostile(mark)[name])
        assert mark.exists(), name
        mark.unlink()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("os.system", r"start a command on this computer when opened \(it names .*\.system\)"),
        ("eval", r"run Python code when opened \(it names builtins\.eval\)"),
        ("open", "change files on this computer"),
        ("torch.hub", r"reach the network when opened \(it names torch\.hub\.load\)"),
        ("getattr of a function", r"builtins\.getattr \(__globals__, torch\)"),
    ],
)
def test_the_message_names_it(name: str, match: str) -> None:
    with pytest.raises(UnsafeWeightsError, match=match):
        read(hostile(Path("mark"))[name])


class Armed:
    """Whatever an unpickler might do with an object of this class, leaves a mark."""

    ran: list[str]

    def __new__(cls, *args: Any) -> Armed:
        RAN.append("new")
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        RAN.append("init")

    def __setstate__(self, state: Any) -> None:
        RAN.append("setstate")

    def __setitem__(self, key: Any, value: Any) -> None:
        RAN.append("setitem")

    def append(self, item: Any) -> None:
        RAN.append("append")

    def extend(self, items: Any) -> None:
        RAN.append("extend")

    def __call__(self, *args: Any) -> None:
        RAN.append("call")


RAN: list[str] = []


@pytest.mark.parametrize(
    "make",
    [b")\x81", b")R", b"(tR", b")}\x92"],
    ids=["NEWOBJ", "REDUCE", "REDUCE mark", "NEWOBJ_EX"],
)
def test_classes_are_never_touched(make: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("armed_module")
    module.Armed = Armed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "armed_module", module)
    name = b"carmed_module\nArmed\n"
    data = (
        b"\x80\x04" + name + make + b"}X\x01\x00\x00\x00aK\x01sb"  # BUILD
        + b"K\x01K\x02s" + b"K\x03a" + b"(K\x04K\x05e" + b"(K\x06\x90" + b"(K\x07K\x08u" + b"."
    )  # fmt: skip
    RAN.clear()
    made = read(data)
    assert RAN == []
    assert isinstance(made, Inert)
    assert made.name == "armed_module.Armed"
    assert made.state == {"a": 1}
    assert made.entries == [(1, 2), (7, 8)]
    assert made.items == [3, 4, 5, 6]
    called = read(b"\x80\x04" + name + make + b")R.")
    assert RAN == []
    assert called.name == "armed_module.Armed()"


def test_a_hostile_state_is_only_recorded() -> None:
    """BUILD on the few real classes sets no attribute either."""
    data = b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb."
    made = read(data)
    assert made == {}
    assert list(made.items()) == []


class Colour(enum.Enum):
    RED = 1


def test_harmless_getattr_stays_inert() -> None:
    """As Python 3.11.0 pickles enums, and every Python bound methods."""
    made = read(b"\x80\x02c__builtin__\ngetattr\ncmymodule\nColour\nX\x03\x00\x00\x00RED\x86R.")
    assert isinstance(made, Inert)
    assert made.name == "builtins.getattr"
    assert isinstance(read(pickle.dumps(Colour.RED, 2)), Inert)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False) | st.datetimes() | st.timedeltas(),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    | st.frozensets(st.text() | st.integers(), max_size=4)
    | st.sets(st.integers(), max_size=4).map(lambda found: found),
    max_leaves=12,
)  # fmt: skip


@given(value=PLAIN, protocol=st.integers(0, 5))
@settings(max_examples=150)
def test_plain_values_are_what_python_reads(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


def test_every_opcode_has_an_answer() -> None:
    assert {opcode.name for opcode in pickletools.opcodes} == set(_OPCODES)


@given(data=st.binary(max_size=200))
@settings(max_examples=300)
def test_random_bytes_give_no_other_error(data: bytes) -> None:
    try:
        read(b"\x80\x04" + data + b".")
    except WeightsError as error:
        assert "weights.pth" in str(error)


@given(codes=st.lists(st.sampled_from(
    [op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None]
    + [b"K\x01", b"q\x00", b"h\x00", b"X\x01\x00\x00\x00a", b"ccollections\nOrderedDict\n",
       b"cx\ny\n", b"cnumpy\ndtype\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
       b"cnumpy._core.multiarray\n_reconstruct\n", b"cdatetime\ndatetime\n",
       b"cbuiltins\nset\n", b"cbuiltins\ngetattr\n"]
), max_size=30))  # fmt: skip
@settings(max_examples=250)
def test_random_opcodes_give_no_other_error(codes: list[bytes]) -> None:
    try:
        plain(read(b"\x80\x04" + b"".join(codes) + b"."))
    except WeightsError as error:
        assert "weights.pth" in str(error)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x80\x02}", "1 bytes are missing at the end"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "bytes are missing at the end"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.", "bytes are missing at the end"),
        (b"\x80\x02" + b"(" * 10 + b".", "its parts do not fit together"),
        (b"\x80\x02K\x01)R.", "a int is called"),
        (b"\x80\x02}]K\x01s.", "a list cannot be a key"),
        (b"\x80\x02]K\x01K\x02s.", "a list gets keys"),
        (b"\x80\x02\x82\x01.", "needs a second file"),
        (b"\x80\x02K\x01Q.", "refers to something outside"),
        (b"\x80\x02K\x01K\x02\x93.", "a name is not a text"),
        (b"\x80\x02h\x05.", "its parts do not fit together"),
        (b"\x80\x02}" + b")" + b"\x85" * 2000 + b"K\x01s.", "cannot be a key"),
        (b"\x80\x02" + b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85"
             b"C\x01btR(K\x01K\x05\x85cnumpy\ndtype\n("
         b"X\x02\x00\x00\x00f4tR\x89C\x01atb.", "array of shape"),
    ],
)  # fmt: skip
def test_damage_is_named(data: bytes, match: str) -> None:
    with pytest.raises(BrokenWeightsError, match=rf"weights\.pth is damaged or cut off.*({match})"):
        read(data)


def test_a_huge_memo_number_costs_nothing() -> None:
    """Python's own unpickler would ask for 64 GB here."""
    assert read(b"\x80\x02]r\xff\xff\xff\x7f0j\xff\xff\xff\x7f.") == []


def test_endless_and_exploding_values_are_copied_in_part() -> None:
    endless: list[Any] = []
    endless.append(endless)
    text = repr(plain(read(pickle.dumps(endless))))
    assert "..." in text
    explode: Any = ["x"]
    for _ in range(30):
        explode = [explode] * 10
    copier = Plain(most=1000)
    assert "..." in repr(copier.value(read(pickle.dumps(explode))))


def test_too_many_steps() -> None:
    data = pickle.dumps(list(range(20)), 2)
    stream = Stream(io.BytesIO(data), len(data), Budget(steps=10))
    with pytest.raises(BrokenWeightsError, match="more steps than any such file"):
        unpickle(stream, "weights.pth")


def test_numbers_and_text_that_no_file_could_hold_again() -> None:
    assert plain(read(pickle.dumps(1 << 5000, 2))) == "..."
    assert read(b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.") == "?"
    assert read(b"\x80\x02U\x02\xc3\xbc.") == "ü"  # Python 2 text in UTF-8
    assert read(b"\x80\x02U\x01\xfc.") == "ü"  # and in Latin-1


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"S'a\\q'\n.", "wrong escape"),
        (b"Sab\n.", "no quotes"),
        (b"S'ab'", "no end"),
        (b"c\xff\nx\n.", "decode"),
        (b"\xff.", "do not fit"),
    ],
)
def test_lines_of_text(data: bytes, match: str) -> None:
    with pytest.raises(BrokenWeightsError, match=match):
        read(data)


def test_class_names_beyond_ascii() -> None:
    assert str(read("cmünchen\nÄpfel\n.".encode())) == "münchen.Äpfel"
    assert read(rb"S'\x41\'\n\101'" + b"\n.") == "A'\nA"


def test_dates_of_python_2_and_odd_arguments() -> None:
    assert read(pickle.dumps(datetime.date(2020, 1, 2), 2)) == datetime.date(2020, 1, 2)
    # What Python refuses is damage; what holds a class that only its writer knows is a stand-in.
    for odd in (b"cdatetime\ndate\n(K\x01tR.", b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR."):
        with pytest.raises(BrokenWeightsError, match="cannot be read"):
            read(b"\x80\x02" + odd)
    stays = read(b"\x80\x02cdatetime\ntimezone\n(cown.zones\nHere\n)RtR.")
    assert isinstance(stays, Inert)
    assert stays.name == "datetime.timezone"
    assert isinstance(read(pickle.dumps(torch.nn.ReLU(), 2)), Inert)
