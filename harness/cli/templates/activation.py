"""my_name: an activation.

Check it  harness check my_name.py
See it    harness show my_name --plugin my_name.py
Use it    harness run --activation "my_name(width=2.0)" --plugin my_name.py
"""

import numpy as np

from harness import Scalar, activation


@activation("my_name")
def my_name(z, width: Scalar = 1.0):
    """f(z) = z / (1 + |z / width|)"""
    # z is an array, the first parameter; the others, each with a default, are hyperparameters. The
    # slope is derived from what is written here, so write NumPy on the whole array: np.where
    # instead of if, np.maximum instead of max. Scalar: a number that may differ between networks
    # that are trained together.
    return z / (1.0 + np.abs(z / width))
