"""Names of numpy in pickles: of any version, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.containers._numpy_names import is_of_numpy


@pytest.mark.parametrize(
    "array", [np.ones(2), np.float32(1), np.dtype("f4"), np.ma.masked_array([1])]
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_what_numpy_writes_is_known(array: object, protocol: int) -> None:
    import pickle
    import pickletools

    named = [
        argument.split(" ")
        for code, argument, _ in pickletools.genops(pickle.dumps(array, protocol))
        if code.name == "GLOBAL" and argument is not None
    ]
    assert named or protocol == 5
    assert all(is_of_numpy(*one) for one in named if one[0].startswith("numpy"))


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_names_of_other_versions_are_known(core: str) -> None:
    for module, name in (
        (f"{core}.multiarray", "_reconstruct"),
        (f"{core}.multiarray", "scalar"),
        (f"{core}.numeric", "_frombuffer"),
        (core, "_ufunc_reconstruct"),
        (f"{core}.defchararray", "chararray"),
        ("numpy", "unicode_"),
        ("numpy", "float96"),
        ("numpy", "AxisError"),
        ("numpy._globals", "_NoValueType"),
        ("numpy.random.mtrand", "RandomState"),
        ("numpy.lib.function_base", "vectorize"),
    ):
        assert is_of_numpy(module, name), (module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "dtpye"),
        ("numpy", "a b"),
        ("numpy.cxre.multiarray", "scalar"),
        ("numpy.core.mtltiarray", "scalar"),
        ("numpy.core.multiarray", "sclar"),
    ],
)
def test_names_that_numpy_never_had(module: str, name: str) -> None:
    assert not is_of_numpy(module, name)
