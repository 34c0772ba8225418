"""A graph as the source of one CUDA kernel: an expression is one launch on a GPU.

What depends on scalars alone is computed once in each block, by its first thread and in float64.
All else is computed element by element, in the type of the arrays. The numbers of the graph are
arguments, as in `loops`. The source is CUDA that a compiler of C takes too, where a few names are
defined for it, so that what is run on a GPU can be tested without one.
"""

from typing import Any

from harness.expressions.graph import Node
from harness.expressions.loops import WRITTEN, Loop, Unlowered, Writer

_TYPES = {"float32": "float", "float64": "double"}

# The words of the language in C: {s} is f in float32, and nothing in float64. So exp{s} is the
# function of that type, and 1.0{s} the number. All treat NaN, infinities and zeros as NumPy does.
SPELLED = {
    "negative": "-{0}",
    "absolute": "fabs{s}({0})",
    "square": "{0} * {0}",
    "sqrt": "sqrt{s}({0})",
    "cbrt": "cbrt{s}({0})",
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "power": "pow{s}({0}, {1})",
    "hypot": "hypot{s}({0}, {1})",
    # The second comparison hands a NaN on, which fmax would not. Of equal ones the second is taken.
    "maximum": "({0} > {1} || {0} != {0} ? {0} : {1})",
    "minimum": "({0} < {1} || {0} != {0} ? {0} : {1})",
    "where": "({0} ? {1} : {2})",
    "sign": "({0} > 0.0{s} ? 1.0{s} : ({0} < 0.0{s} ? -1.0{s} : ({0} == 0.0{s} ? 0.0{s} : {0})))",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} && {1}",
    "logical_or": "{0} || {1}",
    "logical_xor": "{0} != {1}",
    "logical_not": "!{0}",
    "exp": "exp{s}({0})",
    "exp2": "exp2{s}({0})",
    "expm1": "expm1{s}({0})",
    "log": "log{s}({0})",
    "log2": "log2{s}({0})",
    "log10": "log10{s}({0})",
    "log1p": "log1p{s}({0})",
    "sin": "sin{s}({0})",
    "cos": "cos{s}({0})",
    "tan": "tan{s}({0})",
    "sinh": "sinh{s}({0})",
    "cosh": "cosh{s}({0})",
    "tanh": "tanh{s}({0})",
    "arctan": "atan{s}({0})",
    "arcsinh": "asinh{s}({0})",
    "arccosh": "acosh{s}({0})",
    "arctanh": "atanh{s}({0})",
    "erf": "erf{s}({0})",
    "erfc": "erfc{s}({0})",
    "erfcx": "erfcx{s}({0})",
    "ndtr": "normcdf{s}({0})",
    "expit": "1.0{s} / (1.0{s} + exp{s}(-{0}))",
    # min(x, 0) - log(1 + exp(-|x|)), which overflows nowhere
    "log_expit": "(({0} < 0.0{s} ? {0} : 0.0{s}) - log1p{s}(exp{s}(-fabs{s}({0}))))",
    # The difference of two infinities would be NaN.
    "logaddexp": "({0} == {1} ? {0} + 0.6931471805599453{s} : ({0} > {1} ? {0} : {1})"
    " + log1p{s}(exp{s}(-fabs{s}({0} - {1}))))",
    # Below -1, ndtr itself loses its digits and then vanishes.
    "log_ndtr": "({0} < -1.0{s}"
    " ? log{s}(0.5{s} * erfcx{s}(-0.7071067811865476{s} * {0})) - 0.5{s} * {0} * {0}"
    " : log1p{s}(-normcdf{s}(-{0})))",
    "xlogy": "({0} == 0.0{s} && {1} == {1} ? 0.0{s} : {0} * log{s}({1}))",
    # log(0) is -inf, and the entropy of what is negative too.
    "entr": "({0} > 0.0{s} ? -{0} * log{s}({0})"
    " : ({0} == 0.0{s} ? 0.0{s} : ({0} < 0.0{s} ? log{s}(0.0{s}) : {0})))",
}


