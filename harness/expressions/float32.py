"""Functions of one float32 for compiled loops, by the names of NumPy and SciPy.

They call no library, and LLVM turns a loop over them into one over vectors. The method, the largest
errors and the speed are in docs/float32.md.
"""

from collections.abc import Callable

import numpy as np

from harness.expressions.angles import arctan, cos, sin
from harness.expressions.exponentials import (
    cosh,
    exp,
    exp2,
    expit,
    expm1,
    log,
    log1p,
    log2,
    log10,
    log_expit,
    sinh,
    softplus,
    tanh,
)
from harness.expressions.gaussian import erf, erfc, ndtr

Float = np.float32

# softplus is logaddexp(0, x).
FLOAT32: dict[str, Callable[[Float], Float]] = {
    "arctan": arctan,
    "cos": cos,
    "cosh": cosh,
    "erf": erf,
    "erfc": erfc,
    "exp": exp,
    "exp2": exp2,
    "expit": expit,
    "expm1": expm1,
    "log": log,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "log_expit": log_expit,
    "ndtr": ndtr,
    "sin": sin,
    "sinh": sinh,
    "softplus": softplus,
    "tanh": tanh,
}
