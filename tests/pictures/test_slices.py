"""Slices of a sweep: few parameters a row, one scale, and nothing written upon something else."""

import io
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import optuna
import pytest
from matplotlib.patheffects import withStroke
from PIL import Image
from siblings import quick

from harness.pictures import style
from harness.studies.sweep_pictures import plots_of_optuna

SUGGEST: dict[str, Callable[[Any], Any]] = {
    "adam_rate": lambda trial: trial.suggest_float("adam_rate", 0.00117, 0.00156, log=True),
    "activation": lambda trial: trial.suggest_categorical(
        "activation", ["relu", "leaky_relu(slope=0.1)", "tanh", "sigmoid"]
    ),
    "rate": lambda trial: trial.suggest_float("rate", 1e-5, 1.0, log=True),
    "batch": lambda trial: trial.suggest_int("batch", 16, 256),
    "dropout": lambda trial: trial.suggest_categorical("dropout", [0.0, 0.1, 0.3]),
    "decay": lambda trial: trial.suggest_float("decay", 0.00011, 0.00093),
    "rule": lambda trial: trial.suggest_categorical("rule", ["momentum", "nesterov", "adam"]),
}


def study_of(count: int, trials: int) -> Any:
    """A study of so many parameters; every third trial lacks the last one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    names = [*SUGGEST][:count]

    def objective(trial: Any) -> float:
        for name in names[: count - (count > 1 and trial.number % 3 == 0)]:
            SUGGEST[name](trial)
        return float(np.sin(trial.number))

    study.optimize(objective, n_trials=trials)
    return study


def slices_of(
    count: int, monkeypatch: pytest.MonkeyPatch, trials: int = 5
) -> tuple[bytes, list[Any]]:
    """The picture of the slices of a study of so many parameters, and the figures of its rows."""
    drawn: list[Any] = []
    stacked = style.stacked_png

    def kept(rows: Any) -> bytes:
        drawn[:] = rows
        return stacked(rows)

    monkeypatch.setattr(style, "stacked_png", kept)
    study = study_of(count, trials)
    pictures = plots_of_optuna(
        study.trials, study.directions, "accuracy", sorted([*SUGGEST][:count])
    )
    return pictures["slices.png"], drawn


def touching(axes: Any) -> int:
    """How many pairs of what is written at the ticks below the axes lie upon each other."""
    figure = axes.get_figure()
    figure.draw_without_rendering()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    low, high = sorted(axes.get_xlim())
    texts = [
        tick.label1
        for tick in ticks
        if low <= tick.get_loc() <= high
        and tick.label1.get_text()
        and not tick.label1.get_rotation()
    ]
    boxes = [text.get_window_extent() for text in texts]
    return sum(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize(
    ("count", "rows"),
    quick(
        [(1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (5, [2, 3]), (7, [2, 2, 3])],
        lambda each: each[0] in (1, 4),
    ),
)
def test_a_row_has_three_parameters_at_most(
    count: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    png, figures = slices_of(count, monkeypatch)
    slices = [
        [axes for axes in figure.axes if axes.get_label() != "<colorbar>"] for figure in figures
    ]
    assert [len(row) for row in slices] == rows
    names = [axes.get_xlabel() for row in slices for axes in row]
    assert names == sorted([*SUGGEST][:count])
    high = 552 if len(rows) == 1 else 384 * len(rows)
    assert Image.open(io.BytesIO(png)).size == (1008, high)
    # Its title stands once.
    assert [figure.get_suptitle() for figure in figures] == [
        "value over each parameter",
        *[""] * (len(rows) - 1),
    ]
    for row in slices:
        for axes in row:
            assert touching(axes) == 0, axes.get_xlabel()
    for figure in figures:
        numbers = [tick.get_loc() for tick in figure.axes[-1].yaxis.get_major_ticks()]
        assert len(numbers) >= 3
        assert all(float(number).is_integer() for number in numbers)
    # All have one axis of values, and a trial has one colour wherever it is.
    assert len({axes.get_ylim() for row in slices for axes in row}) == 1
    scales = {
        points.get_clim()
        for row in slices
        for axes in row
        for points in axes.collections
        if points.get_array() is not None
    }
    assert scales == {(0, 4)}


def test_long_names_stand_aslant_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (figure,) = slices_of(2, monkeypatch, trials=12)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    labels = [tick.label1 for tick in axes.xaxis.get_major_ticks()]
    words = {label.get_text() for label in labels}
    assert words == {"relu", "leaky_relu(sl…", "tanh", "sigmoid"}
    assert {label.get_rotation() for label in labels} == {30.0}
    # Those of one line have the distance of their lines between them.
    places = sorted(
        axes.transData.transform([(tick.get_loc(), 0)])[0, 0]
        for tick in axes.xaxis.get_major_ticks()
    )
    assert min(np.diff(places)) * np.sin(np.pi / 6) > labels[0].get_fontsize() * figure.dpi / 72


def test_lines_leave_white_around_the_labels_of_their_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the picture of all trials as lines, which run over them."""
    pages: list[list[Any]] = []
    stacked = style.stacked_png

    def kept(figures: Any) -> bytes:
        pages.append(list(figures))
        return stacked(figures)

    monkeypatch.setattr(style, "stacked_png", kept)
    study = study_of(4, 9)
    names = sorted([*SUGGEST][:4])
    pictures = plots_of_optuna(study.trials, study.directions, "accuracy", names)
    place = [name for name in pictures if name != "slices.png"].index("parallel.png")
    (figure,) = pages[place]
    labels = [
        label
        for axes in figure.axes
        for tick in axes.yaxis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if label.get_visible() and label.get_text()
    ]
    assert "tanh" in {label.get_text() for label in labels}
    for label in labels:
        (effect,) = label.get_path_effects()
        assert isinstance(effect, withStroke)