class _Kernel(Writer):
    """Writes a kernel: what `loops` writes in Python, in C."""

    def __init__(
        self, inputs: dict[int, str], outputs: dict[str, Any], dtype: str, add_row_to: str
    ) -> None:
        super().__init__(inputs, outputs, dtype, add_row_to)
        self._handed: dict[str, str] = {}  # the type in C of what elements read of scalars
        self._in_elements: set[int] = set()  # the places of the numbers that elements read

    def _add(self, node: Node) -> None:
        if node.op == "decays":  # it differs from element to element: see the source
            self._names[node.index] = "decays"
            self._varies.add(node.index)
            self._in_parts = True
            return
        if node.op == "array" and node.args[0].dtype.name not in _TYPES:
            raise Unlowered(f"an array of {node.args[0].dtype}")
        super()._add(node)

    def _statement(self, name: str, value: str, boolean: bool | None = None) -> str:
        if boolean is None:
            return f"{name} = {value};"
        kind = "bool" if boolean else "double" if name.startswith("m") else _TYPES[self._dtype]
        return f"const {kind} {name} = {value};"

    def _operand(self, argument: Any, in_elements: bool) -> str:
        if isinstance(argument, Node):
            return self._node(argument, in_elements)
        if isinstance(argument, bool):
            return str(int(argument))
        if argument in WRITTEN:
            return f"({argument}{self._suffix(in_elements)})"
        place = self._place(argument)
        if not in_elements:
            return f"number{place}"
        self._in_elements.add(place)
        return f"k{place}"

    def _node(self, node: Node, in_elements: bool) -> str:
        name = super()._node(node, in_elements)
        if not in_elements or node.index in self._varies:
            return name
        # The first thread of a block has computed it, and hands it to the others.
        computed = self._names[node.index]
        self._handed[computed] = "bool" if node.boolean else _TYPES[self._dtype]
        return f"e_{computed}"

    def _call(self, op: str, operands: list[str], varies: bool) -> str:
        if op not in SPELLED:
            raise Unlowered(op)
        return SPELLED[op].format(*operands, s=self._suffix(varies))

    def _suffix(self, in_elements: bool) -> str:
        return "f" if in_elements and self._dtype == "float32" else ""

    def _source(self, arrays: tuple[str, ...], stores: list[str]) -> str:
        kind = _TYPES[self._dtype]
        arguments = []
        for name in arrays:
            arguments.append(f"{kind}* {name}_")
            if name not in self._written():
                arguments.append(f"long long {name}_step")
        for k, node in enumerate(self._scalars):
            arguments.append(f"const {_TYPES[node.args[0].dtype.name]}* s{k}_")
            arguments.append(f"long long s{k}_step")
        arguments += [f"double number{place}" for place in range(len(self._numbers))]
        arguments += ["long long n", "long long chunks"]
        lines = self._scalar_lines()
        for place in sorted(self._in_elements):
            lines.append(f"const {kind} k{place} = ({kind})number{place};")
        lines.append("const long long first = blockIdx.x % chunks * blockDim.x + threadIdx.x;")
        lines.append("for (long long j = first; j < n; j += chunks * blockDim.x) {")
        lines.append("    const long long i = p * n + j;")
        if self._in_parts:
            arguments.append("long long decayed")
            lines.append(f"    const {kind} decays = j < decayed ? 1 : 0;")
        lines += [f"    {self._load(kind, name)}" for name in self._read()]
        if self._add_row_to:
            arguments += [f"{kind}* row_", "long long row_step", "long long columns"]
            if self._add_row_to not in self._outputs:
                stores = [*stores, f"{self._add_row_to}_[i] = {self._add_row_to}_i;"]
        lines += [f"    {line}" for line in [*self._per_element, *stores]]
        lines.append("}")
        listed = ",\n    ".join(arguments)
        head = f'extern "C" __global__ void kernel(\n    {listed}) {{'
        body = ["const long long p = blockIdx.x / chunks;", *lines]
        return "\n".join([head, *(f"    {line}" for line in body), "}"]) + "\n"

    def _written(self) -> set[str]:
        """The names of the arrays that it writes."""
        return {*self._outputs, self._add_row_to}

    def _load(self, kind: str, name: str) -> str:
        """The line that reads an array."""
        # The members of a population may share an array that is only read: its step is 0.
        place = "i" if name in self._written() else f"p * {name}_step + j"
        value = f"{name}_[{place}]"
        if name == self._add_row_to:
            value += " + row_[p * row_step + j % columns]"
        return f"const {kind} {name}_i = {value};"

    def _scalar_lines(self) -> list[str]:
        """The lines by which the first thread of a block computes what all of them read."""
        if not self._per_member:  # there is nothing to compute
            return [
                f"const {kind} e_{name} = ({kind}){name}_[p * {name}_step];"
                for name, kind in self._handed.items()
            ]
        shared = [f"__shared__ {kind} e_{name};" for name, kind in self._handed.items()]
        scalars = range(len(self._scalars))
        lines = [f"const double s{k} = s{k}_[p * s{k}_step];" for k in scalars]
        lines += self._per_member
        lines += [f"e_{name} = ({kind}){name};" for name, kind in self._handed.items()]
        first_thread = [f"    {line}" for line in lines]
        return [*shared, "if (threadIdx.x == 0) {", *first_thread, "}", "__syncthreads();"]


def lower(
    inputs: dict[int, str], outputs: dict[str, Any], dtype: str, add_row_to: str = ""
) -> Loop:
    """Write the kernel that computes some nodes of a graph.

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
        An array (..., B, O) to which a row (..., 1, O) is added first, such as a bias.

    Raises
    ------
    Unlowered
        If the graph has an array that is no scalar.
    """
    if dtype not in _TYPES:
        raise Unlowered(dtype)
    return _Kernel(inputs, outputs, dtype, add_row_to).loop()
