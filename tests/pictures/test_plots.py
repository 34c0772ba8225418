"""Plots of networks, sweeps and comparisons: the numbers that they show, and equal bytes."""

import io
import math
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations, pairwise
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
from harness.pictures.cells import Cell, cells
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
    none = mistakes_as_pictures([], np.zeros((0, 4, 4)), ["no", "yes"], 0)
    assert texts(none) == ["no mistakes"]
    assert style.png(none)


def test_a_network_taken_apart() -> None:
    stages = [Stage("dense(5)", np.array([1.0, -2.0, 0.0, 0.5, 3.0])), Stage("relu", np.ones(5))]
    figure = taken_apart(np.eye(3), stages, np.array([0.1, 0.7, 0.2]), ["a", "b", "c"], 2)
    assert "says b" in texts(figure)
    assert "a c" in texts(figure)
    cells = np.asarray(figure.axes[1].images[0].get_array())
    assert np.nansum(cells) == pytest.approx(2.5)
    widths = [bar.get_width() for bar in figure.axes[-1].patches]
    assert widths == [0.1, 0.7, 0.2]


@pytest.mark.parametrize(
    ("layers", "size"), [(1, (1152, 408)), (2, (1152, 408)), (3, (1152, 816)), (7, (1152, 1224))]
)
def test_a_network_taken_apart_has_rows_of_four_panels(layers: int, size: tuple[int, int]) -> None:
    from matplotlib.text import Text

    stages = [Stage(f"dense(units={100 + place})", np.arange(100.0)) for place in range(layers)]
    figure = taken_apart(np.eye(3), stages, np.array([0.2, 0.8]), ["a", "b"], 1)
    assert Image.open(io.BytesIO(style.png(figure))).size == size
    tops: dict[int, list[Any]] = {}
    for axes in figure.axes:
        (title,) = [
            text
            for text in axes.findobj(Text)
            if text.get_text() and text.get_text() == axes.get_title(loc="left")
        ]
        assert title.get_fontsize() >= 11
        tops.setdefault(axes.get_subplotspec().rowspan.start, []).append(title.get_window_extent())
    assert max(map(len, tops.values())) <= 4
    for titles in tops.values():
        assert sum(one.overlaps(other) for one, other in combinations(titles, 2)) == 0


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


def test_an_arm_without_a_value_keeps_its_name() -> None:
    (axes,) = seed_points({"relu": [0.5, 0.7], "tanh": [None, None]}, "accuracy").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["relu", "tanh"]
    low, high = sorted(axes.get_ylim())
    assert low <= 0 < 1 <= high


def print_of(grey: int, more: str = "") -> Print:
    file = io.BytesIO()
    picture = Image.new("L", (8, 6), grey)
    picture.putpixel((3, 3), min(255, grey + 48))
    picture.resize((24, 18), Image.Resampling.NEAREST).save(file, "PNG")
    return Print(f"#{grey}{more}", file.getvalue())


def test_a_contact_sheet_shows_all_pictures() -> None:
    (axes,) = contact_sheet([print_of(10), print_of(200)], "best").axes
    # One pixel stands for each weight, however large the PNG was.
    pictures = [np.asarray(image.get_array()) for image in axes.images]
    assert [picture.shape for picture in pictures] == [(6, 8, 3), (6, 8, 3)]
    assert [int(picture.mean()) for picture in pictures] == [11, 201]


def test_pictures_of_a_sheet_have_whole_pixels_and_stand_in_rows() -> None:
    shown = [Cell(np.zeros((high, 10)), "above", "below") for high in (30, 7, 10)]
    (axes,) = cells(shown, "all", 2, 100).axes
    extents = [image.get_extent() for image in axes.images]
    sizes = [(right - left, low - high) for left, right, low, high in extents]
    assert sizes == [(30, 90), (100, 70), (100, 100)]
    tops = [high for *_, high in extents]
    assert tops[0] == tops[1] < tops[0] + 90 < tops[2]
    # What is larger than its room becomes smaller.
    (axes,) = cells([Cell(np.zeros((400, 100)), "large")], "one", 1, 200).axes
    left, right, low, high = axes.images[0].get_extent()
    assert (right - left, low - high) == (50, 200)


