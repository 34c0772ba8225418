"""Mathematics that is written once: an expression is traced, and its slope is derived.

Both run as NumPy passes.
"""

from harness.expressions.activation import deriv, expression, factory, inplace

__all__ = ["deriv", "expression", "factory", "inplace"]
