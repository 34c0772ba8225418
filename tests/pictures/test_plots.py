"""Plots of networks, sweeps and comparisons: the numbers that they show, and equal bytes."""

import io
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.pictures import style
from harness.pictures.arms import (
    Difference,
    difference_intervals,
    mean_curves,
    seed_points,
    tuning_curves,
)
from harness.pictures.boundary import decision_boundary
from harness.pictures.confusion import confusion_counts, confusion_matrix
from harness.pictures.contact_sheet import Print, contact_sheet
from harness.pictures.curves import learning_curves
from harness.pictures.distributions import QUANTILES, over_time, quantiles_of
from harness.pictures.mistakes import mistakes_as_pictures, surest_mistakes
from harness.pictures.regression import predicted_against_true
from harness.pictures.taken_apart import Stage, taken_apart
from harness.pictures.timeline import Span, lanes, timeline
from harness.pictures.units import Health, unit_health

HISTORY = [
    {"epoch": 1, "train/loss": 0.9, "valid/loss": 1.0, "valid/accuracy": 0.5},
    {"epoch": 2, "train/loss": 0.5, "valid/loss": 0.6, "valid/accuracy": 0.8},
    {"epoch": 3, "train/loss": 0.3, "valid/loss": 0.7, "valid/accuracy": 0.75},
]


def texts(figure: Any) -> list[str]:
    """All texts of the axes of a figure."""
    from matplotlib.text import Text

    return [item.get_text() for item in figure.findobj(Text) if item.get_text()]


def test_the_best_epoch_is_marked() -> None:
    assert "best 0.8000, epoch 2" in texts(learning_curves(HISTORY, "accuracy", True))
    assert "best 0.5000, epoch 1" in texts(learning_curves(HISTORY, "accuracy", False))


def test_a_metric_that_is_not_finite_is_never_the_best() -> None:
    history = [*HISTORY, {"epoch": 4, "valid/accuracy": math.nan}]
    assert "best 0.8000, epoch 2" in texts(learning_curves(history, "accuracy", True))


def test_curves_show_the_history() -> None:
    loss, accuracy = learning_curves(HISTORY, "accuracy", True).axes
    drawn = {line.get_label(): line.get_ydata() for line in loss.lines}
    assert list(drawn["training"]) == [0.9, 0.5, 0.3]
    assert list(drawn["validation"]) == [1.0, 0.6, 0.7]
    assert list(accuracy.lines[0].get_ydata()) == [0.5, 0.8, 0.75]


def test_without_a_validation_part_there_is_one_curve() -> None:
    (loss,) = learning_curves([{"epoch": 1, "train/loss": 0.9}], "accuracy", True).axes
    assert len(loss.lines) == 1


def test_confusion_counts() -> None:
    counts = confusion_counts(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 2]), 4)
    expected = [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert counts.tolist() == expected
    figure = confusion_matrix(counts, ["a", "b", "c", "d"])
    assert "60.00% right of 5" in texts(figure)
    shares = np.asarray(figure.axes[0].images[0].get_array())
    assert shares[0, 1] == 0.5
    assert shares[2, 0] == 0.5
    assert shares[3, 0] == 0.0


def test_the_surest_mistakes_come_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95]])
    mistakes = surest_mistakes(probabilities, np.array([1, 1, 0, 0]), most=2)
    assert [mistake.row for mistake in mistakes] == [3, 0]
    assert mistakes[0] == (3, 0, 1, 0.95)
    figure = mistakes_as_pictures(mistakes, np.zeros((2, 4, 4)), ["no", "yes"], 3)
    assert "no, said yes" in texts(figure)
    assert "the surest 2 of 3 mistakes" in texts(figure)


def test_a_network_taken_apart() -> None:
    stages = [Stage("dense(5)", np.array([1.0, -2.0, 0.0, 0.5, 3.0])), Stage("relu", np.ones(5))]
    figure = taken_apart(np.eye(3), stages, np.array([0.1, 0.7, 0.2]), ["a", "b", "c"], 2)
    assert "says b" in texts(figure)
    assert "a c" in texts(figure)
    cells = np.asarray(figure.axes[1].images[0].get_array())
    assert np.nansum(cells) == pytest.approx(2.5)
    widths = [bar.get_width() for bar in figure.axes[-1].patches]
    assert widths == [0.1, 0.7, 0.2]


def test_distributions() -> None:
    values = np.arange(101.0)
    assert quantiles_of(values).tolist() == pytest.approx([1, 10, 25, 50, 75, 90, 99])
    course = np.stack([quantiles_of(values)] * 2)
    figure = over_time([0, 1], {"0/W": course, "2 dense(units=64, init=glorot)": course}, "weights")
    axes, other = figure.axes
    assert list(axes.lines[0].get_ydata()) == [50.0, 50.0]
    assert len(axes.collections) == len(QUANTILES) // 2
    assert other.get_title(loc="left") == "2 dense(units=64, init=gl…"


def test_unit_health() -> None:
    figure = unit_health([Health("1 relu", 0.25, 0.5), Health("3 relu", 0.0, 0.125)])
    assert {"25.0%", "50.0%", "0.0%", "12.5%"} <= set(texts(figure))


