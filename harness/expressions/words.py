"""A graph in words: the formulas that run, as a person would write them."""

from collections import Counter
from typing import Any

from harness.expressions.graph import Node, reachable

# How strongly an operation binds its operands; a function call binds as a name does.
_SIGNS = {"add": (1, " + "), "subtract": (1, " - "), "multiply": (2, " * "), "divide": (2, " / ")}
_NAME = 5
_ORDERS = {
    "greater": " > ",
    "greater_equal": " >= ",
    "less": " < ",
    "less_equal": " <= ",
    "equal": " == ",
    "logical_and": " & ",
    "logical_or": " | ",
}


def lines(outputs: dict[str, Any]) -> list[str]:
    """Return what some nodes are, one line each; before them a line for what is used twice.

    Parameters
    ----------
    outputs
        The nodes, or numbers, by name, in the order in which they are written.
    """
    nodes = _all(outputs)
    readers = Counter(
        argument.index for node in nodes for argument in node.args if isinstance(argument, Node)
    )
    roots = {root.index for root in outputs.values() if isinstance(root, Node)}
    names: dict[int, str] = {}
    written = []
    for node in nodes:
        is_leaf = not any(isinstance(argument, Node) for argument in node.args)
        if is_leaf or node.index in roots or node.op in ("negative", "square"):
            continue
        if readers[node.index] > 1:
            name = f"t{len(names) + 1}"
            written.append(f"{name} = {_text(node, names)[0]}")
            names[node.index] = name
    for name, root in outputs.items():
        written.append(f"{name} = {_text(root, names)[0]}")
        if isinstance(root, Node) and root.op != "input":
            names.setdefault(root.index, name)
    return written


def _all(outputs: dict[str, Any]) -> list[Node]:
    nodes = {node.index: node for root in outputs.values() for node in reachable(root)}
    return [nodes[index] for index in sorted(nodes)]


def _text(node: Any, names: dict[int, str]) -> tuple[str, int]:
    """A node in words, and how strongly its outermost operation binds."""
    if not isinstance(node, Node):
        return (f"{node:g}", _NAME) if isinstance(node, float) else (str(node), _NAME)
    if node.index in names:
        return names[node.index], _NAME
    if node.op in ("input", "z", "decays"):
        return (str(node.args[0]) if node.args else node.op), _NAME
    parts = [_text(argument, names) for argument in node.args]
    if node.op in _SIGNS:
        strength, sign = _SIGNS[node.op]
        left = _within(parts[0], strength)
        return left + sign + _within(parts[1], strength + (node.op != "add")), strength
    if node.op in _ORDERS:
        return _within(parts[0], 1) + _ORDERS[node.op] + _within(parts[1], 1), 0
    if node.op == "negative":
        return f"-{_within(parts[0], 3)}", 2
    if node.op in ("square", "power"):
        power = "2" if node.op == "square" else _within(parts[1], _NAME)
        return f"{_within(parts[0], _NAME)}^{power}", 4
    return f"{node.op}({', '.join(part[0] for part in parts)})", _NAME


def _within(part: tuple[str, int], strength: int) -> str:
    """A part, in parentheses where it binds less strongly than what stands around it."""
    text, binds = part
    return text if binds >= strength else f"({text})"
