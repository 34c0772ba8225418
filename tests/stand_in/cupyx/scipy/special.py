"""Of cupyx.scipy.special what it shares with SciPy and is a ufunc there."""

import scipy.special
from cupy import ufunc

NAMES = (
    "erf",
    "erfc",
    "erfinv",
    "expit",
    "log_expit",
    "log_ndtr",
    "logit",
    "ndtr",
    "ndtri",
    "gammaln",
    "xlogy",
    "xlog1py",
)
globals().update({name: ufunc(getattr(scipy.special, name)) for name in NAMES})