def test_the_error_of_a_regression() -> None:
    true = np.array([[0.0], [2.0]])
    figure = predicted_against_true(true, true + np.array([[3.0], [4.0]]), ["price"])
    assert "price, root mean squared error 3.54" in texts(figure)


def test_the_decision_boundary_is_that_of_the_network() -> None:
    def probabilities_of(rows: np.ndarray) -> np.ndarray:
        right = (rows[:, 0] > 0).astype(float)
        return np.stack([1 - right, right], axis=1)

    x = np.array([[-1.0, 0.0], [1.0, 1.0]])
    figure = decision_boundary(probabilities_of, x, np.array([0, 1]), ["l", "r"], ["u", "v"])
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert np.ptp(picture[:, :90].reshape(-1, 3), axis=0).max() == 0
    assert np.abs(picture[0, 0] - picture[0, -1]).max() > 0.2


def test_spans_that_overlap_have_lanes_of_their_own() -> None:
    spans = [
        Span(0, 0.0, 4.0, "COMPLETE"),
        Span(1, 1.0, 2.0, "PRUNED"),
        Span(2, 2.0, 5.0, "COMPLETE"),
        Span(3, 3.0, 6.0, "FAILED"),
    ]
    assert lanes(spans) == [0, 1, 1, 2]
    assert {"#0", "#2", "#3", "complete", "pruned", "failed"} <= set(texts(timeline(spans)))


def test_bands_reach_from_the_lowest_to_the_highest_seed() -> None:
    curves = {"relu": np.array([[0.1, 0.5], [0.3, 0.7]]), "tanh": np.array([[0.2, math.nan]])}
    (axes,) = mean_curves(curves, "accuracy").axes
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.2, 0.6])
    assert math.isnan(axes.lines[1].get_ydata()[1])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.1)
    assert band.max() == pytest.approx(0.7)


def test_intervals_and_seeds() -> None:
    figure = difference_intervals(
        [Difference("tanh", 0.01, 0.005, 0.015, "better")], "relu", "accuracy", "of 5 seeds"
    )
    assert "+0.0100  better" in texts(figure)
    assert list(figure.axes[0].lines[1].get_xdata()) == [0.005, 0.015]
    (axes,) = seed_points({"relu": [0.5, 0.7], "tanh": [0.6, None]}, "accuracy").axes
    # An arm with a network without a value has no mean.
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 2, 1]
    (axes,) = tuning_curves({"relu": [0.5, 0.6, 0.7]}, "accuracy").axes
    assert list(axes.lines[0].get_ydata()) == [0.5, 0.6, 0.7]


def print_of(grey: int, more: str = "") -> Print:
    file = io.BytesIO()
    Image.new("L", (8, 6), grey).save(file, "PNG")
    return Print(f"#{grey}{more}", file.getvalue())


def test_a_contact_sheet_shows_all_pictures() -> None:
    figure = contact_sheet([print_of(10), print_of(200)], "best")
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert [int(picture.mean()) for picture in pictures] == [10, 200]


def test_captions_of_a_contact_sheet_keep_to_their_columns() -> None:
    more = "  0.9736\nleaky_relu momentum momentum_rate=0.03365 dropout=0.3 weight_decay=0.0001234"
    figure = contact_sheet([print_of(grey, more) for grey in range(3)], "best")
    style.png(figure)  # which draws it
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert boxes[0].x0 >= 0
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[2].x1 <= figure.bbox.x1
    assert "momentum_rate=0.03365" in figure.axes[0].get_title()


@pytest.mark.parametrize(
    "make",
    [
        lambda: learning_curves(HISTORY, "accuracy", True, title="$x_1$ <b>"),
        lambda: confusion_matrix(np.eye(3, dtype=int), ["$", "<i>", "_"]),
        lambda: unit_health([Health("1 relu", 0.25, 0.5)]),
        lambda: timeline([Span(0, 0.0, 1.0, "COMPLETE")]),
    ],
    ids=["curves", "confusion", "units", "timeline"],
)
def test_pictures_have_equal_bytes_each_time(make: Callable[[], Any]) -> None:
    first = style.png(make())
    assert first == style.png(make())
    picture = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("reach", "numbers"),
    [((0.025, 0.08), ["0.03", "0.05"]), ((0.03, 0.4), ["0.05", "0.1", "0.2", "0.3"])],
)
def test_an_axis_within_two_powers_of_ten_has_numbers(
    reach: tuple[float, float], numbers: list[str]
) -> None:
    figure = style.figure(4, 3)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(*reach)
    style.restyled_png(figure, 4, 3)
    ticks = [*axes.xaxis.get_minor_ticks(), *axes.xaxis.get_major_ticks()]
    inside = [tick for tick in ticks if reach[0] < tick.get_loc() < reach[1]]
    assert sorted(tick.label1.get_text() for tick in inside if tick.label1.get_text()) == numbers


def test_an_axis_of_many_powers_of_ten_has_those_alone() -> None:
    figure = style.figure(4, 3)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(0.005, 20)
    style.restyled_png(figure, 4, 3)
    assert {tick.label1.get_text() for tick in axes.xaxis.get_minor_ticks()} == {""}
