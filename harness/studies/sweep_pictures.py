"""The pictures of a sweep: plots of Optuna, the timeline, the contact sheet of the best films."""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

from harness.escapes import without_folders
from harness.pictures import style
from harness.pictures.contact_sheet import Print, contact_sheet
from harness.pictures.slices import tidy
from harness.pictures.timeline import Span, timeline
from harness.storage.records import TrialRun
from harness.studies.importances import plot_importances
from harness.studies.result import Result
from harness.trials.params import shown
from harness.workers.errands import Ask, Errand

BEST = 8  # films on the contact sheet
_LEAST = 2  # trials below which there is nothing to plot
_ABREAST = 3  # parameters in a row of slices
_WIDTH = 8.4  # inches of a plot of Optuna's
_HEIGHT = 4.6  # of one that is alone
_ROW = 3.2  # of one of several rows
# What stands above Optuna's plots.
_TITLES = {
    "history": "value of each trial",
    "importances": "what mattered",
    "parallel": "each trial as a line",
    "slices": "value over each parameter",
}


def sweep_pictures(
    study: Any, result: Result, stills: dict[int, bytes], errand: Ask
) -> list[Errand[dict[str, bytes]]]:
    """All pictures that fit a sweep.

    Parameters
    ----------
    study : optuna.Study or None
        Its study; without one Optuna's plots are left out.
    result : Result
        How it stands.
    stills : dict of bytes by number
        The last frame of a trial's film, a PNG.
    errand : Ask
        Who draws them.

    Returns
    -------
    list of Errand
        PNGs by name, such as "history.png".
    """
    drawn = []
    if study is not None and len(result.ranked) >= _LEAST:
        names = sorted({name for run in result.ranked for name in run.result.params})
        trials = study.get_trials(deepcopy=False)
        drawn.append(errand(plots_of_optuna, trials, study.directions, result.metric, names))
    spans = [_span(run) for run in result.trials if run.start_ms and run.end_ms]
    prints = [
        Print(_caption(run), stills[run.number or 0])
        for run in result.ranked
        if run.number in stills
    ]
    drawn.append(errand(_timeline_and_sheet, spans, prints[:BEST], result.name))
    return drawn


def _timeline_and_sheet(spans: list[Span], prints: list[Print], name: str) -> dict[str, bytes]:
    """The timeline of a sweep, and the last frames of its best films, as far as there are some."""
    pictures = {}
    if len(spans) >= _LEAST:
        pictures["timeline.png"] = style.png(timeline(spans))
    if prints:
        sheet = contact_sheet(prints, f"the best films of {name}")
        pictures["contact_sheet.png"] = style.png(sheet)
    return pictures


def _caption(run: TrialRun) -> str:
    mark = f"#{run.number}"
    # The name of a trial says in short what was suggested.
    params = without_folders(run.name.removeprefix(mark).strip())
    return f"{mark}  {run.result.values[0]:.4f}\n{params}"


def _span(run: TrialRun) -> Span:
    start = run.start_ms / 1000
    return Span(run.number or 0, start, (run.end_ms or run.start_ms) / 1000, str(run.result.state))


def plots_of_optuna(
    trials: Sequence[Any], directions: Sequence[Any], metric: str, names: Sequence[str]
) -> dict[str, bytes]:
    """Optuna's plots of the first objective of a study.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial
        All its trials.
    directions : sequence of optuna.study.StudyDirection
        One for each objective.
    metric : str
        The name of the first objective.
    names : sequence of str
        The parameters of those trials that have a value.

    Returns
    -------
    dict of bytes by name
        PNGs. A plot that Optuna refuses, as it does importances of equal values, is left out.
    """
    style.load()
    from optuna.visualization import matplotlib as plots

    keywords: dict[str, Any] = {"target_name": metric}
    if len(directions) > 1:
        keywords["target"] = _first_objective
    wanted: dict[str, Callable[..., Any]] = {"history": plots.plot_optimization_history}
    if len(names) > 1:
        wanted["importances"] = plot_importances
        wanted["parallel"] = plots.plot_parallel_coordinate
    study = _study_of(trials, directions)
    pictures = {}
    for name, plot in wanted.items():
        with contextlib.suppress(ValueError, RuntimeError):
            finish = _lift_labels if name == "parallel" else None
            pictures[f"{name}.png"] = _drawn(
                [partial(plot, study, **keywords)], _TITLES[name], finish
            )
    rows = [
        partial(plots.plot_slice, study, params=row, **keywords) for row in _rows(names, _ABREAST)
    ]
    if rows:
        with contextlib.suppress(ValueError, RuntimeError):
            pictures["slices.png"] = _drawn(rows, _TITLES["slices"], tidy)
    return pictures


