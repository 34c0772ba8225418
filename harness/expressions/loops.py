"""A graph as the source of one compiled loop.

What depends on scalars alone is computed once for each member, in float64. All else is computed
element by element, in the type of the arrays. Every number of the graph is an argument of the
loop, so that a sweep over a hundred values of a hyperparameter compiles it once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.expressions.graph import Node, reachable

# The numbers that are written into a source, since rules of simplification bring them in anyway.
WRITTEN = (0.0, 1.0, -1.0, 0.5, 2.0)

# One operation in the words of Python, where both types compute it alike.
_PLAIN = {
    "negative": "-{0}",
    "absolute": "abs({0})",
    "square": "{0} * {0}",
    "sqrt": "sqrt({0})",
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "power": "{0} ** {1}",
    # The second comparison hands a NaN on, as NumPy does.
    "maximum": "({0} if ({0} >= {1}) | ({0} != {0}) else {1})",
    "minimum": "({0} if ({0} <= {1}) | ({0} != {0}) else {1})",
    "where": "({1} if {0} else {2})",
    # Of a zero it is 0.0, whatever its sign; a NaN is handed on.
    "sign": "({one} if {0} > {zero} else (-{one} if {0} < {zero} else "
    "({zero} if {0} == {zero} else {0})))",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
    "logical_xor": "{0} ^ {1}",
    "logical_not": "not {0}",
    "exp2": "{two} ** {0}",
    "cbrt": "copysign(abs({0}) ** {third}, {0})",
    "xlogy": "({zero} if {0} == {zero} else {0} * log({1}))",
    "expit": "{one} / ({one} + exp(-{0}))",
    "entr": "({zero} if {0} == {zero} else -{0} * log({0}))",
    "log_expit": "(({0} if {0} < {zero} else {zero}) - log1p(exp(-abs({0}))))",
    "logaddexp": "(({0} if {0} > {1} else {1}) + log1p(exp(-abs({0} - {1}))))",
}

# What Numba has of the standard library.
_LIBRARY = {
    "arctan": "atan",
    "arccosh": "acosh",
    "arcsinh": "asinh",
    "arctanh": "atanh",
    "copysign": "copysign",
    "cos": "cos",
    "cosh": "cosh",
    "erf": "erf",
    "erfc": "erfc",
    "exp": "exp",
    "expm1": "expm1",
    "hypot": "hypot",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "log2": "log2",
    "sin": "sin",
    "sinh": "sinh",
    "tan": "tan",
    "tanh": "tanh",
}


# What a processor does in a few cycles.
_CHEAP = {
    *("absolute", "add", "divide", "equal", "greater", "greater_equal", "less"),
    *(
        "less_equal",
        "logical_and",
        "logical_not",
        "logical_or",
        "logical_xor",
        "maximum",
        "minimum",
    ),
    *("multiply", "negative", "not_equal", "sign", "sqrt", "square", "subtract", "where"),
}


class Unlowered(Exception):
    """A graph has an operation that no compiled loop computes."""


@dataclass(frozen=True)
class Loop:
    """The source of a loop, and what it is called with.

    Attributes
    ----------
    source
        A module of Python with a function `kernel(*arrays, *scalars, numbers)`.
    arrays
        The names of its arrays (n,), those that it writes among them.
    scalars
        The nodes of its scalars, one for each member or one for all.
    numbers
        The numbers of the graph, in the order of the array that holds them.
    in_parts
        Whether it takes two arguments more: how many members there are, and how many elements of
        each decay, which come first.
    has_row
        Whether it takes three arguments more, before the numbers: a row for each member, as
        `span_of` returns them.
    name
        Of the function in the source.
    """

    source: str
    arrays: tuple[str, ...]
    scalars: tuple[Node, ...]
    numbers: tuple[float, ...]
    in_parts: bool = False
    has_row: bool = False
    name: str = "kernel"


def lower(
    inputs: dict[int, str],
    outputs: dict[str, Any],
    dtype: str,
    *,
    add_row_to: str = "",
    sum_rows_of: str = "",
) -> Loop:
    """Write the loop that computes some nodes of a graph.

    Parameters
    ----------
    inputs
        From the index of a node to the name of the array in which its values come.
    outputs
        From the name of an array to the node, or the number, whose values it is given. An array
        may come in and go out.
    dtype
        Of the arrays, "float32" or "float64".
    add_row_to
        An array (..., B, O) to which a row (..., O) is added first, such as a bias.
    sum_rows_of
        An array (..., B, O) whose rows are summed at the end, into a row (..., O).

    Raises
    ------
    Unlowered
        If an operation has no compiled form, or a loop would gain too little.
    """
    refuse_functions(inputs, outputs, dtype)
    return Writer(inputs, outputs, dtype, add_row_to, sum_rows_of).loop()


def refuse_functions(inputs: Iterable[int], outputs: dict[str, Any], dtype: str) -> None:
    """Raise Unlowered where a loop gains too little for the time that it takes to compile.

    That is in float64 where each element calls a function of the C library. The function takes
    nearly all of the time then, and passes of NumPy compute it as fast or, on some processors,
    several values at a time.
    """
    if dtype == "float64" and any(costs(root, inputs) for root in outputs.values()):
        raise Unlowered("a function in float64")


def costs(root: Any, given: Iterable[int]) -> bool:
    """Whether what computes `root` calls a function for each element.

    Parameters
    ----------
    root
        A node or a number.
    given
        The indices of the nodes whose values come in arrays, from which it is computed.
    """
    varies = set(given)
    for node in reachable(root, varies):
        if any(isinstance(operand, Node) and operand.index in varies for operand in node.args):
            varies.add(node.index)
            if node.op not in _CHEAP:
                return True
    return False


class Writer:
    """Writes a loop from the top to the bottom; `names` has what each node is called in it."""

    def __init__(
        self,
        inputs: dict[int, str],
        outputs: dict[str, Any],
        dtype: str,
        add_row_to: str = "",
        sum_rows_of: str = "",
    ) -> None:
        self._add_row_to = add_row_to
        self._sum_rows_of = sum_rows_of
        self._inputs = inputs
        self._outputs = outputs
        self._dtype = dtype
        self._numbers: list[float] = []
        self._scalars: list[Node] = []
        self._fast: set[str] = set()  # the functions of our own that it calls
        self._per_member: list[str] = []
        self._per_element: list[str] = []
        self._names: dict[int, str] = {}
        self._in_parts = False
        self._varies = set(inputs)  # the nodes that differ from element to element

    def loop(self) -> Loop:
        """Return what has been written."""
        for root in self._outputs.values():
            for node in reachable(root, self._inputs):
                if node.index not in self._names:
                    self._add(node)
        stores = [
            self._statement(f"{name}_[i]", self._operand(root, True))
            for name, root in self._outputs.items()
        ]
        with_row = [name for name in (self._add_row_to, self._sum_rows_of) if name]
        arrays = tuple(dict.fromkeys([*self._read(), *with_row, *self._outputs]))
        return Loop(
            source=self._source(arrays, stores),
            arrays=arrays,
            scalars=tuple(self._scalars),
            numbers=tuple(self._numbers),
            in_parts=self._in_parts,
            has_row=bool(with_row),
        )

    def _read(self) -> list[str]:
        """The arrays that are read, in the order in which they were given."""
        return [name for index, name in self._inputs.items() if index in self._names]

    def _add(self, node: Node) -> None:
        """Name the value of a node, and write the line that computes it."""
        if node.op == "array":
            self._names[node.index] = f"s{len(self._scalars)}"
            self._scalars.append(node)
            return
        if node.op == "decays":
            self._names[node.index] = "decays"
            self._in_parts = True
            return
        varies = any(isinstance(a, Node) and a.index in self._varies for a in node.args)
        lines = self._per_element if varies else self._per_member
        operands = [self._operand(argument, varies) for argument in node.args]
        name = f"{'t' if varies else 'm'}{node.index}"
        value = self._call(node.op, operands, varies)
        lines.append(self._statement(name, value, node.boolean))
        self._names[node.index] = name
        if varies:
            self._varies.add(node.index)

    def _statement(self, name: str, value: str, boolean: bool | None = None) -> str:
        """A line that gives a name its value; `boolean` is None where the name is there already."""
        return f"{name} = {value}"

    def _operand(self, argument: Any, in_elements: bool) -> str:
        """How a line calls an operand; in the loop over elements all have the arrays' type."""
        if isinstance(argument, Node):
            return self._node(argument, in_elements)
        if isinstance(argument, bool):
            return str(argument)
        if argument in WRITTEN:
            return f"f({argument})" if in_elements else str(argument)
        place = self._place(argument)
        return f"k{place}" if in_elements else f"numbers[{place}]"

    def _place(self, number: float) -> int:
        """The place of a number among those that the loop is called with."""
        if number not in self._numbers:
            self._numbers.append(number)
        return self._numbers.index(number)

    def _node(self, node: Node, in_elements: bool) -> str:
        if node.index in self._inputs and node.index not in self._names:
            self._names[node.index] = f"{self._inputs[node.index]}_i"
        name = self._names[node.index]
        if in_elements and node.index not in self._varies and not node.boolean:
            return f"e_{name}"
        return name

    def _call(self, op: str, operands: list[str], varies: bool) -> str:
        single = varies and self._dtype == "float32"
        if single:
            from harness.expressions.float32 import FLOAT32

            if op == "logaddexp" and "f(0.0)" in operands:
                op = "softplus"
                operands = [operands[1] if operands[0] == "f(0.0)" else operands[0]]
            if op in FLOAT32:
                self._fast.add(op)
                return f"{op}_f({', '.join(operands)})"
        if op in _LIBRARY:
            call = f"{_LIBRARY[op]}({', '.join(operands)})"
            return f"f({call})" if single else call
        if op not in _PLAIN:
            raise Unlowered(op)
        zero, one, two, third = (
            ("f(0.0)", "f(1.0)", "f(2.0)", "f(1.0 / 3.0)")
            if varies
            else ("0.0", "1.0", "2.0", "(1.0 / 3.0)")
        )
        return _PLAIN[op].format(*operands, zero=zero, one=one, two=two, third=third)

    def _source(self, arrays: tuple[str, ...], stores: list[str]) -> str:
        scalars = [f"s{k}" for k in range(len(self._scalars))]
        has_row = bool(self._add_row_to or self._sum_rows_of)
        arguments = [*arrays, *(f"{scalar}_" for scalar in scalars)]
        arguments += [*(["row", "row_step", "columns"] if has_row else []), "numbers"]
        if self._in_parts:
            arguments += ["members", "decayed"]
        lines = [*head(self._dtype, self._fast), f"def kernel({', '.join(arguments)}):"]
        lines += [f"    k{place} = f(numbers[{place}])" for place in range(len(self._numbers))]
        sizes = ", ".join(f"{scalar}_.size" for scalar in scalars)
        members = f"max(1, {sizes})" if scalars else "1"
        if has_row:
            members = "(row.size - columns) // row_step + 1"
        if not self._in_parts:
            lines.append(f"    members = {members}")
        lines.append(f"    n = {arrays[-1]}.size // members")
        lines.append("    for p in range(members):")
        lines += self._loads_of_scalars(scalars)
        if self._in_parts:
            lines.append("        for part in range(2):")
            lines.append("            decays = 1.0 - part")
            lines.append("            start = p * n + part * decayed")
            lines.append("            stop = p * n + n if part else p * n + decayed")
        else:
            lines.append("        if True:")
            lines.append("            start = p * n")
            lines.append("            stop = p * n + n")
        lines += [f"            {line}" for line in self._per_member]
        for index, name in self._names.items():
            if index not in self._varies:
                lines.append(f"            e_{name} = f({name})")
        lines += [f"            {name}_ = {name}[start:stop]" for name in arrays]
        if self._add_row_to:
            lines += _rows(self._add_row_to, "line[j] += row_[j]")
        lines.append(f"            for i in range({arrays[-1]}_.size):")
        lines += [f"                {name}_i = {name}_[i]" for name in self._read()]
        lines += [f"                {line}" for line in [*self._per_element, *stores]]
        if self._sum_rows_of:
            lines.append("            row[p * row_step : p * row_step + columns] = f(0.0)")
            lines += _rows(self._sum_rows_of, "row_[j] += line[j]")
        return "\n".join(lines) + "\n"

    def _loads_of_scalars(self, scalars: list[str]) -> list[str]:
        lines = []
        for scalar, node in zip(scalars, self._scalars, strict=True):
            value = f"{scalar}_[min(p, {scalar}_.size - 1)]"
            lines.append(f"        {scalar} = {value if node.boolean else f'float64({value})'}")
        return lines


