"""Where it is decided whether y is classification or regression."""

from typing import Any

import numpy as np

from harness.errors import UsageError, option

TASKS = ("auto", "classification", "regression")

# So many different whole numbers, in so large a share of the rows, could be a price, a year or an
# id as well as classes, and then the user is asked.
_MANY = 20
_MANY_SHARE = 1 / 4


def task_of(name: str, y: np.ndarray, task: str, classes: Any) -> str:
    """The task that labels ask for: "classification" or "regression".

    Parameters
    ----------
    name
        The name of the data set, for messages.
    y
        Labels (N,) or targets (N, O), as `read_labels` returns them.
    task
        What the user says: one of TASKS.
    classes
        The names of the classes, where the user gives them; they make it a classification.

    Raises
    ------
    UsageError
        If y cannot be what the user says, or could be either and the user leaves it open.
    """
    if task not in TASKS:
        raise UsageError(f"{name}: task must be auto, classification or regression, got {task!r}")
    are_numbers = y.dtype.kind in "iuf"
    if task == "regression" and not are_numbers:
        raise UsageError(
            f"{name}: regression needs numbers as y, got {y.dtype}: say "
            f"{option('task', 'classification')} or choose another label"
        )
    if task != "auto":
        return task
    # Texts and truth values can only be classes.
    if classes is not None or not are_numbers:
        return "classification"
    # A regression would accept indicator rows, and would silently learn something else.
    if _is_indicator(y):
        raise UsageError(
            f"{name}: y holds indicator rows {y.shape}, a single 1 in each, but labels are wanted: "
            f"use y.argmax(1), or say {option('task', 'regression')}"
        )
    if y.dtype.kind == "f" and (y.ndim == 2 or _has_fractions(y)):
        return "regression"
    _refuse_doubt(name, y)
    return "classification"


def _is_indicator(y: np.ndarray) -> bool:
    if y.ndim != 2 or not np.isin(y, (0, 1)).all():
        return False
    return bool((y.sum(axis=1) == 1).all())


def _has_fractions(y: np.ndarray) -> bool:
    return bool((y[np.isfinite(y)] % 1 != 0).any())


def _refuse_doubt(name: str, y: np.ndarray) -> None:
    """Refuses whole numbers that could be classes or a quantity."""
    if y.ndim != 1:
        return
    different = len(np.unique(y))
    if different > _MANY and different > len(y) * _MANY_SHARE:
        raise UsageError(
            f"{name}: y has {different} different whole numbers in {len(y)} rows, which could be "
            f"classes or a quantity: say which with {option('task', 'classification')} or "
            f"{option('task', 'regression')}"
        )