def _rows(names: Sequence[str], most: int) -> list[list[str]]:
    """Names in rows of so many at most, of which none is much shorter than another."""
    count = -(-len(names) // most)
    ends = [len(names) * row // count for row in range(count + 1)]
    return [list(names[first:end]) for first, end in pairwise(ends)]


def _study_of(trials: Sequence[Any], directions: Sequence[Any]) -> Any:
    """A study in memory with labels in place of parameters, where these would not be readable."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    # It would say that a study has been created.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(directions=directions)
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.add_trials(map(_labelled, trials))
    return study


def _label(value: Any) -> Any:
    """A parameter as a plot names it: without folders of this machine, a list as a text."""
    if isinstance(value, list | dict):
        value = shown(value)
    return without_folders(value) if isinstance(value, str) else value


def _labelled(trial: Any) -> Any:
    """A trial that has labels in place of its parameters; itself where these are its labels."""
    from optuna.distributions import CategoricalDistribution

    labels = {name: _label(value) for name, value in trial.params.items()}
    if labels == trial.params:
        return trial
    distributions = dict(trial.distributions)
    for name, own in distributions.items():
        if isinstance(own, CategoricalDistribution):
            choices = dict.fromkeys(map(_label, own.choices))
            distributions[name] = CategoricalDistribution(tuple(choices))
    copy = deepcopy(trial)
    copy.params = labels
    copy.distributions = distributions
    return copy


def _first_objective(trial: Any) -> float:
    return trial.values[0]


def _drawn(
    plots: Sequence[Callable[[], Any]],
    title: str,
    finish: Callable[[Sequence[Any]], None] | None = None,
) -> bytes:
    """Plots of Optuna's below each other as a PNG, with a title like those of the other pictures.

    Parameters
    ----------
    plots : sequence of callable
        Each makes one.
    title : str
        What stands above the first one.
    finish : callable or None
        What else is to be done with their figures.
    """
    import matplotlib
    from matplotlib import pyplot

    # Optuna sets a style of its own, for the whole process if nobody sets it back, and calls its
    # plots experimental. A bar of colours has to know its layout from the start.
    layout = {"figure.constrained_layout.use": True}
    figures = []
    with matplotlib.rc_context(layout), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for plot in plots:
                axes = plot()
                figures.append(getattr(axes, "figure", None) or axes.flat[0].figure)
                _restyle(figures[-1], _HEIGHT if len(plots) == 1 else _ROW)
            figures[0].suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
            if finish is not None:
                finish(figures)
            for each in figures:
                _number_trials(each)
            return style.stacked_png(figures)
        finally:
            for each in figures:
                pyplot.close(each)


def _lift_labels(figures: Sequence[Any]) -> None:
    """Puts white around the labels of the axes, over which lines run."""
    from matplotlib.patheffects import withStroke

    for figure in figures:
        for axes in figure.axes:
            for tick in [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]:
                for label in (tick.label1, tick.label2):
                    label.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _number_trials(figure: Any) -> None:
    """Writes whole numbers at axes of trials, of which there is no half."""
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_label_text() == "Trial":
                axis.set_major_locator(MaxNLocator("auto", integer=True))


def _restyle(figure: Any, height: float) -> None:
    """Takes the titles of a figure away, and gives it our size and colours."""
    figure.suptitle("")
    for axes in figure.axes:
        for place in ("left", "center", "right"):
            axes.set_title("", loc=place)
    style.restyle(figure, _WIDTH, height)
