"""What a ``forward`` had computed when it came to something that is not read.

Networks for training answer with maps beside the main one: of features with noise, of other
heads. Where the main map was there before, and nothing that follows names it, it is the answer.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from napari_segnet.programs._evaluate import NotReadable, Value
from napari_segnet.programs.source._members import class_member
from napari_segnet.programs.source._values import Class, Function, Instance

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["called_whole"]


def called_whole(run: Runner, made: Instance, images: tuple[Value, ...], main: int) -> Any:
    """Return what a network answers, and a note on what of it is not read.

    Parameters
    ----------
    run : Runner
        With a graph to draw.
    made : Instance
        The network.
    images : tuple of Value
        What it takes.
    main : int
        Which of several answers is needed.

    Returns
    -------
    answer, notes : object, tuple of str
        Maps; those that are left out are not in it.

    Raises
    ------
    NotReadable
        If the main answer is not read.
    """
    kind = made.kind
    forward = class_member(kind, "forward") if isinstance(kind, Class) else None
    run.whole = forward if isinstance(forward, Function) else None
    try:
        return run.current(run.call(made, images, {})), ()
    except NotReadable as error:
        found = _names_before(run, main)
        if not found:
            raise
        run.budget.step()  # nothing is left out for want of time
        return [value for _, value in found], (
            f"Its forward answers with more than {', '.join(name for name, _ in found)}, which "
            f"is not read and left out ({run.error(error)}).",
        )


def _names_before(run: Runner, main: int) -> list[tuple[str, Value]]:
    """Return which of the answers were there already; none if the main one is not sure."""
    frame, forward = run.left, run.whole
    if frame is None or forward is None or not isinstance(forward.node, ast.FunctionDef):
        return []
    body = forward.node.body
    after = [one for one in body if (one.end_lineno or one.lineno) >= frame.line]
    last = body[-1]
    if last not in after[1:] or not isinstance(last, ast.Return):
        return []
    if not isinstance(last.value, ast.Tuple | ast.List):
        return []
    inside = [node for one in after[:-1] for node in ast.walk(one)]
    if any(isinstance(node, ast.Return) for node in inside):
        return []
    named = {node.id for node in inside if isinstance(node, ast.Name)}
    wanted = [one.id if isinstance(one, ast.Name) else "" for one in last.value.elts]
    found = []
    for name in wanted[: main + 1]:
        value = frame.values.get(name)
        others = [one for other, one in frame.values.items() if other != name]
        if name in named or not isinstance(value, Value) or any(one is value for one in others):
            return []
        found.append((name, run.current(value)))
    return found if len(found) > main else []