@pytest.mark.parametrize(
    "more",
    [
        "  0.9736\nleaky_relu momentum momentum_rate=0.03365 dropout=0.3 weight_decay=0.0001234",
        "  0.9736\ntanh momentum momentum_rate=0.03365 dropout=0",
    ],
)
def test_captions_of_a_contact_sheet_keep_to_their_columns(more: str) -> None:
    figure = contact_sheet([print_of(grey, more) for grey in range(3)], "best")
    style.png(figure)  # which draws it
    title, *captions = figure.axes[0].texts
    boxes = [caption.get_window_extent() for caption in captions]
    assert boxes[0].x0 >= 0
    assert all(left.x1 + 10 < right.x0 for left, right in pairwise(boxes))
    assert boxes[2].x1 <= figure.bbox.x1
    assert max(box.y1 for box in boxes) <= title.get_window_extent().y0
    assert "momentum_rate=0.03365" in captions[0].get_text()


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


@pytest.mark.parametrize("at_a_prompt", [False, True])
def test_help_of_artists_is_listed_at_a_prompt_only(at_a_prompt: bool) -> None:
    code = f"""
import sys
if {at_a_prompt}:
    sys.ps1 = ">>> "
from harness.pictures import style
style.png(style.figure(2, 1))
from matplotlib.lines import Line2D
from matplotlib import artist
print("markersize" in Line2D.set.__doc__, "markersize" in artist.kwdoc(Line2D))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.split() == [str(at_a_prompt), "True"], ended.stderr


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
    style.restyle(figure, 4, 3)
    figure.draw_without_rendering()
    ticks = [*axes.xaxis.get_minor_ticks(), *axes.xaxis.get_major_ticks()]
    inside = [tick for tick in ticks if reach[0] < tick.get_loc() < reach[1]]
    assert sorted(tick.label1.get_text() for tick in inside if tick.label1.get_text()) == numbers


@pytest.mark.parametrize("width", [1.6, 2.3, 4.0, 8.4])
@pytest.mark.parametrize(
    "reach",
    [
        (0.00117, 0.00156),
        (0.0134, 0.0877),
        (0.0101, 0.0199),
        (1.21e-7, 1.22e-7),
        (0.9, 11.0),
        (1e-5, 1.0),
        (3e-12, 3e4),
    ],
)
@pytest.mark.parametrize("name", ["xaxis", "yaxis"])
def test_numbers_of_a_logarithmic_axis_never_touch(
    width: float, reach: tuple[float, float], name: str
) -> None:
    figure = style.figure(width, width)
    axes = figure.add_subplot()
    axis = getattr(axes, name)
    scale = axes.set_xscale if name == "xaxis" else axes.set_yscale
    scale("log")
    axis.set_view_interval(*reach, ignore=True)
    style.restyle(figure, width, width)
    figure.draw_without_rendering()
    ticks = [*axis.get_minor_ticks(), *axis.get_major_ticks()]
    boxes = [
        tick.label1.get_window_extent()
        for tick in ticks
        if reach[0] <= tick.get_loc() <= reach[1] and tick.label1.get_text()
    ]
    assert sum(one.overlaps(other) for one, other in combinations(boxes, 2)) == 0
    powers = math.floor(math.log10(reach[1])) - math.ceil(math.log10(reach[0])) + 1
    assert len(boxes) <= max(4, powers)
    # Of nine letters each, two numbers need more room than a slice has.
    assert len(boxes) >= (2 if width > 3 or (width > 2 and reach[0] > 1e-6) else 1)


def test_an_axis_of_many_powers_of_ten_has_those_alone() -> None:
    figure = style.figure(4, 3)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(0.005, 20)
    style.restyle(figure, 4, 3)
    figure.draw_without_rendering()
    assert {tick.label1.get_text() for tick in axes.xaxis.get_minor_ticks()} == {""}
