"""Mathematics that is written once, as an expression.

It is traced into a graph, from which come its slope, passes of NumPy and compiled loops.
"""

from harness.expressions.activation import deriv, expression, factory, inplace

__all__ = ["deriv", "expression", "factory", "inplace"]
