"""The pictures of a comparison: curves with bands, differences, seeds, what tuning is worth."""

from collections.abc import Iterable

import numpy as np

from harness.pictures import style
from harness.pictures.arms import (
    Difference,
    difference_intervals,
    mean_curves,
    seed_points,
    tuning_curves,
)
from harness.storage.records import TrialRun
from harness.studies.comparison import Comparison


def comparison_pictures(result: Comparison, runs: Iterable[TrialRun]) -> dict[str, bytes]:
    """Draws all pictures that fit a comparison.

    Parameters
    ----------
    result : Comparison
        What came of it.
    runs : iterable of TrialRun
        The networks that were compared, with all seeds.

    Returns
    -------
    dict of bytes by name
        PNGs, such as "curves.png".
    """
    figures = {}
    if curves := _curves(result, runs):
        figures["curves"] = mean_curves(curves, result.metric)
    if differences := differences_of(result):
        scope = " ".join(result.scope())
        figures["differences"] = difference_intervals(
            differences, result.first, result.metric, scope
        )
    if any(value is not None for values in result.values.values() for value in values):
        figures["seeds"] = seed_points(result.values, result.metric)
    if tuned := result.tuning_worth():
        figures["tuning"] = tuning_curves(tuned, result.metric)
    return {f"{name}.png": style.png(figure) for name, figure in figures.items()}


def differences_of(result: Comparison) -> list[Difference]:
    """The difference of each arm to the first one, as far as there is one."""
    differences = []
    for arm in result.arms():
        if arm.difference is not None:
            differences.append(Difference(arm.name, *arm.difference, arm.verdict or ""))
    return differences


def _curves(result: Comparison, runs: Iterable[TrialRun]) -> dict[str, np.ndarray]:
    """For each arm the metric of each of its networks after each epoch (seeds, epochs)."""
    key = f"valid/{result.metric}"
    of_arm: dict[str, list[dict[int, float]]] = {arm: [] for arm in result.values}
    for run in runs:
        course = {point.step: point.value for point in run.metrics if point.key == key}
        if course and run.result.arm in of_arm:
            of_arm[run.result.arm].append(course)
    curves: dict[str, np.ndarray] = {}
    for arm, courses in of_arm.items():
        if not courses:
            continue
        epochs = max(max(course) for course in courses)
        curves[arm] = np.full((len(courses), epochs), np.nan)
        for row, course in zip(curves[arm], courses, strict=True):
            row[[epoch - 1 for epoch in course]] = list(course.values())
    return curves
