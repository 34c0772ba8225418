"""Functions of one float32 for compiled loops, by the names of NumPy and SciPy.

They call no library, and LLVM turns a loop over them into one over vectors. The method, the largest
errors and the speed are in docs/float32.md.
"""

from collections.abc import Callable

import numpy as np

from harness.expressions.angles import arctan, cos, sin, tan
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
from harness.expressions.gaussian import erf, erfc, erfcx, log_ndtr, ndtr
from harness.expressions.wide import (
    arccosh,
    arcsinh,
    arctanh,
    cbrt,
    entr,
    hypot,
    logaddexp,
    power,
    xlogy,
)

Float = np.float32

# Functions of one number. softplus is logaddexp(0, x).
OF_ONE: dict[str, Callable[[Float], Float]] = {
    "arccosh": arccosh,
    "arcsinh": arcsinh,
    "arctan": arctan,
    "arctanh": arctanh,
    "cbrt": cbrt,
    "cos": cos,
    "cosh": cosh,
    "entr": entr,
    "erf": erf,
    "erfc": erfc,
    "erfcx": erfcx,
    "exp": exp,
    "exp2": exp2,
    "expit": expit,
    "expm1": expm1,
    "log": log,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "log_expit": log_expit,
    "log_ndtr": log_ndtr,
    "ndtr": ndtr,
    "sin": sin,
    "sinh": sinh,
    "softplus": softplus,
    "tan": tan,
    "tanh": tanh,
}

OF_TWO: dict[str, Callable[[Float, Float], Float]] = {
    "hypot": hypot,
    "logaddexp": logaddexp,
    "power": power,
    "xlogy": xlogy,
}

FLOAT32: dict[str, Callable[..., Float]] = {**OF_ONE, **OF_TWO}
