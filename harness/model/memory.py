"""Where arrays lie in memory, and which of them are among the arguments of a call."""

from typing import Any

import numpy as np


def bounds(array: np.ndarray) -> tuple[int, int]:
    """The addresses of the first byte of an array, and of the one behind its last."""
    first = last = array.__array_interface__["data"][0]
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            first += (length - 1) * stride
        else:
            last += (length - 1) * stride
    return first, last + array.itemsize


def is_within(part: np.ndarray, whole: np.ndarray) -> bool:
    """Whether an array is a view of another one."""
    if not part.size:
        return True
    first, last = bounds(part)
    begin, end = bounds(whole)
    return begin <= first and last <= end


def arrays_in(values: Any) -> list[np.ndarray]:
    """All arrays in a list or dict of arguments, those in lists within it too."""
    arrays: list[np.ndarray] = []
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, np.ndarray):
            arrays.append(value)
        elif isinstance(value, tuple | list | dict):
            arrays += arrays_in(value)
    return arrays


def plain(value: Any) -> Any:
    """Arguments with plain arrays in the place of those of another class."""
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    if isinstance(value, tuple | list):
        return type(value)(plain(item) for item in value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
