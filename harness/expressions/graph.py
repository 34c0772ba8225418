"""The graph of an expression, as plain data: which operation is done on which operands.

A graph grows at its end: what is new refers to what is there. So to go through the nodes by index
is to meet the operands of each node before the node. Nothing here knows where a graph comes from
(`trace`), how it is made smaller (`simplify`), what its slope is (`derive`) or how it is run
(`passes`, `loops`).
"""

from typing import Any

# The operations that give a condition, an array of booleans
COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")
_CONDITIONS = {*COMPARISONS, *LOGICAL}

# The operations that may overflow at a finite operand of ordinary size, and those that never do
_EXPONENTIAL = {"exp", "exp2", "expm1", "sinh", "cosh", "erfcx"}
_BOUNDED = {"tanh", "sin", "cos", "arctan", "sign", "expit", "erf", "erfc", "ndtr", *_CONDITIONS}


class Node:
    """One instruction: an operation on nodes and numbers.

    Attributes
    ----------
    graph
        The graph that it belongs to.
    op
        The name of a ufunc of NumPy or scipy.special, or "where"; or what comes from outside:
        "z" and "da" of an activation, "input" and "decays" of a formula, "array".
    args
        Its operands: nodes, floats and bools; of "input" its name, of "array" the array.
    index
        Its place in the graph.
    of_z
        Whether it depends on z.
    boolean
        Whether it is a condition, and not a number.
    grows
        Whether it depends on z and may overflow at a finite z of ordinary size.
    """

    __slots__ = ("args", "boolean", "graph", "grows", "index", "of_z", "op")

    def __init__(self, graph: "Graph", op: str, args: tuple[Any, ...], index: int) -> None:
        self.graph = graph
        self.op = op
        self.args = args
        self.index = index
        self.of_z: bool = op == "z" or any(a.of_z for a in args if isinstance(a, Node))
        self.boolean = op in _CONDITIONS or (op == "array" and args[0].dtype == bool)
        self.grows = self.of_z and _grows(op, args)


def _grows(op: str, args: tuple[Any, ...]) -> bool:
    """Whether op(*args) may overflow; an exponential or a high power makes it so."""
    if op in _EXPONENTIAL:
        return True
    if op == "power":
        return not isinstance(args[1], float) or abs(args[1]) > 3.0
    if op == "divide":  # a denominator that overflows makes it small
        args = args[:1]
    return op not in _BOUNDED and any(getattr(a, "grows", False) for a in args)


class Graph:
    """The nodes of one expression, each of them once.

    Attributes
    ----------
    kind
        The class of its nodes. A user's function is given nodes that note what is done with them
        (`trace.Tracer`); for who only reads them they are nodes.
    nodes
        All nodes, by what makes them equal.
    left, slopes
        By the index of a node, what `derive` has found out about it.
    """

    def __init__(self, kind: type[Node]) -> None:
        self.kind = kind
        self.nodes: dict[tuple[Any, ...], Node] = {}
        self.left: dict[int, Any] = {}
        self.slopes: dict[int, Any] = {}

    def intern(self, op: str, *args: Any) -> Any:
        """Return the one node that is op(*args), as it stands."""
        key = (op, *(_identity(op, a) for a in args))
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = self.kind(self, op, args, len(self.nodes))
        return node


def _identity(op: str, a: Any) -> Any:
    """What tells an operand from another; repr tells 0.0 from -0.0 and True from 1.0."""
    if isinstance(a, Node):
        return (a.index,)
    return id(a) if op == "array" else repr(a)


def is_op(a: Any, what: float | str) -> bool:
    """Whether a is that number, or a node of that operation."""
    if isinstance(a, Node):
        return a.op == what
    return isinstance(a, float) and a == what


def number(a: Any) -> Any:
    """A condition as 1 or 0, anything else as it is."""
    if isinstance(a, Node):
        return a.graph.intern("where", a, 1.0, 0.0) if a.boolean else a
    return float(a)


def reachable(root: Any, stop: Any = ()) -> list[Any]:
    """The nodes that root needs, operands first; not those with an index in stop, nor theirs."""
    found: dict[int, Node] = {}
    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, Node) and node.index not in found and node.index not in stop:
            found[node.index] = node
            todo += node.args
    return [found[index] for index in sorted(found)]