def _rows(array: str, statement: str) -> list[str]:
    """The lines that do something with each row of an array and the row of a member."""
    return [
        "            row_ = row[p * row_step : p * row_step + columns]",
        f"            for r in range({array}_.size // row_.size):",
        f"                line = {array}_[r * row_.size : r * row_.size + row_.size]",
        "                for j in range(row_.size):",
        f"                    {statement}",
    ]


def head(dtype: str, fast: set[str]) -> list[str]:
    """The lines before a kernel: the names that it uses, and how it is compiled.

    f is the type, and exp_f the function of that type: ours in float32, the library's in float64.
    """
    lines = ["from math import " + ", ".join(sorted({*_LIBRARY.values(), "sqrt"}))]
    lines.append("from numba import njit")
    lines.append(f"from numpy import {dtype} as f, float64")
    if fast and dtype == "float64":
        lines += [f"{name}_f = {_LIBRARY[name]}" for name in sorted(fast)]
    elif fast:
        lines.append("from harness.expressions.float32 import FLOAT32")
        lines += [f"{name}_f = FLOAT32[{name!r}]" for name in sorted(fast)]
    # A division by zero is no error, as in NumPy. Without fastmath nothing is fused or reordered:
    # results do not depend on whether a value lies in the body of a vectorized loop.
    lines.append('@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")')
    return lines
