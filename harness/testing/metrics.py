"""What every metric must do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import registry
from harness.testing.measures import UNITS, P, different
from harness.testing.suite import Check, Subject, Suite

_ROWS = 10_001


@dataclass(frozen=True)
class _Metric:
    """A metric, the truth y, and predictions: of a population (P, N, O), good ones, poor ones."""

    score: Callable[[np.ndarray, np.ndarray], Any]
    y: np.ndarray
    predictions: np.ndarray
    good: np.ndarray
    poor: np.ndarray
    rng: np.random.Generator
    is_maximized: bool
    has_classes: bool


def metric(suite: Suite, subject: Subject) -> None:
    """The checks of a metric."""
    options = subject.entry.options
    score = registry.make("metric", subject.spec)
    has_classes = options["task"] == "classification"
    # So many rows that NumPy adds in blocks, whose order a population must not change.
    rng = np.random.default_rng(5)
    y: np.ndarray = rng.standard_normal((_ROWS, 2))
    predictions = y + rng.standard_normal((P, _ROWS, 2))
    good = y
    poor = y[::-1]
    if has_classes:
        y = rng.integers(0, UNITS, _ROWS)
        predictions = rng.dirichlet(np.ones(UNITS), (P, _ROWS))
        good = np.eye(UNITS)[y]
        # Sure of the next class, and always wrong.
        poor = np.eye(UNITS)[(y + 1) % UNITS]
    bench = _Metric(
        score=score,
        y=y,
        predictions=predictions,
        good=good,
        poor=poor,
        rng=rng,
        is_maximized=options["direction"] == "maximize",
        has_classes=has_classes,
    )
    suite.run(_CHECKS, bench)
    direction = Check(
        "direction",
        f"the truth must score better than wrong answers; declared: {options['direction']}",
        _prefers_wrong_answers,
    )
    suite.add(direction, bench)


def _row_differs(bench: _Metric) -> float:
    wrong = 0.0
    for dtype in (np.float32, np.float64):
        predictions = bench.predictions.astype(dtype)
        # Labels stay whole numbers.
        y = bench.y if bench.has_classes else bench.y.astype(dtype)
        alone = [bench.score(predictions[p], y) for p in range(P)]
        wrong += different(bench.score(predictions, y), np.array(alone))
    return wrong


def _writes_to_inputs(bench: _Metric) -> float:
    predictions = bench.predictions.copy()
    y = bench.y.copy()
    bench.score(predictions, y)
    return different(predictions, bench.predictions) + different(y, bench.y)


def _depends_on_order(bench: _Metric) -> float:
    order = bench.rng.permutation(_ROWS)
    predictions = bench.predictions[0]
    score = float(bench.score(predictions, bench.y))
    mixed = float(bench.score(predictions[order], bench.y[order]))
    return abs(score - mixed) / (1.0 + abs(score))


def _prefers_wrong_answers(bench: _Metric) -> bool:
    good = float(bench.score(bench.good, bench.y))
    poor = float(bench.score(bench.poor, bench.y))
    # NaN compares to nothing, and so is not better.
    is_better = good > poor if bench.is_maximized else good < poor
    return not is_better


_CHECKS = (
    Check(
        "population row equals alone",
        "predictions (P, N, O) must give (P,), each bit for bit as for (N, O)",
        _row_differs,
    ),
    Check(
        "inputs are not written", "predictions and truth are read by others too", _writes_to_inputs
    ),
    Check(
        "order of the examples",
        "the score must not depend on it; relative to 1 + |score|",
        _depends_on_order,
        1e-9,
    ),
)
