"""Names in a pickle that would run code, write files or reach the network.

This list is a courtesy, not the defence: no name in any pickle is ever imported or
called (see ``_unpickle.py``), so one that is missing here is harmless too. A file that
names one of these was made to attack, or holds a program instead of weights, and its
user should hear of it.
"""

from __future__ import annotations

from typing import Any

from napari_segnet.containers._inert import Inert, Named
from napari_segnet.errors import UnsafeWeightsError

__all__ = ["refuse_attribute", "refuse_dangerous"]

_COMMAND = "start a command on this computer"
_CODE = "run Python code"
_FILES = "change files on this computer"
_NETWORK = "reach the network"

# The first dotted part of a module, or any later part (``torch.serialization.os.system``).
_MODULES = {
    name: does
    for does, names in {
        _COMMAND: "os posix nt subprocess _posixsubprocess pty commands popen2 multiprocessing "
        "asyncio webbrowser antigravity pip ensurepip setuptools",
        _CODE: "sys runpy importlib imp pkgutil codeop ctypes _ctypes cffi marshal dill "
        "cloudpickle joblib shelve timeit pdb bdb cProfile doctest threading _thread gc "
        "atexit pydoc",
        _FILES: "shutil tempfile fileinput zipfile tarfile glob linecache sqlite3 mmap fcntl",
        _NETWORK: "socket _socket ssl urllib http ftplib smtplib requests httpx aiohttp "
        "socketserver xmlrpc",
    }.items()
    for name in names.split()
}

_NAMES = {
    name: does
    for does, names in {
        _CODE: "builtins.eval builtins.exec builtins.execfile builtins.compile builtins.apply "
        "builtins.__import__ builtins.setattr builtins.delattr builtins.globals "
        "builtins.locals builtins.vars builtins.breakpoint builtins.input builtins.reload "
        "operator.attrgetter operator.methodcaller types.CodeType types.FunctionType "
        "types.LambdaType pickle.load pickle.loads _pickle.load _pickle.loads code.interact "
        "code.InteractiveConsole code.InteractiveInterpreter trace.Trace profile.run "
        "profile.runctx torch.load torch.compile torch.jit.load numpy.load pandas.read_pickle",
        _FILES: "builtins.open builtins.file io.open _io.open io.FileIO _io.FileIO _pyio.open "
        "torch.save torch.from_file numpy.save numpy.fromfile",
    }.items()
    for name in names.split()
}

_PREFIXES = {
    "torch.hub.": _NETWORK,
    "torch.utils.model_zoo.": _NETWORK,
    "torch.utils.cpp_extension.": _COMMAND,
    "torch.jit.unsupported_tensor_ops.": _CODE,
    "torch.package.": _CODE,
    "torch.fx.graph_module.": _CODE,
    "torch.fx._symbolic_trace.": _CODE,
    "torch._inductor.": _CODE,
    "torch._dynamo.": _CODE,
    "numpy.testing.": _CODE,
    "numpy.f2py.": _COMMAND,
    "numpy.distutils.": _COMMAND,
    "lib2to3.": _CODE,
    "idlelib.": _COMMAND,
}


def refuse_dangerous(named: Named, file_name: str) -> None:
    """Raise ``UnsafeWeightsError`` if the name is one that weights have no use for."""
    dotted = str(named)
    does = _NAMES.get(dotted)
    if does is None:
        does = next((what for start, what in _PREFIXES.items() if dotted.startswith(start)), None)
    if does is None:
        does = _MODULES.get(named.module.partition(".")[0])
    if does is None and "." in named.name:
        does = _through_attributes(named.name.split("."))
    if does is not None:
        raise _unsafe(file_name, does, dotted)


def refuse_attribute(args: tuple[Any, ...], file_name: str) -> None:
    """Raise if ``getattr(*args)`` reaches for something internal.

    Pickles of enums and of bound methods hold harmless ones (``getattr(Color, 'RED')``).
    """
    parts = [arg for arg in args if isinstance(arg, str)]
    target = args[0] if args else None
    if isinstance(target, Named | Inert):
        parts += str(target if isinstance(target, Named) else target.name).split(".")
    does = _through_attributes([part for text in parts for part in text.split(".")])
    if does is not None or not parts:
        wanted = ", ".join(part for part in parts[:2]) or "?"
        raise _unsafe(file_name, does or _CODE, f"builtins.getattr ({wanted})")


def _through_attributes(parts: list[str]) -> str | None:
    """Tell what a chain of attributes does that goes through a module or internals."""
    for part in parts:
        if part in _MODULES:
            return _MODULES[part]
        if part.startswith("__") and part.endswith("__"):
            return _CODE
    return None


def _unsafe(file_name: str, does: str, dotted: str) -> UnsafeWeightsError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in dotted[:100])
    return UnsafeWeightsError(
        f"{file_name} would {does} when opened (it names {shown}); nothing of it was run. "
        "Weights need no such thing: ask its sender for the plain state dict or a "
        "safetensors file, and do not open this one with other programs."
    )
