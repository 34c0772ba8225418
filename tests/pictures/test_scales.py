"""Axes that are drawn quickly have the pixels that matplotlib gives them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.pictures import style
from harness.pictures.scales import quick_axes


def drawn_by_matplotlib(figure: Any) -> np.ndarray:
    """The pixels of a figure, drawn without us."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with style.styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba()).copy()


def drawn_quickly(figure: Any) -> np.ndarray:
    """The pixels of a figure, drawn with our axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with style.styled():
        canvas = FigureCanvasAgg(figure)
        with quick_axes(figure):
            # All but some axes are drawn by us.
            assert not figure.axes[-1].yaxis.get_visible()
            canvas.draw()
        return np.asarray(canvas.buffer_rgba()).copy()


def lines() -> Any:
    figure = style.figure(8, 3)
    left, right = figure.subplots(1, 2)
    left.plot([1, 2, 5], [0.1, 0.4, 0.2], label="a")
    left.set(title="a title", xlabel="epoch", ylabel="accuracy")
    left.legend()
    right.plot([0.5, 200.0], [-3.0, 4.0])
    right.set_xscale("log")
    right.set_xlabel("a number")
    figure.supxlabel("below all")
    return figure


def between_powers() -> Any:
    figure = style.figure(4, 3)
    axes = figure.add_subplot()
    axes.plot([0.03, 0.4], [1e-6, 2e3])
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        style.number_between_powers(axis)
    axes.minorticks_on()
    axes.grid(True, which="minor", linestyle=":", alpha=0.5)
    return figure


def with_a_colour_bar() -> Any:
    figure = style.figure(5, 4)
    axes = figure.add_subplot()
    image = axes.imshow(np.arange(12.0).reshape(3, 4))
    axes.set_xticks(range(4), ["zero", "one", "two", "many letters"], rotation=90)
    axes.set_yticks(range(3), ["a", "", "c"])
    figure.colorbar(image, ax=axes, shrink=0.8).set_label("how much")
    return figure


def on_all_sides() -> Any:
    figure = style.figure(5, 3)
    axes = figure.add_subplot()
    axes.barh([0, 1, 2], [3, 1, 2])
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="above", ylabel="left", title="title")
    axes.tick_params(labelsize=8, direction="in", colors="red")
    other = axes.twinx()
    other.set_ylim(0, 7)
    other.set_ylabel("right")
    other.spines["right"].set_position(("axes", 0.8))
    return figure


def of_optuna() -> Any:
    figure = style.figure(6, 3)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes in (left, right):
        axes.scatter(["a", "b", "a"], [1.0, 2.0, 3.0])
        axes.set(xlabel="kind", ylabel="value")
        axes.label_outer()
    left.set_xticks([])
    return figure


def with_a_common_factor() -> Any:
    figure = style.figure(8, 3)
    axes, other = figure.subplots(1, 2)
    axes.plot([1, 2], [1e-7, 3e-7])
    axes.set_title("a title above the factor")
    other.plot([1, 2], [1, 2])
    return figure


@pytest.mark.parametrize(
    "make",
    [lines, between_powers, with_a_colour_bar, on_all_sides, of_optuna, with_a_common_factor],
)
def test_pixels_are_those_of_matplotlib(make: Callable[[], Any]) -> None:
    with style.styled():
        ours = make()
        theirs = make()
    assert np.array_equal(drawn_quickly(ours), drawn_by_matplotlib(theirs))
    # The figure is a common one again, for whoever draws it next; a second layout differs a little.
    again = drawn_by_matplotlib(theirs)
    assert np.array_equal(drawn_by_matplotlib(ours), again)
    assert np.array_equal(drawn_quickly(ours), drawn_by_matplotlib(theirs))


def test_a_figure_is_given_back_where_drawing_fails() -> None:
    figure = lines()
    with pytest.raises(KeyError), quick_axes(figure):
        raise KeyError
    assert all(axes.xaxis.get_visible() for axes in figure.axes)
    assert not figure.axes[0].artists
