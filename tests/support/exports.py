"""The smallest programs that a file of ``torch.export`` may hold."""

from __future__ import annotations

from typing import Any

__all__ = ["program"]


def program(module_call_graph: list[Any] | None = None) -> dict[str, Any]:
    """Return a program without nodes, as its JSON."""
    graph: dict[str, Any] = {name: [] for name in ("inputs", "outputs", "nodes")}
    graph |= {name: {} for name in ("tensor_values", "sym_int_values", "sym_bool_values")}
    signature: dict[str, Any] = {"input_specs": [], "output_specs": []}
    module = {"graph": graph, "signature": signature, "module_call_graph": module_call_graph or []}
    return {
        "graph_module": module,
        "opset_version": {"aten": 10},
        "range_constraints": {},
        "schema_version": {"major": 8, "minor": 1},
    }
