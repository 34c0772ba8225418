"""The pictures of a sweep: plots of Optuna, the timeline, the contact sheet of the best films."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

from harness.escapes import without_folders
from harness.pictures import style
from harness.pictures.contact_sheet import Print, contact_sheet
from harness.pictures.timeline import Span, timeline
from harness.storage.records import TrialRun
from harness.studies.result import Result
from harness.trials.params import shown

BEST = 8  # films on the contact sheet
_LEAST = 2  # trials below which there is nothing to plot
# What stands above Optuna's plots.
_TITLES = {
    "history": "value of each trial",
    "importances": "what mattered",
    "parallel": "each trial as a line",
    "slices": "value over each parameter",
}


def sweep_pictures(study: Any, result: Result) -> dict[str, bytes]:
    """Draws all pictures that fit a sweep.

    Parameters
    ----------
    study : optuna.Study or None
        Its study; without one Optuna's plots are left out.
    result : Result
        How it stands.

    Returns
    -------
    dict of bytes by name
        PNGs, such as "history.png". A plot that Optuna refuses, as it does importances of equal
        values, is left out.
    """
    pictures: dict[str, bytes] = {}
    if study is not None and len(result.ranked) >= _LEAST:
        pictures |= _of_optuna(study, result)
    spans = [_span(run) for run in result.trials if run.start_ms and run.end_ms]
    if len(spans) >= _LEAST:
        pictures["timeline.png"] = style.png(timeline(spans))
    return pictures


def sheet_of_films(result: Result, pictures: dict[int, bytes]) -> bytes | None:
    """The last frames of the best films; None where there are none.

    Parameters
    ----------
    result : Result
        How the sweep stands.
    pictures : dict of bytes by number
        The last frame of a trial's film, a PNG.
    """
    best = [run for run in result.ranked if run.number in pictures][:BEST]
    if not best:
        return None
    prints = [Print(_caption(run), pictures[run.number or 0]) for run in best]
    return style.png(contact_sheet(prints, f"the best films of {result.name}"))


def _caption(run: TrialRun) -> str:
    mark = f"#{run.number}"
    # The name of a trial says in short what was suggested.
    params = without_folders(run.name.removeprefix(mark).strip())
    return f"{mark}  {run.result.values[0]:.4f}\n{params}"


def _span(run: TrialRun) -> Span:
    start = run.start_ms / 1000
    return Span(run.number or 0, start, (run.end_ms or run.start_ms) / 1000, str(run.result.state))


def _of_optuna(study: Any, result: Result) -> dict[str, bytes]:
    """Optuna's plots of the first objective."""
    from optuna.visualization import matplotlib as plots

    keywords: dict[str, Any] = {"target_name": result.metric}
    if len(result.objectives) > 1:
        keywords["target"] = _first_objective
    names = {name for run in result.ranked for name in run.result.params}
    wanted: dict[str, Callable[..., Any]] = {"history": plots.plot_optimization_history}
    if len(names) > 1:
        wanted["importances"] = _importances
        wanted["parallel"] = plots.plot_parallel_coordinate
    if names:
        wanted["slices"] = plots.plot_slice
    pictures = {}
    values = (value for run in result.ranked for value in run.result.params.values())
    if any(_label(value) != value for value in values):
        study = _labelled(study)
    for name, plot in wanted.items():
        with contextlib.suppress(ValueError, RuntimeError):
            pictures[f"{name}.png"] = _drawn(plot, study, keywords, _TITLES[name])
    return pictures


def _label(value: Any) -> Any:
    """A parameter as a plot names it: without folders of this machine, a list as a text."""
    if isinstance(value, list | dict):
        value = shown(value)
    return without_folders(value) if isinstance(value, str) else value


def _labelled(study: Any) -> Any:
    """A copy of a study that has labels in place of its parameters."""
    import optuna
    from optuna.distributions import CategoricalDistribution

    copy = optuna.create_study(directions=study.directions)
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished():
            continue
        distributions = dict(trial.distributions)
        for name, own in distributions.items():
            if isinstance(own, CategoricalDistribution):
                labels = dict.fromkeys(map(_label, own.choices))
                distributions[name] = CategoricalDistribution(tuple(labels))
        labelled = optuna.trial.create_trial(
            state=trial.state,
            values=trial.values,
            params={name: _label(value) for name, value in trial.params.items()},
            distributions=distributions,
        )
        copy.add_trial(labelled)
    return copy


def _importances(study: Any, **keywords: Any) -> Any:
    """Optuna's plot of importances by PED-ANOVA, which takes a tenth of the time of the default.

    References
    ----------
    Watanabe, Bansal and Hutter, IJCAI 2023.
    """
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    return plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), **keywords)


def _first_objective(trial: Any) -> float:
    return trial.values[0]


def _drawn(plot: Callable[..., Any], study: Any, keywords: dict[str, Any], title: str) -> bytes:
    """One plot of Optuna's as a PNG, with a title like those of the other pictures."""
    import matplotlib
    from matplotlib import pyplot

    # Optuna sets a style of its own, for the whole process if nobody sets it back, and calls its
    # plots experimental.
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = plot(study, **keywords)
        drawn = getattr(axes, "figure", None) or axes.flat[0].figure
        for each in drawn.axes:
            for place in ("left", "center", "right"):
                each.set_title("", loc=place)
        drawn.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        width = max(8.4, drawn.get_size_inches()[0])
        picture = style.restyled_png(drawn, width, 4.6)
        pyplot.close(drawn)
    return picture
