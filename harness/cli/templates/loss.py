"""my_name: a loss.

Check it  harness check my_name.py
Use it    harness run --data friedman1 --loss my_name --metric rmse --update adam \
              --plugin my_name.py
"""

import numpy as np

from harness import Scalar, loss, on_differences


@loss("my_name")
def my_name(width: Scalar = 1.0):
    """L = mean over the batch of sum_k width^2 (sqrt(1 + (d_k / width)^2) - 1), d = y - t"""

    # d is an array, the differences between outputs and targets; what is returned is summed over
    # the outputs. The slope is derived from what is written here, so write NumPy on the whole
    # array: np.where instead of if, np.maximum instead of max. Scalar: a number that may differ
    # between networks that are trained together. For what is no expression of the differences, see
    # docs/plugins.md.
    def h(d, width):
        return width**2 * (np.sqrt(1.0 + (d / width) ** 2) - 1.0)

    return on_differences(h, width=width)
