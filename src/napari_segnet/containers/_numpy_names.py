"""Which names numpy has, of any version: a pickle that names another one of it is damaged."""

from __future__ import annotations

import sys

__all__ = ["is_of_numpy"]

_PARTS = frozenset(
    "_globals _typing _utils array_api char compat ctypeslib distutils dtypes dual exceptions f2py "
    "fft lib linalg ma matlib matrixlib numarray oldnumeric polynomial random rec strings testing "
    "typing version".split()
)
"""Modules of numpy from 1.0 on beside its core."""
_PARTS_OF_CORE = frozenset(("defchararray", "machar", "scalarmath"))
"""Those that numpy does not load, or has no more."""
_FORMER = frozenset(
    "AxisError ComplexWarning DataSource ModuleDeprecationWarning RankWarning TooHardError "
    "VisibleDeprecationWarning alltrue asfarray cumproduct find_common_type in1d issctype "
    "issubclass_ issubsctype mat maximum_sctype msort nbytes obj2sctype product round_ safe_eval "
    "sctype2char sctypeDict sometrue trapz "
    "_ufunc_reconstruct bool bool8 bytes0 cfloat clongfloat complex complex192 complex256 complex_ "
    "float float128 float96 float_ int int0 long longcomplex longfloat object object0 "
    "singlecomplex str str0 string_ uint0 unicode unicode_ void0".split()
)
"""Classes and functions that numpy has in some versions, or on some computers, alone.

https://numpy.org/doc/stable/numpy_2_0_migration_guide.html
"""


def is_of_numpy(module: str, name: str) -> bool:
    """Tell if numpy has a class or function; nothing is imported for that.

    Parameters
    ----------
    module : str
        Its module: ``numpy`` or a part of it.
    name : str
        Its name there.
    """
    if not name.isidentifier():
        return False
    _, _, inner = module.partition(".")
    first, _, rest = inner.partition(".")
    if first in _PARTS:
        return True
    if first not in ("", "core", "_core"):
        return False
    if rest in _PARTS_OF_CORE:
        return True
    core = "numpy._core" if "numpy._core" in sys.modules else "numpy.core"
    found = sys.modules.get("numpy" if not inner else f"{core}.{rest}" if rest else core)
    return found is not None and (name in vars(found) or name in _FORMER)
