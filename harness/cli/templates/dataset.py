"""my_name: a data set.

Check it  harness check my_name.py
Use it    harness run --data "my_name(rows=1000)" --sizes 2-50-2 --update adam --batch 20 \
              --plugin my_name.py
"""

import numpy as np

from harness import dataset
from harness.data import from_arrays


@dataset("my_name")
def my_name(rows: int = 400, noise: float = 0.05, seed: int = 0):
    """two classes of points in the plane: an inner and an outer ring"""
    # Every process makes the data set for itself, so it must come out the same each time: seed your
    # generator. To read a file instead, give its path as an argument and return what is in it.
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2  # labels, whole numbers or names; floats for a regression
    angle = rng.uniform(0.0, 2.0 * np.pi, rows)
    radius = 0.5 + 0.5 * y
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (rows, features)
    x += noise * rng.standard_normal(x.shape)
    return from_arrays("my_name", x, y)
