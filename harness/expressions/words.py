"""A graph in words: the formulas that run, as a person would write them."""

from collections import Counter
from typing import Any

from harness.expressions.graph import Node, reachable

# How strongly an operation binds its operands; a function call binds as a name does.
_SIGNS = {"add": (1, " + "), "subtract": (1, " - "), "multiply": (2, " * "), "divide": (2, " / ")}
_NAME = 5
# A value that so many operations lie below has a line of its own; nobody reads a longer one.
_DEPTH = 30
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
    """Return what some nodes are, one line each; before them lines for what is used twice or long.

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
    depths: dict[int, int] = {}  # how many operations are written within each other
    written = []
    for node in nodes:
        below = [depths[a.index] for a in node.args if isinstance(a, Node)]
        depth = depths[node.index] = 1 + max(below, default=-1)
        if depth == 0 or node.index in roots:
            continue
        is_read_twice = readers[node.index] > 1 and node.op not in ("negative", "square")
        if is_read_twice or depth >= _DEPTH:
            name = f"t{len(names) + 1}"
            written.append(f"{name} = {_text(node, names)[0]}")
            names[node.index] = name
            depths[node.index] = 0
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
    if node.op == "array":
        array = node.args[0]
        return (f"{array.item():g}" if array.size == 1 else f"array{array.shape}"), _NAME
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
