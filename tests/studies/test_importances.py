"""What mattered in a sweep, beside Optuna's own answer."""

import subprocess
import sys
import warnings
from typing import Any

import optuna
import pytest

from harness.studies.importances import plot_importances


def study_of(directions: list[str]) -> Any:
    """Twenty trials, whose values depend on x far more than on y and on the kind."""
    study = optuna.create_study(
        directions=directions, sampler=optuna.samplers.RandomSampler(seed=3)
    )

    def objective(trial: Any) -> Any:
        x = trial.suggest_float("x", 0.01, 1.0, log=True)
        y = trial.suggest_int("y", 1, 9)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        values = [(x - 0.6) ** 2 + 0.001 * y * (kind == "a"), x]
        return values[: len(directions)]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study.optimize(objective, n_trials=20)
    return study


def bars_of(axes: Any) -> dict[str, float]:
    """The length of the bar of each parameter."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(names, [bar.get_width() for bar in axes.patches], strict=True))


def first(trial: Any) -> float:
    return trial.values[0]


def low(trial: Any) -> float:
    return -trial.values[0]


@pytest.mark.parametrize(
    ("directions", "target", "their_target"),
    [
        (["minimize"], None, None),
        (["maximize"], None, None),
        (["minimize", "maximize"], first, first),
        # Optuna takes the lowest values of a target for the best ones.
        (["maximize", "maximize"], first, low),
    ],
)
def test_importances_are_those_of_optuna(directions: Any, target: Any, their_target: Any) -> None:
    from matplotlib import pyplot

    study = study_of(directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = bars_of(plot_importances(study, target=target))
        theirs = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
            target=their_target,
        )
    pyplot.close("all")
    assert ours == theirs
    assert max(ours, key=lambda name: ours[name]) == "x"
    assert sum(ours.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_importances_import_no_scikit_learn_and_leave_the_package_whole() -> None:
    code = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "tests/studies")
from test_importances import bars_of, study_of
from harness.studies.importances import plot_importances
study = study_of(["minimize"])
ours = bars_of(plot_importances(study))
assert "sklearn" not in sys.modules, "it is imported"
import optuna
assert optuna.importance.FanovaImportanceEvaluator is not None
assert ours == optuna.importance.get_param_importances(study)
assert "sklearn" in sys.modules, "the whole package is not"
# From now on the whole package is there, and is used.
assert ours == bars_of(plot_importances(study))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
