"""What code of prediction and training says of images and maps: only suggested, never taken.

Such code is looked through, not followed: a line that divides by 255 may belong to another
network. So each finding stands with its file and line, and whoever knows decides.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from napari_segnet.programs.source._files import SourceFile

__all__ = ["suggestions"]

MOST = 40
LONGEST_LINE = 160


def suggestions(files: Sequence[SourceFile]) -> list[dict[str, Any]]:
    """Return findings: ``name``, ``value``, ``file``, ``line``, ``where`` and the ``code`` there.

    Names are ``activation``, ``normalize``, ``mean``, ``std``, ``colour_order``, ``grey``,
    ``size_px`` and ``threshold``.
    """
    found: list[dict[str, Any]] = []
    seen: set[tuple[str, str, str]] = set()
    for file in files:
        for name, value, line in _findings(file):
            key = (name, str(value), file.path.name)
            if key in seen or len(found) >= MOST:
                continue
            seen.add(key)
            found.append(
                {
                    "name": name,
                    "value": value,
                    "file": file.path.name,
                    "line": line,
                    "where": file.where(line),
                    "code": file.line(line)[:LONGEST_LINE],
                }
            )
    return found


Finding = tuple[str, Any, int]


def _findings(file: SourceFile) -> Iterator[Finding]:
    for statement in file.body:
        for node in _outside_networks(statement):
            if isinstance(node, ast.Call):
                yield from _of_call(node)
            elif isinstance(node, ast.BinOp):
                yield from _of_arithmetic(node)
            elif isinstance(node, ast.Compare):
                yield from _of_comparison(node)
            elif isinstance(node, ast.Subscript) and _text(node).endswith("[..., ::-1]"):
                yield "colour_order", "BGR and RGB are exchanged", node.lineno


def _outside_networks(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the syntax of a statement without classes of networks, whose graph is read."""
    rows: list[ast.AST] = [statement]
    while rows:
        node = rows.pop(0)
        if isinstance(node, ast.ClassDef) and any("Module" in _text(b) for b in node.bases):
            continue
        yield node
        rows += ast.iter_child_nodes(node)


def _text(node: ast.AST) -> str:
    return ast.unparse(node)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _number(node: ast.expr | None) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return None if isinstance(node.value, bool) else float(node.value)
    return None


def _numbers(node: ast.expr | None) -> list[float] | None:
    if isinstance(node, ast.Tuple | ast.List):
        row = [_number(one) for one in node.elts]
        return [n for n in row if n is not None] if row and None not in row else None
    one = _number(node)
    return None if one is None else [one]


def _argument(node: ast.Call, place: int, name: str) -> ast.expr | None:
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value
    return node.args[place] if place < len(node.args) else None


def _of_call(node: ast.Call) -> Iterator[Finding]:
    reader = CALLS.get(_name(node.func))
    if reader is not None:
        yield from reader(node)


def _activation(value: str) -> Callable[[ast.Call], Iterator[Finding]]:
    def read(node: ast.Call) -> Iterator[Finding]:
        yield "activation", value, node.lineno

    return read


def _argmax(node: ast.Call) -> Iterator[Finding]:
    if any(word in _text(node).lower() for word in ("pred", "out", "logit", "prob", "mask")):
        yield "activation", "softmax (argmax)", node.lineno


def _normalize(node: ast.Call) -> Iterator[Finding]:
    mean, std = _numbers(_argument(node, 0, "mean")), _numbers(_argument(node, 1, "std"))
    if mean is not None and std is not None:
        yield "mean", mean, node.lineno
        yield "std", std, node.lineno


def _to_tensor(node: ast.Call) -> Iterator[Finding]:
    yield "normalize", "divide by 255 (ToTensor)", node.lineno


def _imread(node: ast.Call) -> Iterator[Finding]:
    flag = _text(node.args[1]) if len(node.args) > 1 else ""
    if "GRAY" in flag or flag == "0":
        yield "grey", True, node.lineno
    elif _text(node.func).startswith("cv2"):
        yield "colour_order", "BGR (cv2.imread)", node.lineno


def _convert(node: ast.Call) -> Iterator[Finding]:
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant) and first.value in ("L", "RGB"):
        yield ("grey", True, node.lineno) if first.value == "L" else (
            "colour_order", "RGB", node.lineno
        )  # fmt: skip


def _colour(node: ast.Call) -> Iterator[Finding]:
    flag = _text(node.args[1]) if len(node.args) > 1 else ""
    if flag.endswith("BGR2RGB"):
        yield "colour_order", "RGB (after cvtColor)", node.lineno
    elif flag.endswith("2GRAY"):
        yield "grey", True, node.lineno


def _resize(node: ast.Call) -> Iterator[Finding]:
    for one in [*node.args, *(k.value for k in node.keywords if k.arg in ("size", "dsize"))]:
        size = _numbers(one)
        if size is not None and len(size) <= 2 and all(n >= 16 for n in size):
            yield "size_px", [int(n) for n in size], node.lineno
            return
    pair = [_number(_argument(node, 9, name)) for name in ("height", "width")]
    if None not in pair:
        yield "size_px", [int(n or 0) for n in pair], node.lineno


CALLS: dict[str, Callable[[ast.Call], Iterator[Finding]]] = {
    **dict.fromkeys(("sigmoid", "Sigmoid", "expit"), _activation("sigmoid")),
    **dict.fromkeys(("softmax", "Softmax", "log_softmax"), _activation("softmax")),
    "argmax": _argmax,
    **dict.fromkeys(("BCEWithLogitsLoss", "binary_cross_entropy_with_logits"),
                    _activation("sigmoid (the loss has it inside)")),
    **dict.fromkeys(("CrossEntropyLoss", "cross_entropy"),
                    _activation("softmax (the loss has it inside)")),
    **dict.fromkeys(("BCELoss",), _activation("sigmoid, in the network (BCELoss)")),
    "Normalize": _normalize,
    "normalize": _normalize,
    **dict.fromkeys(("ToTensor", "to_tensor"), _to_tensor),
    "imread": _imread,
    "convert": _convert,
    "cvtColor": _colour,
    **dict.fromkeys(("Resize", "resize"), _resize),
}  # fmt: skip


def _of_arithmetic(node: ast.BinOp) -> Iterator[Finding]:
    number = _number(node.right)
    if isinstance(node.op, ast.Div) and number in (255.0, 65535.0, 127.5, 256.0):
        yield "normalize", f"divide by {number:g}", node.lineno
    elif isinstance(node.op, ast.Div) and isinstance(node.right, ast.Call | ast.BinOp):
        text = _text(node)
        if ".std(" in text and ".mean(" in text:
            yield "normalize", "mean and standard deviation of each image", node.lineno
        elif ".max(" in text and ".min(" in text:
            yield "normalize", "smallest and largest value of each image", node.lineno


def _of_comparison(node: ast.Compare) -> Iterator[Finding]:
    if len(node.ops) == 1 and isinstance(node.ops[0], ast.Gt | ast.GtE):
        number = _number(node.comparators[0])
        words = ("pred", "out", "sigmoid", "prob", "mask", "logit")
        text = _text(node.left).lower()
        if number is not None and 0 < number < 1 and any(word in text for word in words):
            yield "threshold", number, node.lineno
